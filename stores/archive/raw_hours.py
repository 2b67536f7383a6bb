"""A received hour of the raw archive, taken up once and read in slices of bounded size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stores.archive.damage import ArchiveDamageError
from stores.archive.manifests import SUFFIX, Manifest, hour_prefix
from stores.archive.port import Objects
from stores.archive.repeats import ID_COLUMNS, no_winners, winners, without_losers
from tallymark.requests import REQUEST_SCHEMA, NoRequestsError, as_requests
from tallymark.slots import HOUR_US

RAW_SCHEMA: Final = pl.Schema(
    [*REQUEST_SCHEMA.items(), ("spool_id", pl.String), ("number", pl.Int64)]
)
"""Columns of the frames that are read."""
REPEAT_US: Final = 600_000_000
"""Copies of a request are looked for this far back into the hour before."""
SLICE_REQUESTS: Final = 50_000
"""Rows of a row group, and how many are read at a time."""
BLOCK_NAME: Final = ["spool_id", "number"]


@dataclass(frozen=True)
class RawFile:
    """A file and the blocks that are to be read from it: those that no file before it has."""

    manifest: Manifest
    blocks: pl.DataFrame


@dataclass(frozen=True, order=True)
class RawSlice:
    """Rows [first, first + requests) of a file of a received hour, which is read by the name that
    it had when it was cut: another may stand for it meanwhile."""

    hour_us: int
    file: int
    first: int
    requests: int
    name: str


@dataclass(frozen=True)
class ReadSlice:
    """The requests of a slice (``RAW_SCHEMA``).

    Attributes:
        requests: Each once.
        copies: Those that a balancer sent a second time, which do not count.
    """

    requests: pl.DataFrame
    copies: pl.DataFrame


class RawHour:
    """One received hour. What it holds is looked up once.

    Args:
        objects: The archive.
        hour_us: Start of the hour, UTC µs.
    """

    def __init__(self, objects: Objects, hour_us: int) -> None:
        self._objects = objects
        self.hour_us = hour_us

    @cached_property
    def files(self) -> Sequence[RawFile]:
        """The files, by name of their manifests."""
        files: list[RawFile] = []
        seen: pl.DataFrame | None = None
        for name in self._objects.names(hour_prefix(self.hour_us)):
            if not name.endswith(SUFFIX):
                continue
            manifest = Manifest.decode(name, self._objects.get(name))
            fresh = manifest.blocks
            if seen is None:  # most hours of a small archive have one file
                seen = fresh.select(BLOCK_NAME)
            else:
                fresh = fresh.join(seen, on=BLOCK_NAME, how="anti", maintain_order="left")
                seen = pl.concat([seen, fresh.select(BLOCK_NAME)])
            files.append(RawFile(manifest, fresh))
        return files

    @property
    def requests(self) -> int:
        """How many requests are archived, each block once."""
        return sum(
            int(file.blocks.filter("is_readable").get_column("requests").sum())
            for file in self.files
        )

    def slices(self, requests: int = SLICE_REQUESTS) -> list[RawSlice]:
        """The rows of all files in slices of whole blocks, about so many requests or fewer."""
        return [
            RawSlice(self.hour_us, index, first, end - first, file.manifest.file_name)
            for index, file in enumerate(self.files)
            for first, end in _block_edges(file.manifest, requests)
        ]

    def read(self, part: RawSlice) -> ReadSlice:
        """The requests of a slice of this hour.

        Raises:
            ArchiveDamageError: when the file is missing or cannot be read.
        """
        file = self.files[part.file]
        rows = self._rows(part)
        if rows.height != part.requests:
            raise _damaged(
                part.name,
                f"expected {part.first + part.requests} requests at least, as its manifest says, "
                f"got fewer",
            )
        rows = _of_blocks(rows, file)
        kept = without_losers(rows, self.won)
        if kept.height == rows.height:
            return ReadSlice(kept, rows.clear())
        numbered = rows.with_row_index("place")
        kept = without_losers(numbered, self.won)
        copies = numbered.join(kept.select("place"), on="place", how="anti")
        return ReadSlice(kept.drop("place"), copies.drop("place"))

    def load(self, file: RawFile, columns: list[str]) -> pl.DataFrame:
        """All requests of a file, each block once; copies of a balancer are in it.

        Raises:
            ArchiveDamageError: when the file is missing or cannot be read.
        """
        name = file.manifest.file_name
        try:
            with self._opened(name) as content:
                held = [one for one in pl.read_parquet_schema(content) if one in columns]
                content.seek(0)
                frame = _recorded(pl.read_parquet(content, columns=held))
            return _of_blocks(frame, file).select(columns)
        except (pl.exceptions.PolarsError, OSError, NoRequestsError) as error:
            raise _damaged(name, str(error)) from error

    def holding(self, request_id: str, *, with_others: bool = True) -> pl.DataFrame:
        """The requests of this id (``RAW_SCHEMA``), copies too, the one received first in front.

        A row group is read at a time, and only where its statistics say that it may hold the id.

        Args:
            request_id: 32 hex digits.
            with_others: Whether it may be one that neither a balancer nor a client has named.

        Raises:
            ArchiveDamageError: when a file is missing or cannot be read.
        """
        found = [RAW_SCHEMA.to_frame()]
        for file in self.files:
            manifest = file.manifest
            if not (manifest.requests if with_others else manifest.balancer_requests):
                continue
            try:
                with self._opened(manifest.file_name) as content:
                    found += [_of_blocks(rows, file) for rows in _rows_named(content, request_id)]
            except (pa.ArrowInvalid, OSError, NoRequestsError) as error:
                raise _damaged(manifest.file_name, str(error)) from error
        return pl.concat(found).sort("received_at", *BLOCK_NAME, maintain_order=True)

    @cached_property
    def won(self) -> pl.DataFrame:
        """Which copies count of the requests that balancers repeated in or just before the hour."""
        files = [(self, file, self.hour_us) for file in self.files]
        if not any(file.manifest.balancer_requests for _, file, _ in files):
            return no_winners()
        before, since = RawHour(self._objects, self.hour_us - HOUR_US), self.hour_us - REPEAT_US
        files += [(before, file, since) for file in before.files]
        wanted = [
            (hour, file, since)
            for hour, file, since in files
            if file.manifest.balancer_requests and file.manifest.last_received_at >= since
        ]
        return winners(
            lambda: (
                hour.load(file, ID_COLUMNS).filter(pl.col("received_at") >= since)
                for hour, file, since in wanted
            ),
            sum(file.manifest.balancer_requests for _, file, _ in wanted),
        )

    def _rows(self, part: RawSlice) -> pl.DataFrame:
        try:
            with self._opened(part.name) as content:
                return _read_rows(content, part.first, part.requests)
        except (pa.ArrowInvalid, OSError, NoRequestsError) as error:
            raise _damaged(part.name, str(error)) from error

    def _opened(self, name: str) -> BinaryIO:
        try:
            return self._objects.open(name)
        except FileNotFoundError as error:
            raise _damaged(name, "the file is missing, its manifest is there") from error


def _block_edges(manifest: Manifest, requests: int) -> Iterator[tuple[int, int]]:
    """Where to cut a file's rows: behind the last block that fits."""
    first = end = 0
    for count in manifest.blocks.filter("is_readable").get_column("requests"):
        if end > first and end + count - first > requests:
            yield first, end
            first = end
        end += count
    if end > first:
        yield first, end


