"""Reads of hits, for reports whose combination no rollup holds: in parts of bounded size, within
limits, and so few at a time that other reports do not wait for them.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import polars as pl

from report_api.turns import Turns
from stores.archive.clean_files import hash_range
from stores.archive.port import Objects
from stores.served_hits import HeldHits, HitsNotKeptError, ServedHits
from stores.wide_rows.client_touches import pinned_touches
from stores.wide_rows.port import WideRows
from tallymark.decoded_cells import DecodedCells
from tallymark.hits import HIT_SCHEMA
from tallymark.pieces import CLIENT
from tallymark.properties import Property
from tallymark.replays import Span
from tallymark.reports.hit_facts import Facts, Needs, facts_of, together
from tallymark.reports.plan import Plan
from tallymark.reports.serving import Pointers
from tallymark.rollup_choice import smallest_rollup
from tallymark.slots import DAY_US, HOUR_US, SESSION_ALIGNMENT_US, window_end, window_start
from tallymark.touches import TOUCH_SCHEMA

CLIENTS_A_READ: Final = 20_000
"""Clients whose older touches are read at a time."""


@dataclass(frozen=True, kw_only=True)
class HitLimits:
    """How much one report may take.

    Attributes:
        hours: Hours of events, those around the range included on which its sessions depend.
        hits: Hits of all properties in the files that have to be looked through.
        requests: Recorded requests of all properties that have to be processed, of open hours.
        seconds: From the first read to the last.
        hits_together: About how many hits are held in memory at a time.
        at_once: Reports of hits that are computed at a time in one process.
        waiting: How many more may wait for their turn, as long as ``seconds``.
    """

    hours: int = 95 * 24
    hits: int = 8_000_000
    requests: int = 1_000_000
    seconds: float = 30.0
    hits_together: int = 200_000
    at_once: int = 1
    waiting: int = 1


class BeyondLimitsError(Exception):
    """A report of hits that takes more than one may; says how to ask for less."""


@dataclass(frozen=True, kw_only=True)
class HitAnswer:
    """What hits say.

    Attributes:
        decoded: As if it had been read from cells.
        newest_us: UTC µs of the newest hit that counts in it; ``None`` where there is none.
        lineages: Which serve the hours.
        rules_versions: With which its hits were processed, ascending.
        hits: How many were read, those around the range included.
    """

    decoded: DecodedCells
    newest_us: int | None
    lineages: tuple[str, ...]
    rules_versions: tuple[int, ...]
    hits: int


@dataclass(frozen=True)
class _Part:
    """Slots that are counted together: those in [start_us, end_us).

    Attributes:
        window: The event hours whose hits are read for it.
        known_from: UTC µs of the first hour whose sessions these make up whole.
    """

    start_us: int
    end_us: int
    window: Span
    known_from: int


class HitReader:
    """Computes reports from hits.

    Args:
        objects: The archive.
        wide_rows: Lineages and the clients' older touches.
        now_us: UTC µs.
        limits: Of one report.
        clock: Seconds that pass.
    """

    def __init__(
        self,
        objects: Objects,
        wide_rows: WideRows,
        now_us: Callable[[], int],
        limits: HitLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._served = ServedHits(objects, wide_rows, now_us)
        self._wide_rows = wide_rows
        self._now_us = now_us
        self._limits = limits or HitLimits()
        self._clock = clock
        limited = self._limits
        self._turns = Turns(limited.at_once, waiting=limited.waiting, seconds=limited.seconds)

    @property
    def seconds(self) -> float:
        """How long a report may take, and as long again for its turn."""
        return 2 * self._limits.seconds

    def read(self, plan: Plan, owner: Property, pointers: Pointers) -> HitAnswer:
        """What the report's measures are by its keys.

        Raises:
            BeyondLimitsError: when it takes more than ``HitLimits`` allow, or hits that are gone.
            TooManyReportsError: when others are being computed.
            ArchiveDamageError: when a file is missing or cannot be read.
            WideRowsUnavailableError: when the store cannot be read.
        """
        with self._turns.taken(owner.property_id):
            try:
                return self._read(Needs(plan), owner, pointers)
            except HitsNotKeptError as error:
                raise BeyondLimitsError(
                    f"It is answered from single hits, and {error}. Ask for later days."
                ) from error

    def _read(self, needs: Needs, owner: Property, pointers: Pointers) -> HitAnswer:
        deadline = self._clock() + self._limits.seconds
        spans = self._past(needs.plan.spans)
        gap_us = max(one.rules.session_gap_seconds for one in owner.versions) * 1_000_000
        whole = [_part(needs, span, gap_us) for span in spans]
        self._check_hours(whole)
        facts: list[Facts] = []
        hits = 0
        for span, around in zip(spans, whole, strict=True):
            held = self._served.look_up(owner, pointers.served, around.window)
            self._check_size(needs, held, around.window)
            for part in self._parts(needs, span, gap_us, held):
                passes = self._passes(held.hits(part.window))
                for number in range(passes):
                    found = self._hits(needs, held, part, hash_range(number, passes), deadline)
                    hits += found.height
                    facts.append(self._facts(needs, found, part, pointers))
        newest = [part.newest_us for part in facts if part.newest_us is not None]
        serving = {pointers.served.lineage_at(hour) for part in whole for hour in _hours(part)}
        return HitAnswer(
            decoded=together(facts or [_nothing(needs)]),
            newest_us=max(newest, default=None),
            lineages=tuple(sorted(name for name in serving if name is not None)),
            rules_versions=tuple(sorted({one for part in facts for one in part.rules_versions})),
            hits=hits,
        )

    def _past(self, spans: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
        """The spans as far as they have begun."""
        until = self._now_us() // HOUR_US * HOUR_US + HOUR_US
        return [(start, min(end, until)) for start, end in spans if start < until]

    def _hits(
        self,
        needs: Needs,
        held: HeldHits,
        part: _Part,
        hashes: tuple[int, int],
        deadline: float,
    ) -> pl.DataFrame:
        """The hits of a part's window, of the clients with one in its slots."""
        empty = pl.DataFrame(schema={name: HIT_SCHEMA[name] for name in needs.columns})
        frames = [empty]
        for frame in held.read(part.window, needs.columns, hashes, with_params=needs.items):
            frames.append(frame)
            if self._clock() > deadline:
                raise BeyondLimitsError(
                    "It is answered from single hits, which takes longer than the "
                    f"{self._limits.seconds:g} seconds that it may. {_less(needs)}"
                )
        hits = pl.concat(frames)
        is_inside = pl.col("event_at").is_between(part.start_us, part.end_us, closed="left")
        return hits.join(hits.filter(is_inside).select(CLIENT).unique(), on=CLIENT, how="semi")

    def _facts(
        self, needs: Needs, hits: pl.DataFrame, part: _Part, pointers: Pointers
    ) -> Facts:  # fmt: skip
        clients = hits.select(CLIENT).unique().sort(CLIENT) if needs.touches else hits.clear()
        older = [
            pinned_touches(
                self._wide_rows, some, {None: pointers.served}, before_us=part.known_from
            )
            for some in clients.iter_slices(CLIENTS_A_READ)
        ]
        return facts_of(
            needs,
            hits,
            pl.concat([pl.DataFrame(schema=TOUCH_SCHEMA), *older]),
            known_from=part.known_from,
            spans=[(part.start_us, part.end_us)],
        )

    def _parts(
        self, needs: Needs, span: tuple[int, int], gap_us: int, held: HeldHits
    ) -> Iterator[_Part]:
        """Parts of a day or more, of as few hits as that can be."""
        start_us, end_us = span
        hits = held.hits(_part(needs, span, gap_us).window)
        count = max(1, round(hits / self._limits.hits_together))
        size = max(DAY_US, -(-(end_us - start_us) // count // HOUR_US) * HOUR_US)
        edges = range(start_us // HOUR_US * HOUR_US + size, end_us, size)
        for first, last in pairwise([start_us, *edges, end_us]):
            yield _part(needs, (first, last), gap_us)

    def _passes(self, hits: int) -> int:
        """In how many sets of clients so many hits are counted."""
        passes = 1
        while passes * self._limits.hits_together < hits:
            passes *= 2
        return passes

    def _check_hours(self, parts: list[_Part]) -> None:
        hours = sum(len(part.window) for part in parts)
        if hours > self._limits.hours:
            raise BeyondLimitsError(
                f"It is answered from single hits, and those of {hours // 24:,} days would have "
                f"to be read, {self._limits.hours // 24:,} may be. Ask for fewer days."
            )

    def _check_size(self, needs: Needs, held: HeldHits, window: Span) -> None:
        for count, most, what in (
            (held.hits(window), self._limits.hits, "hits"),
            (held.requests(window), self._limits.requests, "requests of hours not sealed yet"),
        ):
            if count > most:
                raise BeyondLimitsError(
                    f"It is answered from single hits: {count:,} {what} would have to be looked "
                    f"through, {most:,} may be. {_less(needs)}"
                )


def _less(needs: Needs) -> str:
    """How to ask for less."""
    request = needs.plan.request
    _, lacking = smallest_rollup(request.dimensions, request.filter_dimensions, request.metrics)
    others = f", or leave {', '.join(lacking)} out: the rest is in a rollup" if lacking else ""
    return f"Ask for fewer days{others}."


def _hours(part: _Part) -> Span:
    return Span(part.start_us // HOUR_US * HOUR_US, part.end_us)


def _part(needs: Needs, span: tuple[int, int], gap_us: int) -> _Part:
    """A span with the hours on which it depends."""
    start_us, end_us = span
    hours = Span(start_us // HOUR_US * HOUR_US, -(-end_us // HOUR_US) * HOUR_US)
    # A session is cut at the second multiple of L after its beginning at the latest, and a sale
    # may repeat one of that time.
    known_from = (start_us // SESSION_ALIGNMENT_US - 1) * SESSION_ALIGNMENT_US
    if needs.sessions:
        first = window_start(known_from, gap_us) // HOUR_US * HOUR_US
        hours = Span(first, window_end(hours.end_us - HOUR_US))
    elif needs.values:
        hours = Span(known_from, hours.end_us)
    return _Part(start_us, end_us, hours, known_from)


def _nothing(needs: Needs) -> Facts:
    empty = pl.DataFrame(schema={name: HIT_SCHEMA[name] for name in needs.columns})
    nobody = pl.DataFrame(schema=TOUCH_SCHEMA)
    return facts_of(needs, empty, nobody, known_from=0, spans=[(0, 0)])
