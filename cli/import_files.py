"""Files of an import, read slice by slice: text or gzip by lines, Parquet by batches of rows."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

SLICE_BYTES: Final = 8_000_000
MAX_LINE_BYTES: Final = 1_000_000
"""What a line holds beyond is not read: no record is so long."""
PARQUET_ROWS: Final = 20_000
_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"


class UnreadableFileError(Exception):
    """A file that cannot be read to its end; says which and why."""


@dataclass(frozen=True)
class Slice:
    """A part of a file.

    Attributes:
        rows: ``row`` (from 1) and ``line``, or ``row`` and columns of a Parquet file.
        read_share: Share of the file that has been read with it, 0 to 1.
    """

    rows: pl.DataFrame
    read_share: float


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its first bytes."""
    with path.open("rb") as file:
        return file.read(4) == _PARQUET


def digest_of(path: Path) -> str:
    """16 hex digits of what the file holds, unpacked: the same log has one name, packed or not.

    Raises:
        UnreadableFileError: when it is packed and broken.
    """
    digest = xxhash.xxh3_64()
    with path.open("rb") as raw, _unpacked(path, raw) as file:
        while chunk := file.read(SLICE_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def line_slices(path: Path) -> Iterator[Slice]:
    """The lines of a file of UTF-8, packed or not; other bytes become U+FFFD.

    Raises:
        UnreadableFileError: when it is packed and broken.
    """
    size = max(path.stat().st_size, 1)
    row, rest = 1, b""
    with path.open("rb") as raw, _unpacked(path, raw) as file:
        while chunk := file.read(SLICE_BYTES):
            whole, _, rest = (rest + chunk).rpartition(b"\n")
            if len(rest) > MAX_LINE_BYTES:  # the end of a line that is too long is let go
                rest = rest[: MAX_LINE_BYTES + 1]
            if whole:
                lines = _lines(whole, row)
                row += lines.height
                yield Slice(_without_blank(lines), raw.tell() / size)
    if rest:
        yield Slice(_without_blank(_lines(rest, row)), 1.0)


def parquet_slices(path: Path, columns: tuple[str, ...]) -> Iterator[Slice]:
    """The rows of a Parquet file, those of ``columns`` that it has.

    Raises:
        UnreadableFileError: when it is broken.
    """
    with _readable_parquet(path), pq.ParquetFile(path) as file:
        total, row = max(file.metadata.num_rows, 1), 1
        present = [name for name in columns if name in file.schema_arrow.names]
        for batch in file.iter_batches(PARQUET_ROWS, columns=present):
            frame = pl.from_arrow(pa.Table.from_batches([batch]))
            assert isinstance(frame, pl.DataFrame)
            numbers = pl.int_range(row, row + frame.height, dtype=pl.Int64, eager=True)
            row += frame.height
            yield Slice(frame.with_columns(numbers.alias("row")), (row - 1) / total)


def parquet_columns(path: Path) -> list[str]:
    """The names of a Parquet file's columns.

    Raises:
        UnreadableFileError: when it is broken.
    """
    with _readable_parquet(path):
        return list(pq.read_schema(path).names)


def _lines(content: bytes, first_row: int) -> pl.DataFrame:
    lines = pl.Series("line", content.decode(errors="replace").split("\n"), dtype=pl.String)
    rows = pl.int_range(first_row, first_row + len(lines), dtype=pl.Int64, eager=True)
    return pl.DataFrame([rows.alias("row"), lines])


def _without_blank(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.filter(~pl.col("line").str.contains(r"^\s*$"))


@contextmanager
def _unpacked(path: Path, raw: BinaryIO) -> Iterator[BinaryIO]:
    start = raw.read(2)
    raw.seek(0)
    if start != _GZIP:
        yield raw
        return
    try:
        with gzip.GzipFile(fileobj=raw) as file:
            yield cast(BinaryIO, file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableFileError(
            f"{path}: expected a whole gzip file, got one that is broken ({error}); fetch it again"
        ) from error


@contextmanager
def _readable_parquet(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(
            f"{path}: expected a whole Parquet file, got one that is broken ({error})"
        ) from error
