"""Rule sets: what properties ask of each hit, compiled once and put to all that ask the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_
from typing import Final

import orjson
import polars as pl

from tallymark.rule_documents import Rules, parse_rules
from tallymark.rule_documents.conditions import PREFIXES, Condition
from tallymark.rules.conditions import expression
from tallymark.rules.rewrites import step

_MAX_COMPILED: Final = 20_000
_REFERRER_HOST: Final = r"^(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#]*@)?(\[[^\]/?#]*\]|[^/?#:]*)"

Steps = Sequence[Sequence[pl.Expr]]
"""Columns made of columns, one step after the other."""


@dataclass(frozen=True, kw_only=True)
class RuleSet:
    """The rules of a hit as expressions.

    Attributes:
        rewriting: What comes before enrichment.
        judging: What comes after it.
        asks_params: Whether parameters or user properties are asked for.
    """

    rewriting: Steps
    judging: Steps
    asks_params: bool


@lru_cache(maxsize=_MAX_COMPILED)
def rule_set(hit_rules: str) -> RuleSet:
    """The rules that ``Rules.hit_rules`` says."""
    rules = parse_rules(orjson.loads(hit_rules))
    rewriting = [step(rewrite) for rewrite in rules.rewrites]
    if rules.referral_exclusions:
        rewriting.append([_own_referrer(rules.referral_exclusions)])
    judging = []
    filters = {each.name: each.when for each in rules.filters if each.state == "active"}
    if filters:
        judging.append([_excluded_by(filters)])
    if any(event.when for event in rules.key_events):
        judging.append([_is_key_event(rules)])
    return RuleSet(
        rewriting=rewriting, judging=judging, asks_params=any(map(_asks_params, _conditions(rules)))
    )


def _conditions(rules: Rules) -> list[Condition]:
    parts = (*rules.rewrites, *rules.filters, *rules.key_events)
    return [part.when for part in parts if part.when is not None]


def _asks_params(condition: Condition) -> bool:
    return any(field.startswith(PREFIXES) for field in condition.fields)


def _own_referrer(hosts: Sequence[str]) -> pl.Expr:
    host = pl.col("referrer").str.extract(_REFERRER_HOST).fill_null("").str.to_lowercase()
    return reduce(or_, ((host == each) | host.str.ends_with(f".{each}") for each in hosts)).alias(
        "is_own_referrer"
    )


def _excluded_by(filters: dict[str, Condition]) -> pl.Expr:
    """The first filter that applies, where nothing has tagged the hit before."""
    tags = [
        pl.when(expression(condition)).then(pl.lit(name)) for name, condition in filters.items()
    ]
    is_tagged = pl.when(pl.col("excluded_by") != "").then("excluded_by")
    return pl.coalesce(is_tagged, *tags, pl.lit("")).alias("excluded_by")


def _is_key_event(rules: Rules) -> pl.Expr:
    name = pl.col("event_name")
    asked = [
        (name == event.event) & expression(event.when)
        if event.when is not None
        else name == event.event
        for event in rules.key_events
    ]
    return reduce(or_, asked).alias("is_key_event")


def with_steps(hits: pl.DataFrame, steps_of: Callable[[RuleSet], Steps]) -> pl.DataFrame:
    """``hits`` after some steps of their rule sets; the order is kept.

    Each set is put to all its hits at once, all sets in one go.

    Args:
        hits: Have ``hit_rules``.
        steps_of: Which steps.
    """
    texts = hits.get_column("hit_rules")
    distinct = texts.unique().to_list()
    asked = {text: steps for text in distinct if text and (steps := steps_of(rule_set(text)))}
    if not asked:
        return hits
    if len(distinct) == 1:
        return _after(hits.lazy(), asked[distinct[0]]).collect()
    numbered = hits.with_row_index("place").sort("hit_rules", maintain_order=True)
    counts = numbered.group_by("hit_rules", maintain_order=True).len()
    parts, start = [], 0
    for text, count in counts.iter_rows():
        part = numbered.slice(start, count).lazy()
        parts.append(_after(part, asked[text]) if text in asked else part)
        start += count
    return pl.concat(pl.collect_all(parts)).sort("place").drop("place")


def _after(hits: pl.LazyFrame, steps: Steps) -> pl.LazyFrame:
    return reduce(lambda frame, step: frame.with_columns(step), steps, hits)
