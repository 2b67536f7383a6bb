"""Distinct values: what costs time is computed once for each, not once for each hit."""

from collections.abc import Callable

import polars as pl


def with_looked_up(
    frame: pl.DataFrame, key: str, lookup: Callable[[pl.Series], pl.DataFrame]
) -> pl.DataFrame:
    """``frame`` with the columns that ``lookup`` makes of the distinct values of ``key``.

    Args:
        frame: Any; ``key`` has no nulls.
        lookup: From distinct values to a frame of as many rows, in their order.
    """
    distinct, places = numbered(frame.get_column(key))
    return frame.hstack(lookup(distinct)[places])


def mapped(values: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """``function`` of ``values``, called with the distinct ones; null where ``values`` is."""
    distinct, places = numbered(values)
    return function(distinct).gather(places)


def numbered(values: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The distinct values in the order in which they come, and the number of each row's.

    Arrow does it in half the time of a join with the unique values.
    """
    array = values.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    return pl.Series(values.name, array.dictionary), pl.Series(array.indices)


def compared(
    said: pl.Series, asked: pl.Series, compare: Callable[[pl.Expr, pl.Expr], pl.Expr]
) -> pl.Series:
    """What an expression of two columns says, row by row."""
    return pl.select(compare(pl.lit(said), pl.lit(asked))).to_series()
