"""Texts of times: what dimensions of time say, from the columns of local time."""

from collections.abc import Callable
from typing import Final

import polars as pl

LOCAL: Final = "local_time"
"""Column of the local day, hour or minute of rows (a Datetime)."""
RANGE_START: Final = "range_start"
"""Column of the local time at which the date range of a row begins."""
NOW: Final = "now"
"""Column of the local minute in which a report is asked for."""


def digits(number: pl.Expr, width: int) -> pl.Expr:
    """A number with zeros in front."""
    return number.cast(pl.Int64).cast(pl.String).str.zfill(width)


def part(name: str, width: int, time: str = LOCAL) -> Callable[[], pl.Expr]:
    """A part of a time as Polars names it."""
    return lambda: digits(getattr(pl.col(time).dt, name)(), width)


def year_month() -> pl.Expr:
    """YYYYMM."""
    return pl.concat_str(part("year", 4)(), part("month", 2)())


def date() -> pl.Expr:
    """YYYYMMDD."""
    return pl.concat_str(year_month(), part("day", 2)())


def date_hour() -> pl.Expr:
    """YYYYMMDDHH."""
    return pl.concat_str(date(), part("hour", 2)())


def date_hour_minute() -> pl.Expr:
    """YYYYMMDDHHMM."""
    return pl.concat_str(date_hour(), part("minute", 2)())


def weekday(time: str = LOCAL) -> pl.Expr:
    """The number of the day, from 0 for Sunday."""
    return pl.col(time).dt.weekday().cast(pl.Int64) % 7


def week() -> pl.Expr:
    """Weeks begin on Sunday, and January 1st is always in week 1."""
    day = pl.col(LOCAL).dt.ordinal_day().cast(pl.Int64) - 1
    weekday_of_january_1st = (weekday() - day) % 7
    return digits((day + weekday_of_january_1st) // 7 + 1, 2)


def day_of_week() -> pl.Expr:
    """0 for Sunday to 6 for Saturday."""
    return digits(weekday(), 1)


def day_of_week_name() -> pl.Expr:
    """The English name of the day."""
    return pl.col(LOCAL).dt.strftime("%A")


def year_week() -> pl.Expr:
    """YYYYWW of weeks that begin on Sunday."""
    return pl.concat_str(part("year", 4)(), week())


def iso_year_iso_week() -> pl.Expr:
    """YYYYWW of ISO 8601."""
    return pl.concat_str(part("iso_year", 4)(), part("week", 2)())


def nth(unit: str) -> Callable[[], pl.Expr]:
    """How many whole ``unit`` (as ``days``) have passed since the date range began."""
    return lambda: digits(getattr(_passed().dt, f"total_{unit}")(), 4)


def nth_week() -> pl.Expr:
    """How many Sundays have passed since the date range began."""
    return digits((_passed().dt.total_days() + weekday(RANGE_START)) // 7, 4)


def nth_month() -> pl.Expr:
    """How many months have begun since the one in which the date range began."""
    return digits(12 * _change("year") + _change("month"), 4)


def nth_year() -> pl.Expr:
    """How many years have begun since the one in which the date range began."""
    return digits(_change("year"), 4)


def minutes_ago() -> pl.Expr:
    """How many minutes lie between the present one and that of the row."""
    return digits((pl.col(NOW) - pl.col(LOCAL)).dt.total_minutes(), 2)


def _passed() -> pl.Expr:
    return pl.col(LOCAL) - pl.col(RANGE_START)


def _change(unit: str) -> pl.Expr:
    now, then = (part(unit, 1, name)().cast(pl.Int64) for name in (LOCAL, RANGE_START))
    return now - then
