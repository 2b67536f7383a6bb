"""Numbers as clients send them: decimal text to integer micros and milliseconds, exactly."""

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Final

import polars as pl

from tallymark.distinct import mapped

MAX_MICROS: Final = 10**16
"""Ten thousand million units: what is beyond is no amount, and sums of a thousand such fit."""
MAX_ENGAGEMENT_MS: Final = 24 * 3_600_000
"""No page is in focus for longer between two hits; what is beyond is cut."""

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_MAX_DIGITS: Final = 100
_COMMON: Final = r"^(-?)([0-9]{1,9})(?:\.([0-9]{1,6}))?$"


def exact_micros(text: str) -> int | None:
    """Micros of a decimal number; the seventh digit and those after it are rounded half to even.

    Returns:
        ``None`` for what is no number, or beyond ``MAX_MICROS``.
    """
    if len(text) > _MAX_DIGITS or not _NUMBER.fullmatch(text):
        return None
    try:
        number = Decimal(text)
        if number and number.adjusted() > 12:
            return None
        micros = int(number.scaleb(6).to_integral_value(ROUND_HALF_EVEN))
    except InvalidOperation:  # an exponent that no Decimal holds
        return None
    return micros if abs(micros) <= MAX_MICROS else None


def micros_of(values: pl.Series) -> pl.Series:
    """``exact_micros`` of a column of text: Int64, null for what is no number."""
    filled = values != ""
    if not filled.any():
        return pl.Series(values.name, [None], dtype=pl.Int64).new_from_index(0, len(values))
    sent = mapped(values.filter(filled), _micros_of_distinct)
    found = pl.Series(values.name, [None], dtype=pl.Int64).new_from_index(0, len(values))
    return found.scatter(filled.arg_true(), sent)


def _micros_of_distinct(values: pl.Series) -> pl.Series:
    parts = values.str.extract_groups(_COMMON).struct.unnest().to_series
    sign, whole, fraction = parts(0), parts(1), parts(2)
    micros = whole.cast(pl.Int64) * 1_000_000
    micros = micros + fraction.fill_null("").str.pad_end(6, "0").cast(pl.Int64)
    micros = micros * pl.select(pl.when(sign == "-").then(-1).otherwise(1)).to_series()
    uncommon = micros.is_null()
    if not uncommon.any():
        return micros
    exact = pl.Series([exact_micros(text) for text in values.filter(uncommon)], dtype=pl.Int64)
    return micros.scatter(uncommon.arg_true(), exact)


def engagement_ms_of(values: pl.Series) -> pl.Series:
    """Whole milliseconds of a column of text, 0 to ``MAX_ENGAGEMENT_MS``; 0 for no number."""
    found = values.str.to_integer(strict=False)
    rest = found.is_null() & (values != "")
    if rest.any():
        micros = micros_of(values.filter(rest))
        found = found.scatter(rest.arg_true(), micros // 1_000_000)
    return found.fill_null(0).clip(0, MAX_ENGAGEMENT_MS)
