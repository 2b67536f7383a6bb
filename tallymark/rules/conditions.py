"""Conditions put to hits: those of many properties at once, a test of a kind in one go.

Conditions are taken apart into their tests. All tests that compare one field in one way, whoever's
they are, are one comparison of two columns: what the hits say, and what the tests ask. Groups are
then put together again from the inside out. So the work grows with the hits and their tests, and
not with the number of properties that ask differently.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import polars as pl

from tallymark.distinct import compared
from tallymark.rule_documents.conditions import PREFIXES, Condition, micros
from tallymark.rule_documents.models import given
from tallymark.rules.sent_lists import first_sent

_LISTS: Final = dict(zip(PREFIXES, ("params", "user_properties"), strict=True))
_COLUMNS: Final = {
    "network": "ip_network", "value": "event_value_micros", "engagement_seconds": "engagement_ms",
}  # fmt: skip
_TESTS: Final = (
    "is_", "in_", "starts_with", "ends_with", "contains", "matches", "is_set", "above", "below",
    "in_network",
)  # fmt: skip
_NUMBER_TESTS: Final = ("above", "below")
_ASKED: Final[dict[str, pl.DataType]] = {
    "in_": pl.List(pl.String), "in_network": pl.List(pl.String), "is_set": pl.Boolean(),
    **dict.fromkeys(_NUMBER_TESTS, pl.Int64()),
}  # fmt: skip
"""What tests ask, where it is no text."""
_MAX_KEPT: Final = 100_000


@dataclass(frozen=True)
class _Kind:
    """Tests that are one comparison.

    Attributes:
        place: The column, or the prefix of parameters or user properties.
        test: How it is compared.
        ignore_case: Whether in lower case.
    """

    place: str
    test: str
    ignore_case: bool


@dataclass(frozen=True)
class _Node:
    """A condition or a part of one.

    Attributes:
        parent: Its number in the whole condition, which itself has none (-1).
        depth: How many groups it lies in.
        group: ``all``, ``any``, ``not_``, "" of a test.
        test: Kind, name of the parameter if it is of one, what is asked; ``None`` of a group.
    """

    parent: int
    depth: int
    group: str
    test: tuple[_Kind, str, Any] | None


@lru_cache(maxsize=_MAX_KEPT)
def _taken_apart(condition: Condition) -> tuple[_Node, ...]:
    """Its nodes, parents first."""
    nodes: list[_Node] = []

    def take(part: Condition, parent: int, depth: int) -> None:
        number = len(nodes)
        group = next(iter(given(part, ("all", "any", "not_"))), "")
        nodes.append(_Node(parent, depth, group, None if group else _test(part)))
        for inner in part.parts:
            take(inner, number, depth + 1)

    take(condition, -1, 0)
    return tuple(nodes)


@dataclass
class _Parts:
    """Many conditions taken apart, their nodes numbered through."""

    condition: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    group: list[str] = field(default_factory=list)
    tests: dict[_Kind, list[tuple[int, str, Any]]] = field(default_factory=dict)

    def take(self, number: int, condition: Condition) -> None:
        """Take the condition of this number apart."""
        first = len(self.condition)
        for place, node in enumerate(_taken_apart(condition), start=first):
            self.condition.append(number)
            self.parent.append(first + node.parent)
            self.depth.append(node.depth)
            self.group.append(node.group)
            if node.test is not None:
                kind, name, asked = node.test
                self.tests.setdefault(kind, []).append((place, name, asked))

    def nodes(self) -> pl.DataFrame:
        """``node``, ``condition``, ``parent``, ``depth``, ``group``."""
        columns = {
            "condition": self.condition, "parent": self.parent, "depth": self.depth,
        }  # fmt: skip
        nodes = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Int64))
        return (
            nodes.with_columns(pl.Series("group", self.group, dtype=pl.String))
            .with_row_index("node")
            .cast({"node": pl.Int64})
        )


def _test(condition: Condition) -> tuple[_Kind, str, Any]:
    """The kind of a test, the name of the parameter if it is of one, and what is asked."""
    ((test, asked),) = given(condition, _TESTS).items()
    name, place = "", condition.field or "network"
    for prefix in PREFIXES:
        if place.startswith(prefix):
            name, place = place.removeprefix(prefix), prefix
    if test in _NUMBER_TESTS:
        asked = micros(asked)
    elif condition.ignore_case and test not in ("matches", "is_set"):
        asked = [each.lower() for each in asked] if test == "in_" else asked.lower()
    elif condition.ignore_case and test == "matches":
        asked = f"(?i){asked}"
    elif test in ("in_", "in_network"):
        asked = list(asked)
    return _Kind(place, test, bool(condition.ignore_case) and test != "matches"), name, asked


def satisfied(
    hits: pl.DataFrame, asked: pl.DataFrame, conditions: Sequence[Condition | None]
) -> pl.Series:
    """Whether hits are as conditions say: Boolean, never null.

    Args:
        hits: Decoded at least; enriched, where a condition tests what enrichment finds.
        asked: ``row`` of ``hits`` and ``part``, the number of the condition put to it.
        conditions: Those that are asked; ``None`` holds for every hit.
    """
    parts = _Parts()
    for number, condition in enumerate(conditions):
        if condition is not None:
            parts.take(number, condition)
    if not parts.tests:
        return pl.Series([True]).new_from_index(0, asked.height)
    nodes = parts.nodes()
    pairs = asked.select("row", condition="part").with_row_index("pair")
    tested = pl.concat(
        [_tested(hits, pairs, nodes, kind, tests) for kind, tests in parts.tests.items()]
    )
    roots = _grouped(tested, nodes)
    return (
        pairs.join(roots, on="pair", how="left", maintain_order="left")
        .get_column("holds")
        .fill_null(value=True)
    )


def _tested(
    hits: pl.DataFrame,
    pairs: pl.DataFrame,
    nodes: pl.DataFrame,
    kind: _Kind,
    tests: list[tuple[int, str, Any]],
) -> pl.DataFrame:
    """``pair``, ``node``, ``holds`` of the tests of a kind."""
    numbers, names, asked = zip(*tests, strict=True)
    table = pl.DataFrame(
        {
            "node": pl.Series(numbers, dtype=pl.Int64),
            "name": pl.Series(names, dtype=pl.String),
            "asked": pl.Series(asked, dtype=_ASKED.get(kind.test, pl.String())),
        }
    ).join(nodes.select("node", "condition"), on="node")
    put = pairs.join(table.cast({"condition": pairs.schema["condition"]}), on="condition")
    if kind.test == "matches":  # a pattern is compiled once if its rows are neighbours
        put = put.sort("node")
    said = _said(hits, put, kind)
    if kind.ignore_case:
        said = said.str.to_lowercase()
    holds = _COMPARISONS[kind.test](said, put.get_column("asked"))
    return put.select("pair", "node", holds=holds.fill_null(value=False))


def _said(hits: pl.DataFrame, put: pl.DataFrame, kind: _Kind) -> pl.Series:
    """What each hit says where it is asked: text, or micros."""
    rows = put.get_column("row")
    if kind.place in PREFIXES:
        return _named(hits, put, kind)
    column = hits.get_column(_COLUMNS.get(kind.place, kind.place)).gather(rows)
    return column * 1000 if kind.place == "engagement_seconds" else column


def _named(hits: pl.DataFrame, put: pl.DataFrame, kind: _Kind) -> pl.Series:
    """The first parameter or user property of the name that is asked for; what was not sent is ""
    as a text, and null as a number."""
    asked = put.select("row", key="name")
    found = first_sent(hits, _LISTS[kind.place], asked)
    is_number = kind.test in _NUMBER_TESTS
    return found["micros"] if is_number else found["text"].fill_null("")


def _is_set(said: pl.Series, asked: pl.Series) -> pl.Series:
    return (said != ("" if said.dtype == pl.String else 0)) == asked


def _lies_in(said: pl.Series, asked: pl.Series) -> pl.Series:
    pairs = pl.DataFrame({"said": said, "asked": asked.list.join(" ")})
    distinct = pairs.unique(maintain_order=True)
    holds = [_contains(*pair) for pair in distinct.iter_rows()]
    known = distinct.with_columns(holds=pl.Series(holds, dtype=pl.Boolean))
    return pairs.join(known, on=["said", "asked"], how="left", maintain_order="left").get_column(
        "holds"
    )


def _contains(text: str, networks: str) -> bool:
    if not text:
        return False
    found = ipaddress.ip_network(text)
    larger = map(ipaddress.ip_network, networks.split())
    return any(each.version == found.version and found.network_address in each for each in larger)


def _by(
    compare: Callable[[pl.Expr, pl.Expr], pl.Expr],
) -> Callable[[pl.Series, pl.Series], pl.Series]:
    return lambda said, asked: compared(said, asked, compare)


_COMPARISONS: Final = {
    "is_": _by(lambda said, asked: said == asked),
    "in_": _by(lambda said, asked: said.is_in(asked)),
    "starts_with": _by(lambda said, asked: said.str.starts_with(asked)),
    "ends_with": _by(lambda said, asked: said.str.ends_with(asked)),
    "contains": _by(lambda said, asked: said.str.contains(asked, literal=True)),
    "matches": _by(lambda said, asked: said.str.contains(asked)),
    "above": _by(lambda said, asked: said > asked),
    "below": _by(lambda said, asked: said < asked),
    "is_set": _is_set,
    "in_network": _lies_in,
}


def _grouped(tested: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """``pair`` and ``holds`` of whole conditions, from what their tests say."""
    tree = nodes.select("node", "parent", "depth")
    groups = nodes.select(parent="node", group="group")
    known = tested.join(tree, on="node")
    deepest = int(nodes.get_column("depth").max() or 0)  # type: ignore[arg-type]
    for depth in range(deepest, 0, -1):
        inner = known.filter(pl.col("depth") == depth).join(groups, on="parent")
        group = pl.col("group")
        put_together = inner.group_by("pair", "parent").agg(
            holds=pl.when(group.first() == "all")
            .then(pl.col("holds").all())
            .when(group.first() == "any")
            .then(pl.col("holds").any())
            .otherwise(~pl.col("holds").first())
        )
        outer = put_together.rename({"parent": "node"}).join(tree, on="node")
        known = pl.concat([known.filter(pl.col("depth") < depth), outer.select(known.columns)])
    return known.select("pair", "holds")
