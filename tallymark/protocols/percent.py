"""Percent-decoding and encoding, as ``urllib.parse`` does it, of whole columns."""

from functools import lru_cache
from itertools import product
from typing import Final
from urllib.parse import quote, unquote_plus

import polars as pl

from tallymark.distinct import mapped


def _ascii_escapes() -> dict[str, str]:
    """Every spelling of every escape of an ASCII character (``%2f``, ``%2F``, …), and ``+``."""
    spellings = {"+": " "}
    for code in range(128):
        high, low = f"{code >> 4:x}", f"{code & 15:x}"
        for digits in product((high, high.upper()), (low, low.upper())):
            spellings["%" + "".join(digits)] = chr(code)
    return spellings


_ESCAPES: Final = _ascii_escapes()
_RESERVED: Final = "[^A-Za-z0-9_.~-]"
_BEYOND_ASCII: Final = "%[89A-Fa-f][0-9A-Fa-f]"
_unquoted = lru_cache(maxsize=65_536)(unquote_plus)


def percent_decoded(values: pl.Series) -> pl.Series:
    """``values`` decoded: ``+`` is a space, what is no UTF-8 is U+FFFD, broken escapes stay.

    The escapes of ASCII characters do not overlap and none can arise from another, so all are
    replaced in one pass; only distinct values with others are decoded one by one.
    """
    return mapped(values, _decoded)


def _decoded(values: pl.Series) -> pl.Series:
    plain = values.str.replace_many(list(_ESCAPES), list(_ESCAPES.values()))
    beyond = values.str.contains(_BEYOND_ASCII)
    if not beyond.any():
        return plain
    decoded = [_unquoted(value) for value in values.filter(beyond)]
    return plain.scatter(beyond.arg_true(), pl.Series(decoded, dtype=pl.String))


def percent_encoded(values: pl.Series) -> pl.Series:
    """``values`` as a query holds them; nulls stay. Only distinct values are looked at."""
    is_reserved = values.str.contains(_RESERVED).fill_null(value=False)
    if not is_reserved.any():
        return values
    encoded = mapped(values.filter(is_reserved), _encoded)
    return values.clone().scatter(is_reserved.arg_true(), encoded)  # it writes in place


def _encoded(values: pl.Series) -> pl.Series:
    return pl.Series([quote(value, safe="") for value in values], dtype=pl.String)
