"""Countries: the ISO codes of countries that others name in English, as Google Analytics does."""

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


def _codes(names: pl.Series) -> pl.Series:
    codes = _codes_by_name()
    return pl.Series([codes.get(name, "") for name in names], dtype=pl.String)


@lru_cache(maxsize=1)
def _codes_by_name() -> dict[str, str]:
    from babel import Locale  # noqa: PLC0415  reads its data

    territories = Locale("en").territories.items()
    return {name: code for code, name in territories if len(code) == 2} | OTHER_NAMES
