"""Filters: the trees of dimensionFilter and metricFilter, read and turned into expressions."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from tallymark.dimensions import NOT_SET
from tallymark.reports.fields import Enum, Reader
from tallymark.reports.patterns import MAX_WEIGHT, weight

MAX_LEAVES: Final = 200
MAX_TEXT_CHARACTERS: Final = 2_000
MATCH_TYPES: Final = Enum(
    "Filter.StringFilter.MatchType",
    {
        "MATCH_TYPE_UNSPECIFIED": 0,
        "EXACT": 1,
        "BEGINS_WITH": 2,
        "ENDS_WITH": 3,
        "CONTAINS": 4,
        "FULL_REGEXP": 5,
        "PARTIAL_REGEXP": 6,
    },
)
OPERATIONS: Final = Enum(
    "Filter.NumericFilter.Operation",
    {
        "EQUAL": 1,
        "LESS_THAN": 2,
        "LESS_THAN_OR_EQUAL": 3,
        "GREATER_THAN": 4,
        "GREATER_THAN_OR_EQUAL": 5,
    },
)
_LEAF_KINDS: Final = (
    "stringFilter",
    "inListFilter",
    "numericFilter",
    "betweenFilter",
    "emptyFilter",
)
_GROUPS: Final = ("andGroup", "orGroup")

Test = Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True)
class Leaf:
    """A test of one field's values."""

    field: str
    test: Test
    pattern: "Pattern | None" = None

    def expression(self, column: Callable[[str], pl.Expr]) -> pl.Expr:
        """Whether a row passes; ``column`` gives a field's values."""
        return self.test(column(self.field))

    def fields(self) -> Iterator[str]:
        """The fields it needs."""
        yield self.field

    def patterns(self) -> "Iterator[Pattern]":
        """The regular expression, if it is one."""
        if self.pattern is not None:
            yield self.pattern


@dataclass(frozen=True)
class Group:
    """Filters that must all pass, or of which one must."""

    every: bool
    members: tuple["Filter", ...]

    def expression(self, column: Callable[[str], pl.Expr]) -> pl.Expr:
        """Whether a row passes."""
        parts = [member.expression(column) for member in self.members]
        return pl.all_horizontal(parts) if self.every else pl.any_horizontal(parts)

    def fields(self) -> Iterator[str]:
        """The fields it needs."""
        for member in self.members:
            yield from member.fields()

    def patterns(self) -> "Iterator[Pattern]":
        """Its regular expressions."""
        for member in self.members:
            yield from member.patterns()


@dataclass(frozen=True)
class Not:
    """A filter that must not pass."""

    member: "Filter"

    def expression(self, column: Callable[[str], pl.Expr]) -> pl.Expr:
        """Whether a row passes."""
        return ~self.member.expression(column)

    def fields(self) -> Iterator[str]:
        """The fields it needs."""
        return self.member.fields()

    def patterns(self) -> "Iterator[Pattern]":
        """Its regular expressions."""
        return self.member.patterns()


Filter = Leaf | Group | Not


def read_filter(reader: Reader | None, kinds: Collection[str] = _LEAF_KINDS) -> Filter | None:
    """A filter tree; problems go to the reader's list.

    Args:
        reader: The outermost expression; ``None`` and an empty one filter nothing.
        kinds: The tests that are allowed.
    """
    if reader is None or not reader.content:
        return None
    found = _read_expression(reader, kinds)
    if found is not None and sum(1 for _ in found.fields()) > MAX_LEAVES:
        reader.complain(f"expected at most {MAX_LEAVES} filters")
        return None
    if found is not None and not _can_compile(reader, list(found.patterns())):
        return None
    return found


@dataclass(frozen=True)
class Pattern:
    """A regular expression as a request gives it, and as it is matched.

    Attributes:
        given: In the request.
        matched: With what its match type and case mean.
        reader: Where it stands.
    """

    given: str
    matched: str
    reader: Reader


def _can_compile(reader: Reader, patterns: list[Pattern]) -> bool:
    """Whether patterns are good, and not too large together; problems go to the reader's list."""
    if sum(weight(pattern.given) for pattern in patterns) > MAX_WEIGHT:
        reader.complain(
            "expected regular expressions that repeat less: compiled they would be too large"
        )
        return False
    good = True
    for pattern in patterns:
        try:
            for candidate in (pattern.given, pattern.matched):
                pl.Series([""]).str.contains(candidate)
        except pl.exceptions.ComputeError:
            pattern.reader.complain(
                f"value: expected a regular expression in RE2 syntax, got {pattern.given!r:.200}"
            )
            good = False
    return good


NUMERIC_KINDS: Final = ("numericFilter", "betweenFilter")
"""The tests that metrics can take."""


