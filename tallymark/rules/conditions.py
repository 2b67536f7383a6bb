"""Conditions as Polars expressions over a frame of hits."""

import ipaddress
from collections.abc import Callable
from functools import reduce
from operator import and_, or_
from typing import Any, Final

import polars as pl

from tallymark.distinct import mapped
from tallymark.rule_documents.conditions import PREFIXES, Condition, micros
from tallymark.rule_documents.models import given

_LISTS: Final = dict(zip(PREFIXES, ("params", "user_properties"), strict=True))
_COLUMNS: Final = {"network": "ip_network"}


def expression(condition: Condition) -> pl.Expr:
    """Whether a hit is as the condition says: Boolean, never null."""
    if condition.parts:
        return _group(condition, [expression(part) for part in condition.parts])
    if condition.in_network is not None:
        return _lies_in(condition.in_network)
    assert condition.field is not None, "a condition is a group, or has networks or a field"
    return _test(condition, condition.field)


def _group(condition: Condition, parts: list[pl.Expr]) -> pl.Expr:
    if condition.not_ is not None:
        return ~parts[0]
    return reduce(and_ if condition.all is not None else or_, parts)


def _test(condition: Condition, field: str) -> pl.Expr:
    if field in _NUMBERS:
        return _number_test(condition, _NUMBERS[field])
    if condition.above is not None or condition.below is not None:
        return _number_test(condition, _named(field).struct.field("micros"))
    return _text_test(condition, _text(field))


_NUMBERS: Final = {
    "value": pl.col("event_value_micros"),
    "engagement_seconds": pl.col("engagement_ms") * 1000,
}
"""Micros."""


def _text(field: str) -> pl.Expr:
    if field.startswith(PREFIXES):
        return _named(field).struct.field("text").fill_null("")
    return pl.col(_COLUMNS.get(field, field))


def _named(field: str) -> pl.Expr:
    """The first parameter or user property of a name (``PARAM``), null where none was sent."""
    prefix = next(each for each in PREFIXES if field.startswith(each))
    is_it = pl.element().struct.field("key") == field.removeprefix(prefix)
    return pl.col(_LISTS[prefix]).list.filter(is_it).list.first()


def _number_test(condition: Condition, number: pl.Expr) -> pl.Expr:
    if condition.above is not None:
        found = number > micros(condition.above)
    elif condition.below is not None:
        found = number < micros(condition.below)
    else:
        found = (number != 0) == condition.is_set
    return found.fill_null(value=False)


_TEXT_TESTS: Final[dict[str, Callable[[pl.Expr, Any], pl.Expr]]] = {
    "is_": lambda text, other: text == other,
    "in_": lambda text, others: text.is_in(list(others)),
    "starts_with": lambda text, start: text.str.starts_with(start),
    "ends_with": lambda text, end: text.str.ends_with(end),
    "contains": lambda text, part: text.str.contains(part, literal=True),
    "is_set": lambda text, is_set: (text != "") == is_set,
}


def _text_test(condition: Condition, text: pl.Expr) -> pl.Expr:
    if condition.matches is not None:
        flags = "(?i)" if condition.ignore_case else ""
        return text.str.contains(flags + condition.matches)
    ((name, value),) = given(condition, tuple(_TEXT_TESTS)).items()
    if condition.ignore_case:
        text, value = text.str.to_lowercase(), _lower(value)
    return _TEXT_TESTS[name](text, value)


def _lower(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(each.lower() for each in value)
    return value.lower() if isinstance(value, str) else value


def _lies_in(networks: tuple[str, ...]) -> pl.Expr:
    larger = [ipaddress.ip_network(each) for each in networks]

    def contains(text: str) -> bool:
        if not text:
            return False
        found = ipaddress.ip_network(text)
        return any(
            each.version == found.version and found.network_address in each for each in larger
        )

    def look(distinct: pl.Series) -> pl.Series:
        return pl.Series([contains(text) for text in distinct], dtype=pl.Boolean)

    return pl.col("ip_network").map_batches(
        lambda texts: mapped(texts, look), return_dtype=pl.Boolean
    )
