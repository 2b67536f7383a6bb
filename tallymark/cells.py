"""Cells: the whole truth of (property, rollup, slot) in one lineage, as bytes.

A cell has two values under one qualifier (the slot) and one version:

* family ``n``: text, the schema number and then a line a row, keys and sums tab-separated;
* family ``u``: binary little-endian, 32-bit schema number, row count and sets a row, then the
  length of each set (row by row), padding to 8 bytes, then all hashes as 64-bit numbers.

A whole flush is encoded in one vectorised pass (``decoded_cells`` reads them back). A value over
``INLINE_BYTES`` is cut into chunks that lie in rows of their own, right behind the day's row, so
that no row grows beyond what Bigtable can serve; the day's row then holds the number of chunks.
"""

import struct
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tallymark.rollups import Rollup
from tallymark.row_keys import SEPARATOR, with_row_keys

INLINE_BYTES: Final = 16_384
"""With 96 slots a day and two families a row stays under 2 × 96 × 16 KiB = 3 MiB in theory and,
as quarter-hour zones are rare and 24 slots the rule, under 1 MiB in practice."""
CHUNK_BYTES: Final = 262_144
DAY_KEY_SEPARATORS: Final = 5
"""A chunk row's key has one more."""
CHUNKED: Final = b"\x00chunks "
QUALIFIER: Final = struct.Struct(">QH")
SLOT_COLUMNS: Final = ("property_id", "slot_start", "slot_minutes")


def version_of(epoch: int, flush: int) -> int:
    """A cell's version: 21 bits of epoch, 32 bits of flush number."""
    if not 0 <= epoch < 2**21 or not 0 <= flush < 2**32:
        raise ValueError(f"expected epoch < 2^21 and flush < 2^32, got {epoch} and {flush}")
    return epoch << 32 | flush


def encode(
    rollup: Rollup, rows: pl.DataFrame, touched: pl.DataFrame, *, lineage: str, version: int
) -> pl.DataFrame:
    """The cells of ``touched`` slots, the ones without rows as empty cells.

    Args:
        rollup: Which one.
        rows: ``SLOT_COLUMNS``, the rollup's keys (String), sums (Int64), uniques (List(UInt64)).
        touched: ``SLOT_COLUMNS``, without duplicates.
        lineage: Part of the row key.
        version: Of every cell; see ``version_of``.

    Returns:
        A cell frame: ``row_key``, ``family``, ``qualifier``, ``version``, ``value``.
    """
    order = touched.select(SLOT_COLUMNS).sort(SLOT_COLUMNS).with_row_index("cell")
    placed = rows.join(order, on=list(SLOT_COLUMNS), how="inner").sort("cell", *rollup.keys)
    numbers = order.with_columns(
        family=pl.lit("n"), value=_number_values(rollup, placed, order.height)
    )
    sets = order.with_columns(family=pl.lit("u"), value=_set_values(rollup, placed, order.height))
    cells = pl.concat([numbers, sets])
    keyed = with_row_keys(cells.with_columns(qualifier=_qualifiers(cells)), rollup.name, lineage)
    columns = ["row_key", "family", "qualifier", "version", "value"]
    whole = keyed.with_columns(version=pl.lit(version, pl.Int64)).select(columns)
    return _chunk(whole)


def _number_values(rollup: Rollup, placed: pl.DataFrame, cells: int) -> pl.Series:
    fields = [escaped(key) for key in rollup.keys] + [
        pl.col(name).cast(pl.String) for name in rollup.sums
    ]
    lines = placed.select("cell", line=pl.concat_str(fields, separator="\t"))
    texts = lines.group_by("cell").agg(pl.col("line").str.join("\n"))
    head = pl.lit(str(rollup.number))
    every = pl.DataFrame({"cell": pl.Series(range(cells), dtype=pl.UInt32)})
    joined = every.join(texts, on="cell", how="left", maintain_order="left")
    text = pl.concat_str(head, pl.lit("\n"), "line")
    return joined.select(
        pl.when(pl.col("line").is_null()).then(head).otherwise(text).cast(pl.Binary).alias("value")
    ).to_series()


def escaped(key: str) -> pl.Expr:
    """Text without tab, newline and carriage return; lossless, the backslash escapes."""
    column = pl.col(key)
    return column.str.replace_many(["\\", "\t", "\n", "\r"], ["\\\\", "\\t", "\\n", "\\r"])


