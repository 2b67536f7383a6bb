"""The raw archive: every request as it was recorded, in one file a minute and received hour.

``raw/received_hour=YYYY-MM-DDTHH/NAME.parquet`` holds the requests, ``NAME.json`` the list of the
blocks it was packed from, written last. A block may be in two files; on reading it counts once.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from stores.archive.hours import hour_of
from stores.archive.manifests import (
    BLOCK_LIST_SCHEMA,
    RAW,
    SUFFIX,
    Manifest,
    manifest_name,
)
from stores.archive.port import Objects
from stores.archive.raw_hours import BLOCK_NAME, RAW_SCHEMA, SLICE_REQUESTS, RawHour
from stores.archive.removed_hours import removed_hours
from stores.archive.repeats import without_losers
from stores.archive.spool_runs import Run, SpoolFrontier, frontier_of, joined
from stores.archive.threads import at_once
from stores.failpoints import reach
from tallymark.blocks import Block, encode_requests
from tallymark.slots import HOUR_US

UNREADABLE: Final = "raw_unreadable/"


class RawArchive:
    """The raw archive in an object store."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known: set[str] = set()
        self._runs: dict[str, list[Run]] = {}

    def write(self, blocks: Iterable[Block]) -> list[str]:
        """Keep blocks; durable on return. The names of the manifests written are returned.

        The same blocks again replace what was written of them.

        Raises:
            OSError: when the store does not take them; some hours may have been written.
        """
        hours: dict[int, dict[str, Block]] = {}
        for block in blocks:
            hours.setdefault(block.received_hour, {}).setdefault(block.name, block)
        return at_once(self._write_hour, sorted(hours.items()))

    def hours(self) -> list[int]:
        """Starts (UTC µs) of the received hours that have blocks, ascending."""
        names = {name.split("/")[1].partition("=")[2] for name in self._manifest_names(RAW)}
        return sorted(hour_of(name) for name in names)

    def blocks(self, hour_us: int) -> pl.DataFrame:
        """The blocks of a received hour, each once, as ``BLOCK_LIST_SCHEMA``, ordered by name."""
        lists = [file.blocks for file in self.hour(hour_us).files]
        return pl.concat([pl.DataFrame(schema=BLOCK_LIST_SCHEMA), *lists]).sort(BLOCK_NAME)

    def hour(self, hour_us: int) -> RawHour:
        """A received hour, to be read in slices."""
        return RawHour(self._objects, hour_us)

    def read_hour(self, hour_us: int) -> Iterator[pl.DataFrame]:
        """The requests of a received hour, each once, a frame of ``RAW_SCHEMA`` a file.

        A block counts once, and so does a request that a balancer sent to two collectors, in this
        hour or over its beginning; the copy received first is the one.
        """
        hour = self.hour(hour_us)
        for file in hour.files:
            if file.manifest.requests:
                yield without_losers(hour.load(file, list(RAW_SCHEMA)), hour.won)

    def read_blocks(self, hour_us: int) -> Iterator[Block]:
        """The same as blocks, those without requests and the unreadable ones too."""
        hour = self.hour(hour_us)
        for file in hour.files:
            frames: dict[Any, pl.DataFrame] = {}
            if file.manifest.requests:
                frame = without_losers(hour.load(file, list(RAW_SCHEMA)), hour.won)
                frames = dict(frame.partition_by(BLOCK_NAME, as_dict=True))
            for facts in file.blocks.iter_rows(named=True):
                yield self._block(facts, frames.get((facts["spool_id"], facts["number"])))

    def frontiers(self) -> dict[str, SpoolFrontier]:
        """How far each spool is archived without a hole."""
        return {spool_id: frontier_of(runs) for spool_id, runs in self._all_runs().items()}

    def hour_is_complete(self, hour_us: int) -> bool:
        """Whether every request received in the hour is archived.

        That is when the archive has passed the end of the hour, and so has, without a hole that
        can hold requests of it, every spool that was not closed before. A spool that is not heard
        of any more keeps its hours incomplete until it is closed.
        """
        spools = self._all_runs().values()
        newest = max((run.last_frontier for runs in spools for run in runs), default=0)
        return newest >= hour_us + HOUR_US and not self.lacking_spools(hour_us)

    def lacking_spools(self, hour_us: int) -> list[str]:
        """The spools of which a request of the hour may still come, ascending."""
        return sorted(
            spool_id
            for spool_id, runs in self._all_runs().items()
            if not any(run.covers(hour_us) for run in runs)
        )

    def clock(self) -> int:
        """UTC µs through which all requests are archived; 0 for an empty archive.

        A spool whose closing block is there does not hold it up: where blocks of it are missing,
        as while history is imported, it is its own hours that are not complete. Where every spool
        is closed, it is the newest frontier of all: nothing came after.
        """
        spools = self._all_runs().values()
        is_open = [runs[0].last_frontier for runs in spools if not runs[-1].is_closing]
        return min(is_open, default=max((runs[-1].last_frontier for runs in spools), default=0))

    def incomplete(self, hours: Iterable[int]) -> dict[int, str]:
        """What is missing in each of these received hours that is not complete."""
        spools = self._all_runs()
        newest = max((run.last_frontier for runs in spools.values() for run in runs), default=0)
        found = {}
        for hour_us in hours:
            lacking = [
                name
                for name, runs in spools.items()
                if not any(run.covers(hour_us) for run in runs)
            ]
            if lacking:
                found[hour_us] = "; ".join(_gap(name, spools[name]) for name in lacking[:3])
            elif newest < hour_us + HOUR_US:
                found[hour_us] = "the archive does not reach the end of the hour yet"
        return found

    def _write_hour(self, hour: tuple[int, dict[str, Block]]) -> str:
        hour_us, named = hour
        blocks = sorted(named.values(), key=lambda one: one.name)
        frames = [(block, _readable_frame(block)) for block in blocks]
        for block, frame in frames:
            if frame is None:
                self._objects.put(UNREADABLE + block.name, block.payload)
        listed = pl.DataFrame(
            [_facts(block, frame is not None) for block, frame in frames], schema=BLOCK_LIST_SCHEMA
        )
        filled = [frame for _, frame in frames if frame is not None and len(frame)]
        manifest = Manifest(manifest_name(hour_us, listed), listed)
        if filled:
            packed = pl.concat(filled, how="diagonal_relaxed")
            manifest = manifest.of_requests(packed)
            self._objects.put(manifest.file_name, encode_raw(packed))
            reach("archive.file-before-manifest")
        self._objects.put(manifest.name, manifest.encode())
        return manifest.name

    def _block(self, facts: dict[str, Any], frame: pl.DataFrame | None) -> Block:
        if not facts.pop("is_readable"):
            name = Block(**facts, payload=b"").name
            return Block(**facts, payload=self._objects.get(UNREADABLE + name))
        facts["requests"] = 0 if frame is None else len(frame)
        return Block(**facts, payload=b"" if frame is None else encode_requests(frame))

    def _all_runs(self) -> dict[str, list[Run]]:
        """The runs of every spool; the blocks of a manifest never change, so each is read once."""
        fresh: dict[str, list[Run]] = {}
        names = [name for name in self._manifest_names(RAW) if name not in self._known]
        for name in names:
            try:
                content = self._objects.get(name)
            except FileNotFoundError:  # removed just now, of which is noted before
                continue
            for spool_id, runs in Manifest.decode(name, content).runs().items():
                fresh.setdefault(spool_id, []).extend(runs)
        for spool_id, runs in removed_hours(self._objects).runs.items():
            fresh.setdefault(spool_id, []).extend(runs)
        for spool_id, runs in fresh.items():
            self._runs[spool_id] = joined([*self._runs.get(spool_id, ()), *runs])
        self._known.update(names)
        return self._runs

    def _manifest_names(self, prefix: str) -> list[str]:
        return [name for name in self._objects.names(prefix) if name.endswith(SUFFIX)]


