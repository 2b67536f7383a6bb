"""Retention in what lineages hold: clean hits, sessions and dead letters that are due go.

A file of hits or sessions is stood for by another without them, then its manifests name that one.
"""

import io
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

import polars as pl
import xxhash

from stores.archive.clean import CLEAN, CleanHits, CleanManifest, CleanPart, ends
from stores.archive.clean_files import encode_rows
from stores.archive.counts import SESSIONS, Sessions
from stores.archive.dead_letters import DEAD_LETTERS, DeadLetters
from stores.archive.port import Objects
from stores.archive.raw_retention import KnownOf
from tallymark.hits import HIT_SCHEMA
from tallymark.requests import REQUEST_SCHEMA
from tallymark.retention import Retention, due_requests, streams_of
from tallymark.slots import LATE_US

Supersede = Callable[[list[str]], None]
IsDue = Callable[[int], pl.Expr]
"""Says of rows of an hour (UTC µs), received or of the event, whether they are due."""
ERASED_BY: Final = ("hit_id", "property_id", "client_id", "client_hash")
"""Columns of a clean hit that say whose it is."""
_Place = tuple[CleanManifest, int]
"""A manifest, and the number of one of its parts."""


class CleanRetention:
    """Removes hits, sessions and letters of lineages.

    Args:
        objects: The archive.
        known_of: Tells measurement ids of properties.
        supersede: Told of files before others stand for them.
        late_us: D.
    """

    def __init__(
        self, objects: Objects, known_of: KnownOf, supersede: Supersede, late_us: int = LATE_US
    ) -> None:
        self._objects = objects
        self._known_of = known_of
        self._supersede = supersede
        self._late_us = late_us
        self._clean = CleanHits(objects)
        self._letters = DeadLetters(objects)

    def take_out(self, hours: Collection[int], retention: Retention) -> int:
        """Take out of all lineages what is due of some received hours (UTC µs), and of all hours
        that are due for everybody; how many hits."""
        event_hours = set(hours)
        count = 0
        for lineage in self._lineages(CLEAN):
            received = self._clean.received_hours(lineage)
            whole = {hour for hour in received if retention.is_due_for_all(hour)}
            concerned = whole.union(hours).intersection(received)
            if not concerned:
                continue
            manifests = {one.received_hour: one for one in self._clean.manifests(lineage, received)}
            event_hours.update(whole, *(manifests[hour].event_hours() for hour in concerned))
            for name in _files_of(manifests, concerned):
                count += self._take_out_of(name, manifests, retention.due_owners)
            for hour in whole:
                self._clean.forget(lineage, hour)
        for lineage in self._lineages(SESSIONS):
            self._take_sessions(lineage, event_hours, retention.due_owners)
        return count

    def take_letters(self, hour_us: int, due: set[str]) -> int:
        """Take dead letters of a received hour (UTC µs) out whose requests are due; how many.

        Args:
            hour_us: UTC µs.
            due: Measurement ids, and ``NOBODY``.
        """
        return sum(
            self._letters.take_out(lineage, hour_us, lambda rows: self._due_letters(rows, due))
            for lineage in self._lineages(DEAD_LETTERS)
        )

    def clear_letters(self, hours: Collection[int]) -> None:
        """Delete all dead letters of received hours (UTC µs)."""
        for lineage in self._lineages(DEAD_LETTERS):
            self._letters.clear(lineage, hours)

    def erase_hits(self, is_one: pl.Expr) -> pl.DataFrame:
        """Take clean hits out of all lineages, whenever they were received.

        Args:
            is_one: Says which, by ``ERASED_BY``.

        Returns:
            ``ERASED_BY`` of those that are gone.
        """
        gone = [pl.DataFrame(schema={name: HIT_SCHEMA[name] for name in ERASED_BY})]
        for lineage in self._lineages(CLEAN):
            received = self._clean.received_hours(lineage)
            manifests = {one.received_hour: one for one in self._clean.manifests(lineage, received)}
            for name in _files_of(manifests, received):
                with self._objects.open(name) as content:
                    found = pl.read_parquet(content, columns=list(ERASED_BY)).filter(is_one)
                if found.height:
                    gone.append(found)
                    self._take_out_of(name, manifests, lambda _hour: is_one)
        return pl.concat(gone)

    def erase_sessions(self, is_one: pl.Expr) -> None:
        """Take sessions out of all lineages, whenever they began."""
        for lineage in self._lineages(SESSIONS):
            hours = Sessions(self._objects).hours(lineage)
            self._take_sessions(lineage, hours, lambda _hour: is_one)

    def erase_letters(self, hours: Collection[int], request_ids: Collection[str]) -> int:
        """Take dead letters of requests out, received in some hours (UTC µs); how many."""
        ids = pl.Series(list(request_ids), dtype=pl.String).implode()
        return sum(
            self._letters.take_out(lineage, hour, lambda rows: rows["request_id"].is_in(ids))
            for lineage in self._lineages(DEAD_LETTERS)
            for hour in hours
        )

    def is_named(self, name: str) -> bool:
        """Whether a manifest names a file of clean hits or sessions."""
        of_hits = name.partition("/together/" if "/together/" in name else "/event_hour=")[0]
        folder = of_hits if name.startswith(CLEAN) else name.rpartition("/")[0]
        manifests = (one for one in self._objects.names(f"{folder}/") if one.endswith(".json"))
        return any(name.encode() in self._objects.get(one) for one in manifests)

    def _lineages(self, prefix: str) -> list[str]:
        return sorted({name.split("/")[1] for name in self._objects.names(prefix)})

    def _take_out_of(self, name: str, manifests: dict[int, CleanManifest], is_due: IsDue) -> int:
        """Let another file stand for one of clean hits, if any of them are due."""
        places = sorted(
            (
                (one, number)
                for one in manifests.values()
                for number, part in enumerate(one.parts)
                if part.name == name
            ),
            key=lambda place: _part(place).rows or (0, 0),
        )
        whole = pl.read_parquet(io.BytesIO(self._objects.get(name)))
        kept = [
            _rows(whole, _part(place)).filter(~is_due(place[0].received_hour)) for place in places
        ]
        left = sum(frame.height for frame in kept)
        if left == sum(_part(place).hits for place in places):
            return 0
        self._supersede([name])
        data = encode_rows(pl.concat(kept)) if left else b""
        fresh = f"{name.rpartition('-')[0]}-{xxhash.xxh3_64_hexdigest(data)}.parquet"
        if left:
            self._objects.put(fresh, data)
        self._name_anew(places, kept, fresh, len(data), manifests)
        return sum(_part(place).hits for place in places) - left

    def _name_anew(
        self,
        places: Sequence[_Place],
        kept: Sequence[pl.DataFrame],
        name: str,
        size_bytes: int,
        manifests: dict[int, CleanManifest],
    ) -> None:
        """Let manifests name a file in place of another, or nothing where nothing is left."""
        begins = 0
        for place, frame in zip(places, kept, strict=True):
            counted, late = frame.select(*ends(self._late_us)).row(0)
            part = replace(
                _part(place),
                name=name,
                hits=frame.height,
                counted=counted,
                late=late,
                size_bytes=size_bytes,
                rows=None if _part(place).rows is None else (begins, begins + frame.height),
            )
            begins += frame.height
            hour = place[0].received_hour
            parts = list(manifests[hour].parts)
            parts[place[1]] = part
            manifests[hour] = replace(manifests[hour], parts=tuple(parts))
        for hour in {place[0].received_hour for place in places}:
            filled = tuple(part for part in manifests[hour].parts if part.hits)
            self._clean.put_manifest(replace(manifests[hour], parts=filled))

    def _take_sessions(self, lineage: str, event_hours: Collection[int], is_due: IsDue) -> None:
        sessions = Sessions(self._objects)
        for event_hour in sorted(event_hours):
            parts = sessions.parts(lineage, event_hour)
            frames = [pl.read_parquet(io.BytesIO(self._objects.get(part.name))) for part in parts]
            kept = [frame.filter(~is_due(event_hour)) for frame in frames]
            if [frame.height for frame in kept] != [frame.height for frame in frames]:
                self._supersede([part.name for part in parts])
                sessions.replace(lineage, event_hour, kept)

    def _due_letters(self, letters: pl.DataFrame, ids: set[str]) -> pl.Series:
        """Whether the requests of letters are due; an unreadable block is nobody's request."""
        said = letters.select(pl.col("request").str.json_decode(pl.Struct(REQUEST_SCHEMA)))
        empty = [
            pl.col(name).fill_null(pl.lit("" if kind == pl.String else 0).cast(kind))
            for name, kind in REQUEST_SCHEMA.items()
        ]
        requests = said.unnest("request").select(empty)
        return due_requests(streams_of(requests, self._known_of), ids, letters.height)


def _part(place: _Place) -> CleanPart:
    manifest, number = place
    return manifest.parts[number]


def _rows(whole: pl.DataFrame, part: CleanPart) -> pl.DataFrame:
    if part.rows is None:
        return whole
    first, end = part.rows
    return whole.slice(first, end - first)


def _files_of(manifests: dict[int, CleanManifest], hours: Collection[int]) -> list[str]:
    held = (manifests[hour].parts for hour in hours if hour in manifests)
    return sorted({part.name for parts in held for part in parts})
