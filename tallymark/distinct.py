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
    values = frame.get_column(key).unique(maintain_order=True)
    found = lookup(values).with_columns(values.alias(key))
    return frame.join(found, on=key, how="left", maintain_order="left")


def mapped(values: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """``function`` of ``values``, called with the distinct ones; ``values`` has no nulls."""
    frame = pl.DataFrame({"value": values})
    found = with_looked_up(frame, "value", lambda some: pl.DataFrame({"found": function(some)}))
    return found.get_column("found")
