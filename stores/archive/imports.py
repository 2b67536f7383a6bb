"""Imports: the requests of a file brought into the raw archive, as a spool named by its content.

While a file is read its requests lie in a spill folder, in runs sorted by time; from there they
are written window by window. Everything has a name that the file alone decides, so that an import
which was cut off, or one that is done again, writes what is there already or nothing at all.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from stores.archive.port import Objects
from stores.archive.raw import RawArchive
from stores.failpoints import reach
from tallymark.imports.blocks import (
    MINUTES_SCHEMA,
    BlockPlan,
    Window,
    blocks_of,
    minutes_of,
    plan_of,
)
from tallymark.imports.conversion import IMPORTED_SCHEMA

IMPORTS: Final = "imports/"
_RUN_GROUP_REQUESTS: Final = 5_000
_WRITERS: Final = 16


@dataclass
class Spill:
    """Requests on their way from a file to the archive.

    Attributes:
        folder: Where the runs lie; what is in it of an import that was cut off is removed.
        minutes: ``MINUTES_SCHEMA`` of all runs, a frame a run.
        requests: In all runs.
    """

    folder: Path
    minutes: list[pl.DataFrame] = field(default_factory=list)
    requests: int = 0
    _spans: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def add(self, requests: pl.DataFrame) -> None:
        """Keep requests (``IMPORTED_SCHEMA``).

        Raises:
            OSError: when the disk does not take them.
        """
        if requests.is_empty():
            return
        ordered = requests.sort("received_at", "row")
        ordered.write_parquet(
            self._run(len(self._spans)), compression="lz4", row_group_size=_RUN_GROUP_REQUESTS
        )
        times = ordered.get_column("received_at")
        self._spans.append((int(times[0]), int(times[-1])))
        self.minutes.append(minutes_of(ordered))
        self.requests += len(ordered)

    def read(self, window: Window) -> pl.DataFrame:
        """The requests of a window, ``IMPORTED_SCHEMA``, in no order."""
        is_within = pl.col("received_at").is_between(window.start_us, window.end_us, closed="left")
        parts = [
            pl.scan_parquet(self._run(number)).filter(is_within).collect()
            for number, (first, last) in enumerate(self._spans)
            if first < window.end_us and last >= window.start_us
        ]
        return pl.concat([pl.DataFrame(schema=IMPORTED_SCHEMA), *parts])

    def plan(self, spool_id: str, now_us: int) -> BlockPlan:
        """How the requests are to be written; there is one at least."""
        return plan_of(spool_id, pl.concat([MINUTES_SCHEMA.to_frame(), *self.minutes]), now_us)

    def remove(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, number: int) -> Path:
        return self.folder / f"run-{number:06d}.parquet"


def write_import(
    archive: RawArchive, spill: Spill, plan: BlockPlan, *, is_resumed: bool
) -> Iterator[int]:
    """Write an import; yields how many requests were written or found at a time.

    Args:
        archive: Where to.
        spill: The requests.
        plan: How they are written.
        is_resumed: Whether to look for what was written before, and leave that out; the archive
            is read for it.

    Raises:
        OSError: when the archive does not take them; what was written stays.
    """
    known = archive.frontiers().get(plan.spool_id) if is_resumed else None
    if known is None:
        archive.write(plan.ends)
        reach("import.ends-written")
    # Most of a write is waiting for the disk: hours are written side by side.
    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="import") as writers:
        for window in plan.windows:
            if known is not None and known.number >= window.last_number:
                yield window.requests
                continue
            blocks = blocks_of(spill.read(window), window, plan.spool_id)
            hours = [list(of_hour) for _, of_hour in groupby(blocks, attrgetter("received_hour"))]
            for of_hour, _ in zip(hours, writers.map(archive.write, hours), strict=True):
                yield sum(block.requests for block in of_hour)
            reach("import.window-written")


class ImportLedger:
    """What has been imported, a document a spool, written when all of it is in the archive."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def note(self, spool_id: str, document: dict[str, Any]) -> None:
        """Note that an import is done.

        Raises:
            OSError: when the store does not take it.
        """
        self._objects.put(_name(spool_id), orjson.dumps(document))

    def find(self, spool_id: str) -> dict[str, Any] | None:
        """What was noted, ``None`` if the import is not done."""
        try:
            found: dict[str, Any] = orjson.loads(self._objects.get(_name(spool_id)))
        except FileNotFoundError:
            return None
        return found


def _name(spool_id: str) -> str:
    return f"{IMPORTS}{spool_id}.json"
