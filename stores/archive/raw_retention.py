"""Retention in the raw archive: requests that are due go, and nothing else does.

A file is stood for by another without them. Its manifest goes on naming all its blocks, so that
what was archived is known as before. Hours of which all is due go whole.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import polars as pl
import xxhash

from stores.archive.manifests import SUFFIX, Manifest, hour_prefix
from stores.archive.port import Objects
from stores.archive.raw import UNREADABLE, encode_raw
from stores.archive.raw_hours import BLOCK_NAME, RAW_SCHEMA, RawFile, RawHour
from stores.archive.removed_hours import (
    HourNote,
    delete_hour_note,
    hour_note,
    note_removed,
    put_hour_note,
    removed_hours,
)
from stores.archive.spool_runs import Run, joined
from stores.archive.superseded import READERS_US
from tallymark.blocks import block_name
from tallymark.retention import due_requests, streams_of

KnownOf = Callable[[list[str]], set[str]]
"""Those of some measurement ids that are of properties."""


class RawRetention:
    """Removes recorded requests.

    Args:
        objects: The archive.
        known_of: Tells measurement ids of properties.
    """

    def __init__(self, objects: Objects, known_of: KnownOf) -> None:
        self._objects = objects
        self._known_of = known_of

    def looked_through(self, hour_us: int) -> HourNote:
        """What is known of a received hour; files that nobody has looked into are. Nothing is
        written."""
        note = hour_note(self._objects, hour_us)
        hour = RawHour(self._objects, hour_us)
        held = {
            name: note.held[name] if name in note.held else self._counts(hour, file)
            for file in hour.files
            if file.manifest.requests
            for name in (file.manifest.file_name,)
        }
        return replace(note, held=held)

    def keep_note(self, hour_us: int, note: HourNote) -> None:
        """Note what ``looked_through`` has found, so that nobody has to look again."""
        if note.held != hour_note(self._objects, hour_us).held:
            put_hour_note(self._objects, hour_us, note)

    def take_out(
        self,
        hour_us: int,
        note: HourNote,
        due: Iterable[str],
        supersede: Callable[[list[str]], None],
    ) -> int:
        """Let other files stand for those of an hour that hold due requests.

        Args:
            hour_us: UTC µs.
            note: What ``looked_through`` gives.
            due: Measurement ids, and ``NOBODY``, for which the hour is due.
            supersede: Told of the files before others stand for them.

        Returns:
            How many requests are gone.
        """
        going = set(due)
        gone = sorted({*note.gone, *going})
        # From here on nobody takes the hour for whole, whatever happens to this process.
        put_hour_note(self._objects, hour_us, HourNote(note.held, gone))
        supersede([name for name, owners in note.held.items() if not going.isdisjoint(owners)])
        held, count = {}, 0
        hour = RawHour(self._objects, hour_us)
        for file in hour.files:
            name = file.manifest.file_name
            of_file = note.held.get(name, {})
            if going.isdisjoint(of_file):
                if of_file:
                    held[name] = of_file
                continue
            fresh = self._without_due(hour, file, going)
            count += file.manifest.requests - fresh.requests
            if fresh.requests:
                held[fresh.file_name] = {
                    one: number for one, number in of_file.items() if one not in going
                }
        put_hour_note(self._objects, hour_us, HourNote(held, gone))
        return count

    def without(
        self,
        hour_us: int,
        is_due: Callable[[pl.DataFrame], pl.Series],
        supersede: Callable[[list[str]], None],
    ) -> pl.DataFrame:
        """Let other files stand for those of an hour that hold requests which are due.

        Args:
            hour_us: UTC µs.
            is_due: Says it of requests (``RAW_SCHEMA``), row by row.
            supersede: Told of each file before another stands for it.

        Returns:
            The requests that are gone (``RAW_SCHEMA``).
        """
        hour = RawHour(self._objects, hour_us)
        gone = [RAW_SCHEMA.to_frame()]
        for file in hour.files:
            if not file.manifest.requests:
                continue
            requests = _whole(hour, file)
            due = is_due(requests)
            if due.any():
                supersede([file.manifest.file_name])
                self._stand_in(file, requests.filter(~due))
                gone.append(requests.filter(due))
        return pl.concat(gone)

    def hide(self, before_us: int, now_us: int) -> int:
        """Let nobody begin to read hours of receipt that end before an instant (UTC µs).

        Returns:
            Before which instant nobody can be reading any more.
        """
        removed = removed_hours(self._objects)
        unread = removed.hidden_at(now_us - READERS_US)
        if before_us > removed.through_us:
            lately = [one for one in removed.hidden if one[1] > now_us - READERS_US]
            older = [(unread, now_us - READERS_US)] if unread else []
            hidden = (*older, *lately, (before_us, now_us))
            note_removed(self._objects, replace(removed, hidden=hidden))
        return unread

    def remove(self, hours: Sequence[int]) -> int:
        """Delete whole received hours (UTC µs); how many files."""
        if not hours:
            return 0
        runs: dict[str, list[Run]] = {}
        for hour_us in hours:
            for manifest in self._manifests(hour_us):
                for spool_id, some in manifest.runs().items():
                    runs[spool_id] = joined([*runs.get(spool_id, ()), *some])
        note_removed(self._objects, removed_hours(self._objects).with_runs(runs))
        count = sum(self._remove_hour(hour_us) for hour_us in hours)
        self._forget_ended_spools()
        return count

    def is_named(self, name: str) -> bool:
        """Whether a manifest names a file of requests."""
        prefix = name.rpartition("/")[0] + "/"
        return any(one.requests and one.file_name == name for one in self._manifests_in(prefix))

    def _counts(self, hour: RawHour, file: RawFile) -> dict[str, int]:
        owners, _ = self._owners(hour, file)
        return dict(owners.group_by("measurement_id").len().iter_rows())

    def _owners(self, hour: RawHour, file: RawFile) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Whose the requests of a file are, and all of its requests, repeated blocks too."""
        requests = _whole(hour, file)
        return streams_of(requests, self._known_of), requests

    def _without_due(self, hour: RawHour, file: RawFile, going: set[str]) -> Manifest:
        owners, requests = self._owners(hour, file)
        return self._stand_in(file, requests.filter(~due_requests(owners, going, requests.height)))

    def _stand_in(self, file: RawFile, kept: pl.DataFrame) -> Manifest:
        """Let a file of the same blocks with these requests alone stand for another."""
        counts = kept.group_by(BLOCK_NAME).agg(left=pl.len().cast(pl.Int64))
        blocks = file.manifest.blocks.join(counts, on=BLOCK_NAME, how="left", maintain_order="left")
        left = pl.when("is_readable").then(pl.col("left").fill_null(0)).otherwise("requests")
        listed = blocks.with_columns(requests=left).drop("left")
        manifest = replace(file.manifest, blocks=listed).of_requests(kept)
        if kept.height:
            content = encode_raw(kept)
            stem = manifest.name.removesuffix(SUFFIX)
            file_name = f"{stem}.{xxhash.xxh3_64_hexdigest(content)}.parquet"
            manifest = replace(manifest, file=file_name)
            self._objects.put(file_name, content)
        else:
            manifest = replace(manifest, file="")
        self._objects.put(manifest.name, manifest.encode())
        return manifest

    def _manifests(self, hour_us: int) -> list[Manifest]:
        return self._manifests_in(hour_prefix(hour_us))

    def _manifests_in(self, prefix: str) -> list[Manifest]:
        names = [name for name in self._objects.names(prefix) if name.endswith(SUFFIX)]
        return [Manifest.decode(name, self._objects.get(name)) for name in names]

    def _remove_hour(self, hour_us: int) -> int:
        unreadable = [
            UNREADABLE + block_name(spool_id, number)
            for manifest in self._manifests(hour_us)
            for spool_id, number in manifest.blocks.filter(~pl.col("is_readable"))
            .select(BLOCK_NAME)
            .iter_rows()
        ]
        names = self._objects.names(hour_prefix(hour_us))
        manifests_first = sorted(names, key=lambda name: not name.endswith(SUFFIX))
        for name in [*manifests_first, *unreadable]:
            self._objects.delete(name)
        delete_hour_note(self._objects, hour_us)
        return len(names) + len(unreadable)

    def _forget_ended_spools(self) -> None:
        """Spools of which all blocks are gone, and no more can come, need not be known."""
        removed = removed_hours(self._objects)
        lasting = {
            name: runs
            for name, runs in removed.runs.items()
            if not (len(runs) == 1 and runs[0].is_closing)
        }
        if lasting != removed.runs:
            note_removed(self._objects, replace(removed, runs=lasting))


def _whole(hour: RawHour, file: RawFile) -> pl.DataFrame:
    """All requests of a file, those too of blocks that another file has as well."""
    return hour.load(RawFile(file.manifest, file.manifest.blocks), list(RAW_SCHEMA))
