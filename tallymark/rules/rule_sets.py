"""Rule sets: what properties ask of each hit, and which hits they ask it of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

import orjson
import polars as pl

from tallymark.distinct import numbered
from tallymark.rule_documents import Rules, parse_rules
from tallymark.rule_documents.conditions import PREFIXES
from tallymark.rules.conditions import satisfied

_MAX_KEPT: Final = 20_000

Part = TypeVar("Part")


@lru_cache(maxsize=_MAX_KEPT)
def rule_set(hit_rules: str) -> Rules:
    """The rules that ``Rules.hit_rules`` says."""
    return parse_rules(orjson.loads(hit_rules))


@lru_cache(maxsize=_MAX_KEPT)
def asks_params(hit_rules: str) -> bool:
    """Whether a rule of the set tests a parameter or a user property, or reports go by one."""
    rules = rule_set(hit_rules)
    if rules.custom_dimensions or rules.custom_metrics or rules.has_event_values:
        return True
    parts = (*rules.rewrites, *rules.created_events, *rules.filters, *rules.key_events)
    conditions = [part.when for part in parts]
    fields = [condition.fields for condition in conditions if condition is not None]
    return any(name.startswith(PREFIXES) for each in fields for name in each)


@dataclass(frozen=True)
class Asked(Generic[Part]):
    """Rules of one sort, and the hits that each is put to.

    Attributes:
        parts: The rules, in the order of each property.
        rows: ``row`` of the hits and ``part``, the number of the rule; a row may be asked often.
    """

    parts: Sequence[Part]
    rows: pl.DataFrame

    def values(self, rows: pl.DataFrame, value_of: Callable[[Any], object]) -> pl.Series:
        """What the parts of ``rows`` say, a value a row."""
        distinct, places = numbered(rows.get_column("part"))
        return pl.Series([value_of(self.parts[part]) for part in distinct]).gather(places)


def of_parts(rows: pl.DataFrame, parts: Sequence[int]) -> pl.DataFrame:
    """Those of ``rows`` that are of some parts."""
    wanted = pl.Series(parts, dtype=pl.UInt32)
    return rows.filter(pl.col("part").is_in(wanted.implode()))


class RuledHits:
    """Which hits have rules of their own, and which.

    Args:
        hits: Have ``hit_rules``.
    """

    def __init__(self, hits: pl.DataFrame) -> None:
        texts, places = numbered(hits.get_column("hit_rules"))
        self.sets = [rule_set(text) if text else None for text in texts]
        sets = pl.DataFrame({"set": places.cast(pl.UInt32)}).with_row_index("row")
        bare = pl.Series([n for n, rules in enumerate(self.sets) if rules is None], dtype=pl.UInt32)
        self._rows = sets.filter(~pl.col("set").is_in(bare.implode()))

    def asked(self, parts_of: Callable[[Rules], Sequence[Part]]) -> Asked[Part]:
        """The rules of one sort, each with the hits of all properties that have it."""
        owned = [
            (number, part)
            for number, rules in enumerate(self.sets)
            if rules is not None
            for part in parts_of(rules)
        ]
        owners = pl.Series("set", [number for number, _ in owned], dtype=pl.UInt32)
        table = pl.DataFrame({"set": owners}).with_row_index("part")
        rows = self._rows.join(table, on="set", maintain_order="left_right").select("row", "part")
        return Asked([part for _, part in owned], rows)


def applying(hits: pl.DataFrame, asked: Asked[Any]) -> Asked[Any]:
    """Those of the rows that are as the ``when`` of their rule says."""
    holds = satisfied(hits, asked.rows, [part.when for part in asked.parts])
    return Asked(asked.parts, asked.rows.filter(holds))