def unescaped(column: pl.Expr) -> pl.Expr:
    """What ``escaped`` made its text of."""
    plain = column.str.replace_many(["\\\\", "\\t", "\\n", "\\r"], ["\\", "\t", "\n", "\r"])
    return pl.when(column.str.contains("\\", literal=True)).then(plain).otherwise(column)


def _set_values(rollup: Rollup, placed: pl.DataFrame, cells: int) -> pl.Series:
    """One binary value a cell, laid out in 32-bit words in one buffer."""
    measures = len(rollup.uniques)
    cell = placed.get_column("cell").to_numpy().astype(np.int64)
    rows = np.bincount(cell, minlength=cells)
    lengths, hashes = _interleaved(placed, rollup.uniques)
    head_words = 4 + rows * measures
    head_words += head_words % 2
    members = np.bincount(np.repeat(cell, measures), weights=lengths, minlength=cells)
    words = head_words + 2 * members.astype(np.int64)
    ends = np.cumsum(words)
    starts = ends - words
    buffer = np.zeros(int(ends[-1]) if cells else 0, dtype="<u4")
    buffer[starts], buffer[starts + 1], buffer[starts + 2] = rollup.number, rows, measures
    row_in_cell = np.arange(len(cell)) - (np.cumsum(rows) - rows)[cell]
    first = starts[cell] + 4 + row_in_cell * measures
    buffer[(first[:, None] + np.arange(measures)).ravel()] = lengths
    _scatter_hashes(buffer, starts + head_words, members.astype(np.int64), hashes)
    return _binary_series(buffer, np.concatenate([[0], ends]) * 4)


def _interleaved(
    placed: pl.DataFrame, uniques: tuple[str, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Lengths (row by row, set by set) and members of all sets in that order."""
    if placed.is_empty():
        return np.zeros(0, np.int64), np.zeros(0, np.uint64)
    lengths = placed.select(pl.col(name).list.len() for name in uniques).to_numpy().ravel()
    joined = placed.select(pl.concat_list([pl.col(name) for name in uniques]).alias("hash"))
    members = joined.get_column("hash").explode(empty_as_null=False)
    return lengths.astype(np.int64), members.to_numpy().astype(np.uint64)


def _scatter_hashes(
    buffer: npt.NDArray[np.uint32],
    starts: npt.NDArray[np.int64],
    members: npt.NDArray[np.int64],
    hashes: npt.NDArray[np.uint64],
) -> None:
    """Write each cell's hashes at its place; all are ordered by cell already."""
    if not len(hashes):
        return
    offset = np.repeat(starts - 2 * (np.cumsum(members) - members), members)
    place = offset + 2 * np.arange(len(hashes))
    halves = hashes.astype("<u8").view("<u4")
    buffer[place] = halves[0::2]
    buffer[place + 1] = halves[1::2]


def _binary_series(words: npt.NDArray[np.uint32], offsets: npt.NDArray[np.int64]) -> pl.Series:
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(words)]
    array = pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series


def _qualifiers(cells: pl.DataFrame) -> pl.Series:
    """Slot start and length, 10 bytes big-endian, so that slots sort by time."""
    record = np.zeros(cells.height, dtype=[("start", ">u8"), ("minutes", ">u2")])
    record["start"] = cells.get_column("slot_start").to_numpy()
    record["minutes"] = cells.get_column("slot_minutes").to_numpy()
    size = QUALIFIER.size
    words = pa.Array.from_buffers(
        pa.binary(size), cells.height, [None, pa.py_buffer(record.tobytes())]
    )
    series = pl.from_arrow(words.cast(pa.large_binary()))
    assert isinstance(series, pl.Series)
    return series


def _chunk(cells: pl.DataFrame) -> pl.DataFrame:
    """Cut values over ``INLINE_BYTES`` into chunk rows; they are few, so one by one."""
    large = pl.col("value").bin.size() > INLINE_BYTES
    if not cells.select(large.any()).item():
        return cells
    rows: list[tuple[bytes, str, bytes, int, bytes]] = []
    for key, family, qualifier, version, value in cells.filter(large).iter_rows():
        parts = [value[at : at + CHUNK_BYTES] for at in range(0, len(value), CHUNK_BYTES)]
        slot = SEPARATOR.encode() + qualifier.hex().encode()
        rows += [
            (key + slot + b"%03d" % index, family, qualifier, version, part)
            for index, part in enumerate(parts)
        ]
        rows.append((key, family, qualifier, version, CHUNKED + str(len(parts)).encode()))
    chunked = pl.DataFrame(rows, schema=cells.schema, orient="row")
    return pl.concat([cells.filter(~large), chunked])
