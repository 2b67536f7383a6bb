"""Hits as they are served: the clean hits of the lineages that the pointers name, hour by hour,
and what a stream serves, from the recorded requests through the functions that it uses itself.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import polars as pl

from stores.archive.clean import CleanHits, CleanManifest, CleanPart
from stores.archive.clean_files import HASHES, in_hashes
from stores.archive.port import Objects
from stores.archive.raw_hours import RawHour
from stores.archive.removed_hours import gone_streams, removed_hours
from stores.lineages import LineageRegister
from stores.wide_rows.port import WideRows
from tallymark.hits import empty_hits
from tallymark.lineages import Lineage
from tallymark.pointer_map import PointerMap
from tallymark.processing import process_requests
from tallymark.properties import Property, properties_frame
from tallymark.replays import Span, hour_text, late_hours, on_time_hours
from tallymark.requests import requests_naming
from tallymark.retention import kept_since
from tallymark.slots import HOUR_US, LATE_US

_LOG: Final = logging.getLogger(__name__)
_NOT_OF_DATA: Final = (MemoryError, OSError, ImportError)


class HitsNotKeptError(LookupError):
    """Hits that a report needs are not in the archive any more; says which."""


class ServedHits:
    """Finds the hits of properties.

    Args:
        objects: The archive.
        wide_rows: Where the register of lineages is.
        now_us: UTC µs.
        late_us: D.
    """

    def __init__(
        self,
        objects: Objects,
        wide_rows: WideRows,
        now_us: Callable[[], int],
        *,
        late_us: int = LATE_US,
    ) -> None:
        self._objects = objects
        self._register = LineageRegister(wide_rows, now_us)
        self._now_us = now_us
        self._late_us = late_us

    def look_up(self, owner: Property, served: PointerMap, hours: Span) -> "HeldHits":
        """What is held of a property in some hours; nothing but manifests is read yet.

        Args:
            owner: Whose.
            served: What serves it.
            hours: In which the events lie.

        Raises:
            HitsNotKeptError: when some of them are gone.
            ArchiveDamageError: when a manifest cannot be read.
            WideRowsUnavailableError: when the store cannot be read.
        """
        kept_from = self._kept_since(owner, hours)
        if hours.start_us < kept_from:
            raise HitsNotKeptError(
                f"hits of before {hour_text(kept_from)} are not kept, and those from "
                f"{hour_text(hours.start_us)} on are needed"
            )
        until = min(hours.end_us, self._now_us() // HOUR_US * HOUR_US + HOUR_US)
        lineages = self._register.all()
        serving = {
            hour: lineages[name]
            for hour in Span(hours.start_us, until)
            if (name := served.lineage_at(hour)) in lineages
        }
        return HeldHits(self._objects, owner, serving, self._late_us)

    def _kept_since(self, owner: Property, hours: Span) -> int:
        """UTC µs before which hits of a property are due, or gone from the archive."""
        ids = set(owner.measurement_ids)
        gone = gone_streams(self._objects, hours)
        return max(
            kept_since(owner, self._now_us(), None),
            removed_hours(self._objects).through_us,
            *(hour + HOUR_US for hour, streams in gone.items() if streams & ids),
        )


class HeldHits:
    """The hits of a property in some hours, looked up once and read in parts.

    Args:
        objects: The archive.
        owner: Whose.
        serving: The lineage that serves each hour (UTC µs).
        late_us: D.

    Raises:
        HitsNotKeptError: when some of them are gone.
    """

    def __init__(
        self, objects: Objects, owner: Property, serving: dict[int, Lineage], late_us: int
    ) -> None:
        self._objects = objects
        self._clean = CleanHits(objects)
        self._owner = owner
        self._late_us = late_us
        self._manifests: dict[tuple[str, int], CleanManifest | None] = {}
        self._raw: dict[int, RawHour] = {}
        self._processed: dict[int, pl.DataFrame] = {}
        self._parts: dict[int, list[CleanPart]] = {}
        self._live: set[int] = set()
        for hour, lineage in serving.items():
            if lineage.kind == "live":
                self._live.add(hour)
            else:
                self._parts[hour] = self._clean_parts(lineage, hour)
        self._raw = {hour: RawHour(objects, hour) for hour in self._received(self._live)}

    def hits(self, hours: Span) -> int:
        """How many hits, and requests that are not decoded yet, have to be looked through."""
        clean = sum(part.hits for hour in hours for part in self._parts.get(hour, ()))
        return clean + self.requests(hours)

    def requests(self, hours: Span) -> int:
        """How many recorded requests have to be processed."""
        live = self._live.intersection(hours)
        return sum(self._raw[hour].requests for hour in self._received(live))

    def read(
        self,
        hours: Span,
        columns: Sequence[str],
        hashes: tuple[int, int] = (0, HASHES),
        *,
        with_params: bool = False,
    ) -> Iterator[pl.DataFrame]:
        """The hits that count and happened in some of the hours, a frame at a time.

        Args:
            hours: Of those that were looked up.
            columns: Of ``HIT_SCHEMA``, ``excluded_by`` and ``property_id`` among them; the same
                whenever this is called.
            hashes: Only clients whose hash lies in [first, end).
            with_params: Whether items and parameters are wanted.

        Raises:
            ArchiveDamageError: when a file is missing or cannot be read.
        """
        files: dict[str, list[CleanPart]] = {}
        for hour in hours:
            for part in self._parts.get(hour, ()):
                files.setdefault(part.name, []).append(part)
        owner = self._owner.property_id
        for parts in files.values():
            for frame in self._clean.read(parts, columns, hashes, owner):
                yield frame.filter(pl.col("excluded_by") == "")
        live = self._live.intersection(hours)
        event_hour = pl.col("event_at") // HOUR_US * HOUR_US
        for received in self._received(live):
            if received not in self._processed:
                self._processed[received] = self._process(received, columns, with_params)
            wanted = event_hour.is_in(sorted(live)) & in_hashes(*hashes)
            yield self._processed[received].filter(wanted)

    def _clean_parts(self, lineage: Lineage, hour: int) -> list[CleanPart]:
        """The clean hits that a replay's cells of an hour come from."""
        name = lineage.clean_lineage_at(hour) or lineage.name
        span = Span(hour, hour + HOUR_US)
        on_time = [self._manifest(name, one) for one in on_time_hours(span, self._late_us)]
        if None in on_time:
            raise HitsNotKeptError(
                f"the clean hits of {name} that {hour_text(hour)} was counted from are gone"
            )
        late = [self._manifest(name, one) for one in late_hours(span, self._late_us)]
        return [
            part
            for manifest in (*on_time, *late)
            if manifest is not None
            for part in manifest.parts
            if part.event_hour == hour
        ]

    def _manifest(self, lineage: str, received: int) -> CleanManifest | None:
        place = (lineage, received)
        if place not in self._manifests:
            self._manifests[place] = self._clean.manifest(lineage, received)
        return self._manifests[place]

    def _received(self, hours: set[int]) -> list[int]:
        """The received hours in which what is on time of some hours lies."""
        return sorted(
            {
                received
                for hour in hours
                for received in on_time_hours(Span(hour, hour + HOUR_US), self._late_us)
            }
        )

    def _process(self, received: int, columns: Sequence[str], with_params: bool) -> pl.DataFrame:
        """The hits of the property that count of what was received in an hour and on time."""
        properties = properties_frame([self._owner])
        hour = self._raw[received]
        late = pl.col("received_at") - pl.col("event_at") > self._late_us
        found = []
        for part in hour.slices():
            requests = requests_naming(hour.read(part).requests, self._owner.measurement_ids)
            hits = _hits_of(requests, properties, with_params=with_params)
            mine = hits.filter(
                pl.col("property_id") == self._owner.property_id,
                pl.col("excluded_by") == "",
                ~late,
            )
            found.append(mine.select(columns))
        return pl.concat([empty_hits().select(columns), *found])


def _hits_of(
    requests: pl.DataFrame, properties: pl.DataFrame, *, with_params: bool
) -> pl.DataFrame:
    """The hits (``HIT_SCHEMA``) of requests, but of those that processing fails on: what fails is
    tried again by halves, as the stream tries it."""
    try:
        return process_requests(requests, lambda _: properties, with_params=with_params).hits
    except _NOT_OF_DATA:
        raise
    except (Exception, pl.exceptions.PanicException):
        if requests.height < 2:
            _LOG.warning("a recorded request cannot be processed and is left out of a report")
            return empty_hits()
    half = requests.height // 2
    parts = (requests[:half], requests[half:])
    return pl.concat([_hits_of(part, properties, with_params=with_params) for part in parts])
