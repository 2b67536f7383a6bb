"""Files of clean hits: Parquet in many row groups, of which a range of clients or rows is read."""

import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tallymark.hits import HIT_SCHEMA

ROW_GROUPS: Final = 64
MIN_ROWS_A_GROUP: Final = 2_048
HASHES: Final = 2**64
"""Client hashes lie below it."""

Rows = tuple[int, int]
"""Rows [first, end) of a file."""


class MissingColumnsError(Exception):
    """A file lacks columns that are asked for."""


def encode_hits(hits: pl.DataFrame) -> bytes:
    """A file of hits (``HIT_SCHEMA``) in the order that they have."""
    return encode_rows(hits.select(list(HIT_SCHEMA)))


def encode_rows(hits: pl.DataFrame) -> bytes:
    """The same with whatever columns they have, as those of older code."""
    content = io.BytesIO()
    hits.write_parquet(
        content,
        compression="zstd",
        compression_level=1,
        row_group_size=max(MIN_ROWS_A_GROUP, -(-hits.height // ROW_GROUPS)),
    )
    return content.getvalue()


def read_hits(
    content: BinaryIO,
    columns: Sequence[str],
    hashes: tuple[int, int] = (0, HASHES),
    rows: Sequence[Rows] | None = None,
    property_id: int | None = None,
) -> Iterator[pl.DataFrame]:
    """The hits of a file, in frames of a row group.

    Args:
        content: The file.
        columns: Of ``HIT_SCHEMA``.
        hashes: Only clients whose hash lies in [first, end).
        rows: Only these, ascending; None means all.
        property_id: Only this property's; of a row group without any no other column is read.

    Raises:
        MissingColumnsError: when the file lacks a column.
        pyarrow.ArrowInvalid: when it is no Parquet file, or cut off.
    """
    parquet = pq.ParquetFile(content)
    names = parquet.schema_arrow.names
    missing = [name for name in columns if name not in names]
    if missing:
        raise MissingColumnsError(f"it lacks the columns {', '.join(missing)}")
    first, end = hashes
    at, owner_at, begins = _place_of(parquet, "client_hash"), _place_of(parquet, "property_id"), 0
    for group in range(parquet.num_row_groups):
        held = parquet.metadata.row_group(group)
        wanted = _slices(rows, begins, begins + held.num_rows)
        begins += held.num_rows
        spread = held.column(at).statistics
        if not wanted or (spread is not None and (spread.max < first or spread.min >= end)):
            continue
        if property_id is not None and not _may_hold(parquet, group, owner_at, property_id):
            continue
        frame = pl.from_arrow(parquet.read_row_group(group, list(columns), use_threads=False))
        assert isinstance(frame, pl.DataFrame)
        if wanted != [(0, held.num_rows)]:
            frame = pl.concat([frame.slice(low, high - low) for low, high in wanted])
        if hashes != (0, HASHES):
            frame = frame.filter(in_hashes(first, end))
        if property_id is not None:
            frame = frame.filter(pl.col("property_id") == property_id)
        yield frame.select(columns)


def _may_hold(parquet: pq.ParquetFile, group: int, place: int, property_id: int) -> bool:
    """Whether a row group holds a hit of a property; its own column is read where its statistics
    leave it open."""
    spread = parquet.metadata.row_group(group).column(place).statistics
    if spread is not None and spread.has_min_max:
        if not spread.min <= property_id <= spread.max:
            return False
        if spread.min == spread.max:
            return True
    owners = parquet.read_row_group(group, ["property_id"], use_threads=False).column(0)
    return bool(pc.any(pc.equal(owners, property_id)).as_py())


def hash_range(number: int, passes: int) -> tuple[int, int]:
    """The client hashes, [first, end), of one of ``passes`` equal parts of all clients."""
    size = HASHES // passes
    return number * size, HASHES if number == passes - 1 else (number + 1) * size


def in_hashes(first: int, end: int) -> pl.Expr:
    """Whether a ``client_hash`` lies in [first, end)."""
    hashes = pl.col("client_hash")
    above = hashes >= pl.lit(first, pl.UInt64)
    return above if end >= HASHES else above & (hashes < pl.lit(end, pl.UInt64))


def _place_of(parquet: pq.ParquetFile, column: str) -> int:
    """Of a column without parts among all leaves of the schema."""
    leaves = range(len(parquet.schema))
    return next(index for index in leaves if parquet.schema.column(index).path == column)


def _slices(rows: Sequence[Rows] | None, begins: int, ends: int) -> list[Rows]:
    """What of ``rows`` lies in a row group, counted from its beginning; adjacent ones as one."""
    if rows is None:
        return [(0, ends - begins)]
    found: list[Rows] = []
    for first, end in rows:
        low, high = max(first, begins) - begins, min(end, ends) - begins
        if low >= high:
            continue
        if found and found[-1][1] == low:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return found
