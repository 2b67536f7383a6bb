"""Countries: their ISO codes and their names in English, as Google Analytics has them."""

from functools import lru_cache
from typing import Final

import polars as pl

from tallymark.distinct import mapped

OTHER_NAMES: Final = {
    "Cape Verde": "CV", "Congo (DRC)": "CD", "Congo (Republic)": "CG", "Czech Republic": "CZ",
    "Hong Kong": "HK", "Ivory Coast": "CI", "Macao": "MO", "Macau": "MO",
    "Macedonia (FYROM)": "MK", "Myanmar": "MM", "Palestine": "PS", "Swaziland": "SZ",
    "Turkey": "TR",
}  # fmt: skip
"""Names that are used beside those of the Unicode locale data, or were until lately."""


def country_codes(names: pl.Series) -> pl.Series:
    """The ISO codes of countries; "" for what is none, as ``(not set)``; no nulls come in."""
    return mapped(names, _codes)


def country_names(codes: pl.Series) -> pl.Series:
    """The English names of ISO codes; what is no code stays what it is. No nulls come in."""
    return mapped(codes, _names)


def _names(codes: pl.Series) -> pl.Series:
    names = _territories()
    return pl.Series([names.get(code, code) for code in codes], dtype=pl.String)


def _codes(names: pl.Series) -> pl.Series:
    codes = _codes_by_name()
    return pl.Series([codes.get(name, "") for name in names], dtype=pl.String)


@lru_cache(maxsize=1)
def _codes_by_name() -> dict[str, str]:
    territories = _territories().items()
    return {name: code for code, name in territories if len(code) == 2} | OTHER_NAMES


@lru_cache(maxsize=1)
def _territories() -> dict[str, str]:
    from babel import Locale  # noqa: PLC0415  reads its data

    return dict(Locale("en").territories)