def _read_expression(reader: Reader, kinds: Collection[str]) -> Filter | None:
    reader.only(*_GROUPS, "notExpression", "filter")
    if len(reader.content) != 1:
        allowed = ", ".join((*_GROUPS, "notExpression", "filter"))
        reader.complain(f"expected exactly one of {allowed}")
        return None
    (name,) = reader.content
    inner = reader.object(name)
    if inner is None or name not in (*_GROUPS, "notExpression", "filter"):
        return None
    if name == "filter":
        return _read_leaf(inner, kinds)
    if name == "notExpression":
        negated = _read_expression(inner, kinds)
        return None if negated is None else Not(negated)
    inner.only("expressions")
    members = [_read_expression(member, kinds) for member in inner.objects("expressions")]
    if not members:
        inner.complain("expected at least one expression")
    return Group(name == "andGroup", tuple(part for part in members if part is not None))


def _read_leaf(reader: Reader, kinds: Collection[str]) -> Leaf | None:
    reader.only("fieldName", *_LEAF_KINDS)
    field = reader.text("fieldName")
    given = [kind for kind in _LEAF_KINDS if kind in reader.content]
    if len(given) != 1 or given[0] not in kinds:
        reader.complain(f"expected fieldName and exactly one of {', '.join(kinds)}")
        return None
    inner = reader.object(given[0])
    assert inner is not None
    if given[0] == "stringFilter":
        return _read_string(field, inner)
    return Leaf(field, _TESTS[given[0]](inner))


def _read_string(field: str, reader: Reader) -> Leaf:
    reader.only("matchType", "value", "caseSensitive")
    match = reader.enum("matchType", MATCH_TYPES, "EXACT")
    value, is_sensitive = _limited(reader, reader.text("value")), reader.flag("caseSensitive")
    if match.endswith("REGEXP"):
        pattern = _pattern(reader, value, is_full=match == "FULL_REGEXP", is_sensitive=is_sensitive)
        return Leaf(field, lambda column: column.str.contains(pattern.matched), pattern)
    wanted = _folded(pl.lit(value), is_sensitive)

    def test(column: pl.Expr) -> pl.Expr:
        text = _folded(column, is_sensitive)
        if match == "BEGINS_WITH":
            return text.str.starts_with(wanted)
        if match == "ENDS_WITH":
            return text.str.ends_with(wanted)
        if match == "CONTAINS":
            return text.str.contains(wanted, literal=True)
        return text == wanted

    return Leaf(field, test)


def _pattern(reader: Reader, value: str, *, is_full: bool, is_sensitive: bool) -> Pattern:
    """Patterns are of Rust's regex crate, close to RE2: linear time, no look-around."""
    pattern = rf"\A(?:{value})\z" if is_full else value
    return Pattern(value, pattern if is_sensitive else f"(?i){pattern}", reader)


def _read_in_list(reader: Reader) -> Test:
    reader.only("values", "caseSensitive")
    values, is_sensitive = reader.texts("values"), reader.flag("caseSensitive")
    if not values:
        reader.complain("values: expected at least one")
    wanted = pl.Series(values, dtype=pl.String)
    if not is_sensitive:
        wanted = wanted.str.to_lowercase()
    return lambda column: _folded(column, is_sensitive).is_in(wanted.implode())


def _read_numeric(reader: Reader) -> Test:
    reader.only("operation", "value")
    operation = reader.enum("operation", OPERATIONS)
    bound = _read_number(reader, "value")
    comparisons: dict[str, Test] = {
        "EQUAL": lambda number: number == bound,
        "LESS_THAN": lambda number: number < bound,
        "LESS_THAN_OR_EQUAL": lambda number: number <= bound,
        "GREATER_THAN": lambda number: number > bound,
        "GREATER_THAN_OR_EQUAL": lambda number: number >= bound,
    }
    compare = comparisons.get(operation, comparisons["EQUAL"])
    return lambda column: compare(_number(column)).fill_null(value=False)


def _read_between(reader: Reader) -> Test:
    reader.only("fromValue", "toValue")
    low, high = _read_number(reader, "fromValue"), _read_number(reader, "toValue")
    return lambda column: _number(column).is_between(low, high).fill_null(value=False)


def _read_number(reader: Reader, name: str) -> float:
    inner = reader.object(name)
    if inner is None:
        reader.complain(f"{name}: expected int64Value or doubleValue")
        return 0.0
    inner.only("int64Value", "doubleValue")
    if len(inner.content) != 1:
        inner.complain("expected exactly one of int64Value, doubleValue")
    if "int64Value" in inner.content:
        return float(inner.whole("int64Value"))
    return inner.decimal("doubleValue")


def _read_empty(reader: Reader) -> Test:
    reader.only()
    return lambda column: column.is_in(["", NOT_SET])


_TESTS: Final[dict[str, Callable[[Reader], Test]]] = {
    "inListFilter": _read_in_list,
    "numericFilter": _read_numeric,
    "betweenFilter": _read_between,
    "emptyFilter": _read_empty,
}


def _number(column: pl.Expr) -> pl.Expr:
    """Text that is no number compares with none."""
    return column.cast(pl.Float64, strict=False)


def _folded(column: pl.Expr, is_sensitive: bool) -> pl.Expr:
    return column if is_sensitive else column.str.to_lowercase()


def _limited(reader: Reader, value: str) -> str:
    if len(value) > MAX_TEXT_CHARACTERS:
        reader.complain(f"value: expected at most {MAX_TEXT_CHARACTERS} characters")
        return ""
    return value
