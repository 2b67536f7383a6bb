"""What a cell may be, checked before it is sent, and key ranges brought into order."""

from collections.abc import Iterable
from typing import Final

import polars as pl

from stores.wide_rows.port import CELL_SCHEMA, FAMILIES, MAX_VALUE_BYTES, MAX_VERSION

MAX_ROW_KEY_BYTES: Final = 4_096
MAX_QUALIFIER_BYTES: Final = 16_384


def checked_cells(cells: pl.DataFrame) -> pl.DataFrame:
    """``cells`` with the columns of ``CELL_SCHEMA``, in its order.

    Raises:
        ValueError: when a column is missing or of another type, or a cell breaks a limit.
    """
    if any(cells.schema.get(name) != kind for name, kind in CELL_SCHEMA.items()):
        raise ValueError(f"cells: expected the columns {dict(CELL_SCHEMA)}, got {cells.schema}")
    cells = cells.select(list(CELL_SCHEMA))
    if cells.is_empty():
        return cells
    unknown = set(cells.get_column("family").unique()) - set(FAMILIES)
    if unknown:
        raise ValueError(f"cells: expected the families {FAMILIES}, got {unknown}")
    found = cells.select(
        nulls=pl.sum_horizontal(pl.all().null_count()),
        value=pl.col("value").bin.size().max(),
        key=pl.col("row_key").bin.size().max(),
        least_key=pl.col("row_key").bin.size().min(),
        qualifier=pl.col("qualifier").bin.size().max(),
        version=pl.col("version").max(),
        least_version=pl.col("version").min(),
    ).row(0, named=True)
    if found["nulls"]:
        raise ValueError("cells: expected no nulls; a cell that became empty is written as b''")
    _at_most("value bytes", found["value"], MAX_VALUE_BYTES)
    _at_most("row key bytes", found["key"], MAX_ROW_KEY_BYTES)
    _at_least("row key bytes", found["least_key"], 1)
    _at_most("qualifier bytes", found["qualifier"], MAX_QUALIFIER_BYTES)
    _at_most("version", found["version"], MAX_VERSION)
    _at_least("version", found["least_version"], 0)
    return cells


def check_document(row_key: bytes, qualifier: bytes, value: bytes, version: int) -> None:
    """Hold a document that is to be set against the limits of a cell.

    Raises:
        ValueError: naming the limit that it breaks.
    """
    _at_least("row key bytes", len(row_key), 1)
    _at_most("row key bytes", len(row_key), MAX_ROW_KEY_BYTES)
    _at_most("qualifier bytes", len(qualifier), MAX_QUALIFIER_BYTES)
    _at_most("value bytes", len(value), MAX_VALUE_BYTES)
    _at_least("version", version, 0)
    _at_most("version", version, MAX_VERSION)


def checked_families(families: tuple[str, ...]) -> tuple[str, ...]:
    """The families to read: those asked for, or all.

    Raises:
        ValueError: when one is unknown.
    """
    unknown = set(families) - set(FAMILIES)
    if unknown:
        raise ValueError(f"families: expected some of {FAMILIES}, got {unknown}")
    return families or FAMILIES


def check_most_rows(most_rows: int | None) -> None:
    """Hold a limit of rows to be read against what it may be.

    Raises:
        ValueError: when it is below 1; to Bigtable 0 would mean all.
    """
    if most_rows is not None and most_rows < 1:
        raise ValueError(f"most_rows: expected 1 or more, or None for all, got {most_rows}")


def merged_ranges(ranges: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The same keys in ascending ranges that neither overlap nor touch; empty ones are dropped."""
    merged: list[tuple[bytes, bytes]] = []
    for start, end in sorted(ranges):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def cells_of(rows: list[tuple[bytes, str, bytes, int, bytes]]) -> pl.DataFrame:
    """The frame of ``CELL_SCHEMA`` of cells given as tuples, built column by column."""
    if not rows:
        return pl.DataFrame(schema=CELL_SCHEMA)
    columns = zip(CELL_SCHEMA.items(), zip(*rows, strict=True), strict=True)
    return pl.DataFrame([pl.Series(name, column, kind) for (name, kind), column in columns])


def _at_most(what: str, got: int, limit: int) -> None:
    if got > limit:
        raise ValueError(f"cells: expected at most {limit:,} as {what}, got {got:,}")


def _at_least(what: str, got: int, limit: int) -> None:
    if got < limit:
        raise ValueError(f"cells: expected at least {limit:,} as {what}, got {got:,}")