def _gap(spool_id: str, runs: Sequence[Run]) -> str:
    """Why a spool does not cover an hour."""
    if len(runs) > 1:
        first = runs[0]
        return f"spool {spool_id} lacks blocks {first.last + 1} to {runs[1].first - 1}"
    at = datetime.fromtimestamp(runs[0].last_frontier / 1e6, UTC)
    return (
        f"spool {spool_id} is archived from block {runs[0].first} through {at:%Y-%m-%dT%H:%M:%S}Z"
    )


def encode_raw(requests: pl.DataFrame) -> bytes:
    """A file of requests (``RAW_SCHEMA``) in the order that they have."""
    content = io.BytesIO()
    requests.write_parquet(
        content, compression="zstd", compression_level=3, row_group_size=SLICE_REQUESTS
    )
    return content.getvalue()


def _readable_frame(block: Block) -> pl.DataFrame | None:
    """The block's requests with its name; none if unreadable."""
    try:
        return block.frame().with_columns(
            pl.lit(block.spool_id).alias("spool_id"),
            pl.lit(block.number, pl.Int64).alias("number"),
        )
    except (pl.exceptions.PolarsError, OSError, ValueError):
        return None


def _facts(block: Block, is_readable: bool) -> dict[str, Any]:
    facts = {name: getattr(block, name) for name in BLOCK_LIST_SCHEMA if name != "is_readable"}
    return facts | {"is_readable": is_readable}
