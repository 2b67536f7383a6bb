"""JSON values: what values of any type say, a column at a time."""

from collections.abc import Callable, Sequence
from typing import Final

import orjson
import polars as pl

from tallymark.protocols.numbers import micros_of

_MAX_TIME_US: Final = 2**62


def texts_of(values: Sequence[object]) -> pl.Series:
    """Scalars as text, "" for anything else."""
    return _column(values, text_of)


def json_of(values: Sequence[object]) -> pl.Series:
    """The same, but objects and lists as JSON."""
    return _column(values, _json)


def _column(values: Sequence[object], text: Callable[[object], str]) -> pl.Series:
    try:
        return pl.Series(values, dtype=pl.String, strict=True).fill_null("")
    except TypeError:  # not all of them are text
        return pl.Series([text(value) for value in values], dtype=pl.String)


def _json(value: object) -> str:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else text_of(value)


def text_of(value: object) -> str:
    """A scalar as text, "" for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()
    return ""


def amounts_of(values: Sequence[object]) -> pl.Series:
    """Micros of numbers, and of texts of numbers; null for what is neither.

    A double is what its shortest decimal says, which is what was sent: nobody writes more than 15
    digits.
    """
    texts = [value if isinstance(value, str) else _digits(value) for value in values]
    return micros_of(pl.Series(texts, dtype=pl.String))


def numbers_of(values: Sequence[object]) -> pl.Series:
    """Micros of numbers; null for what is none, text too."""
    return micros_of(pl.Series([_digits(value) for value in values], dtype=pl.String))


def _digits(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return repr(value) if is_number else ""


def time_us_of(value: object) -> int | None:
    """UTC µs; ``None`` for what is no time, so that the time of receipt holds."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, int | float) and abs(value) < _MAX_TIME_US:
        return int(value)
    return None
