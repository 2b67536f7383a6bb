"""Blocks of an import: the requests of a file in the order of time, numbered the same each time.

How many requests there are of each minute decides the windows in which they are written and the
numbers of the blocks, before the first of them is made. So an import that was cut off goes on with
the same blocks, and the closing block can be written first: the hours of the import stay
incomplete until all is there, the hours of everybody else are not held up by it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import xxhash

from tallymark.blocks import HOUR_US, MAX_REQUESTS, Block, encode_requests
from tallymark.requests import REQUEST_SCHEMA

MINUTE_US: Final = 60_000_000
MINUTES_SCHEMA: Final = pl.Schema(
    {"minute": pl.Int64(), "requests": pl.Int64(), "query_bytes": pl.Int64()}
)
"""Columns of the requests by minute: its start (UTC µs), how many, and what their text takes."""
WINDOW_REQUESTS: Final = 50_000
WINDOW_BYTES: Final = 64_000_000
WINDOW_MINUTES: Final = 10_000
"""What is read, sorted and written together, unless one minute alone holds more: so many requests,
so much of their text, so many minutes that have any."""
SEALING_US: Final = 24 * HOUR_US
"""The spool of an import says that nothing more comes of it for so long after its last hour, so
that its hours can be sealed where nobody else records anything."""


@dataclass(frozen=True)
class Window:
    """Whole minutes that are written together.

    Attributes:
        start_us: UTC µs.
        end_us: UTC µs; the start of the next window, or the end of the last minute.
        requests: Received in it.
        first_number: Of its first block.
        last_number: Of its last block.
    """

    start_us: int
    end_us: int
    requests: int
    first_number: int
    last_number: int


@dataclass(frozen=True)
class BlockPlan:
    """All blocks of an import.

    Attributes:
        spool_id: The spool they are of.
        windows: In the order of time.
        closing_frontier: UTC µs; of the closing block.
    """

    spool_id: str
    windows: tuple[Window, ...]
    closing_frontier: int

    @property
    def ends(self) -> list[Block]:
        """The opening and the closing block."""
        opening, closing = self.windows[0].start_us, self.windows[-1].last_number + 1
        return [
            Block(
                spool_id=self.spool_id, number=1, kind="opening", frontier=opening, requests=0,
                payload=b"", published_at=opening,
            ),
            Block(
                spool_id=self.spool_id, number=closing, kind="closing",
                frontier=self.closing_frontier, requests=0, payload=b"",
                published_at=self.closing_frontier,
            ),
        ]  # fmt: skip


def minutes_of(requests: pl.DataFrame) -> pl.DataFrame:
    """``MINUTES_SCHEMA`` of requests, ascending."""
    return (
        requests.group_by(minute=pl.col("received_at") // MINUTE_US * MINUTE_US)
        .agg(pl.len().alias("requests"), pl.col("query").str.len_bytes().sum().alias("query_bytes"))
        .sort("minute")
        .cast(MINUTES_SCHEMA)
    )


def plan_of(spool_id: str, minutes: pl.DataFrame, now_us: int) -> BlockPlan:
    """The blocks of an import.

    Args:
        spool_id: The spool they are to be of.
        minutes: ``MINUTES_SCHEMA``, perhaps several rows a minute; one at least.
        now_us: UTC µs; the spool says nothing of what comes after.
    """
    together = minutes.group_by("minute").sum().sort("minute")
    starts = _window_starts(together)
    end = int(together.item(-1, "minute")) + MINUTE_US
    windows: list[Window] = []
    number = 2  # the opening block is the first
    for start, next_start in zip(starts, [*starts[1:], end], strict=True):
        own = together.filter(pl.col("minute").is_between(start, next_start, closed="left"))
        requests, blocks = int(own.get_column("requests").sum()), _blocks_in(own)
        windows.append(Window(start, next_start, requests, number, number + blocks - 1))
        number += blocks
    last_hour_end = -(-end // HOUR_US) * HOUR_US
    return BlockPlan(spool_id, tuple(windows), max(end, min(now_us, last_hour_end + SEALING_US)))


def _window_starts(minutes: pl.DataFrame) -> list[int]:
    starts: list[int] = []
    requests_held = bytes_held = minutes_held = 0
    for minute, requests, query_bytes in minutes.iter_rows():
        requests_held, bytes_held = requests_held + requests, bytes_held + query_bytes
        minutes_held += 1
        is_full = (
            requests_held > WINDOW_REQUESTS
            or bytes_held > WINDOW_BYTES
            or minutes_held > WINDOW_MINUTES
        )
        if not starts or is_full:
            starts.append(minute)
            requests_held, bytes_held, minutes_held = requests, query_bytes, 1
    return starts


def _blocks_in(minutes: pl.DataFrame) -> int:
    by_hour = minutes.group_by(pl.col("minute") // HOUR_US).agg(pl.col("requests").sum())
    return int(by_hour.select(-(-pl.col("requests") // MAX_REQUESTS)).sum().item())


def blocks_of(requests: pl.DataFrame, window: Window, spool_id: str) -> Iterator[Block]:
    """The blocks of a window.

    Args:
        requests: ``IMPORTED_SCHEMA``, all of the window, in any order.
        window: Where they are written.
        spool_id: Their spool.
    """
    ordered = requests.sort("received_at", "row")
    ids = _request_ids(ordered.get_column("received_at"), ordered.get_column("row"), spool_id)
    numbered = ordered.with_columns(ids).select(list(REQUEST_SCHEMA))
    of_hour = pl.col("received_at") // HOUR_US
    cuts = numbered.select(of_hour, part=pl.int_range(pl.len()).over(of_hour) // MAX_REQUESTS)
    parts = numbered.with_columns(cuts.select(part=pl.struct(pl.all()).rle_id()).to_series())
    frames = parts.partition_by("part", include_key=False, maintain_order=True)
    begins = [int(frame.item(0, "received_at")) for frame in frames]
    for index, frame in enumerate(frames):
        following = begins[index + 1] if index + 1 < len(begins) else window.end_us
        hour = begins[index] // HOUR_US * HOUR_US
        # A block is of the hour that its frontier ends or lies in: never just at its beginning,
        # even where one instant has more requests than a block takes.
        frontier = min(max(following, hour + 1), hour + HOUR_US)
        yield Block(
            spool_id=spool_id,
            number=window.first_number + index,
            kind="requests",
            frontier=frontier,
            requests=len(frame),
            payload=encode_requests(frame),
            published_at=frontier,
        )


def _request_ids(received_at: pl.Series, rows: pl.Series, spool_id: str) -> pl.Series:
    """UUIDs of version 7, ascending with time and row: milliseconds, microseconds, row, spool."""
    instants = received_at.to_numpy().astype(np.uint64)
    high = (instants // 1_000 << np.uint64(16)) | np.uint64(0x7000) | instants % 1_000
    low = np.uint64(0x8 << 60) | (rows.to_numpy().astype(np.uint64) << np.uint64(24))
    low |= np.uint64(xxhash.xxh3_64_intdigest(spool_id.encode()) & 0xFF_FFFF)
    digits = np.column_stack([high, low]).astype(">u8").tobytes().hex().encode()
    return pl.Series("request_id", np.frombuffer(digits, dtype="S32")).cast(pl.String)