def _read_rows(content: BinaryIO, first: int, count: int) -> pl.DataFrame:
    """Rows of a Parquet file; only the row groups that hold them are read."""
    parquet = pq.ParquetFile(content)
    held = [name for name in parquet.schema_arrow.names if name in RAW_SCHEMA]
    begins, parts = 0, []
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        low, high = max(first, begins), min(first + count, begins + rows)
        if low < high:
            table = parquet.read_row_group(group, columns=held, use_threads=False)
            parts.append(pl.from_arrow(table.slice(low - begins, high - low)))
        begins += rows
    frames = [part for part in parts if isinstance(part, pl.DataFrame)]
    return pl.concat([RAW_SCHEMA.to_frame(), *map(_recorded, frames)])


def _rows_named(content: BinaryIO, request_id: str) -> list[pl.DataFrame]:
    """The rows of a Parquet file that have a request id, if there are any."""
    parquet = pq.ParquetFile(content)
    names = parquet.schema_arrow.names
    if "request_id" not in names:
        raise NoRequestsError(f"expected the column request_id; it has {', '.join(names)}")
    held = [name for name in names if name in RAW_SCHEMA]
    found = []
    for group in range(parquet.num_row_groups):
        column = parquet.metadata.row_group(group).column(names.index("request_id"))
        told = column.statistics
        if told is not None and told.has_min_max and not told.min <= request_id <= told.max:
            continue
        ids = parquet.read_row_group(group, columns=["request_id"], use_threads=False)
        places = pc.indices_nonzero(pc.equal(ids.column(0).cast(pa.string()), request_id))
        if len(places):
            table = parquet.read_row_group(group, columns=held, use_threads=False).take(places)
            rows = pl.from_arrow(table)
            assert isinstance(rows, pl.DataFrame)
            found.append(_recorded(rows))
    return found


def _recorded(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a file as ``RAW_SCHEMA``; an older collector may not have known all columns.

    Raises:
        NoRequestsError: when they are no requests of blocks.
    """
    if rows.schema == RAW_SCHEMA:
        return rows
    lacking = [name for name in BLOCK_NAME if name not in rows.columns]
    if lacking:
        raise NoRequestsError(
            f"expected the columns {', '.join(RAW_SCHEMA)}; it lacks {', '.join(lacking)} "
            f"and has {', '.join(rows.columns) or 'none of them'}"
        )
    return as_requests(rows).select(list(RAW_SCHEMA)).cast(RAW_SCHEMA)


def _of_blocks(rows: pl.DataFrame, file: RawFile) -> pl.DataFrame:
    if len(file.blocks) == len(file.manifest.blocks):
        return rows
    return rows.join(file.blocks, on=BLOCK_NAME, how="semi", maintain_order="left")


def _damaged(name: str, what: str) -> ArchiveDamageError:
    return ArchiveDamageError(
        f"raw file {name} cannot be read: {what}. Put it back from a copy of the archive; while "
        "the bus still keeps its blocks (48 hours), the archiver's subscription can be sought "
        "back instead. Nothing that is served has changed"
    )
