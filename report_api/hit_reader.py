"""Reads of hits, for reports whose combination no rollup holds: in parts of bounded size, within
limits, and so few at a time that other reports do not wait for them.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import polars as pl

from report_api.hit_limits import BeyondLimitsError, HitLimits, check_hours, check_size
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


@dataclass(frozen=True, kw_only=True)
class HitsAsked:
    """Which hits a report is made of.

    Attributes:
        columns: Of ``HIT_SCHEMA``, ``CLIENT``, ``event_at`` and ``excluded_by`` among them.
        with_params: Whether items and parameters are wanted.
        less: How to ask for less, as a sentence.
    """

    columns: list[str]
    with_params: bool
    less: str


@dataclass(kw_only=True)
class FoldedHits:
    """What was made of hits, of some clients at a time.

    Attributes:
        parts: What each set of clients came to.
        newest_us: UTC µs of the newest hit; ``None`` where there is none.
        lineages: Which serve the hours.
        rules_versions: With which the hits were processed.
        hits: How many were read.
    """

    parts: list[pl.DataFrame] = field(default_factory=list)
    newest_us: int | None = None
    lineages: set[str] = field(default_factory=set)
    rules_versions: set[int] = field(default_factory=set)
    hits: int = 0

    def add(self, hits: pl.DataFrame, part: pl.DataFrame) -> None:
        """Note what some hits came to."""
        self.parts.append(part)
        self.hits += hits.height
        if hits.height:
            newest = int(hits.select(pl.col("event_at").max()).item())
            self.newest_us = max(newest, self.newest_us or newest)
            self.rules_versions |= set(hits.get_column("rules_version").unique())


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
        with self._turn(owner):
            return self._read(Needs(plan), owner, pointers)

    def fold(
        self,
        asked: HitsAsked,
        owner: Property,
        pointers: Pointers,
        span: tuple[int, int],
        compute: Callable[[pl.DataFrame], pl.DataFrame],
    ) -> FoldedHits:
        """Compute something of all hits in a span (UTC µs), those of a client at once.

        Args:
            asked: Which columns, ``rules_version`` among them.
            owner: Whose hits.
            pointers: What serves them.
            span: Half-open.
            compute: Is given the hits of some clients, in no order, and of every client once.

        Raises:
            BeyondLimitsError: as ``read`` does, and so on.
        """
        with self._turn(owner):
            deadline = self._clock() + self._limits.seconds
            folded = FoldedHits()
            for start_us, end_us in self._past((span,)):
                window = Span(start_us // HOUR_US * HOUR_US, -(-end_us // HOUR_US) * HOUR_US)
                check_hours(self._limits, len(window))
                held = self._served.look_up(owner, pointers.served, window)
                check_size(self._limits, held, window, asked.less)
                part = _Part(start_us, end_us, window, start_us)
                passes = self._passes(held.hits(window))
                for number in range(passes):
                    found = self._hits(asked, held, part, hash_range(number, passes), deadline)
                    folded.add(found, compute(found.filter(_is_inside(part))))
                folded.lineages |= {pointers.served.lineage_at(hour) or "" for hour in window}
            return folded

    @contextmanager
    def _turn(self, owner: Property) -> Iterator[None]:
        with self._turns.taken(owner.property_id):
            try:
                yield
            except HitsNotKeptError as error:
                raise BeyondLimitsError(
                    f"It is answered from single hits, and {error}. Ask for later days."
                ) from error

    def _read(self, needs: Needs, owner: Property, pointers: Pointers) -> HitAnswer:
        deadline = self._clock() + self._limits.seconds
        spans = self._past(needs.plan.spans)
        gap_us = max(one.rules.session_gap_seconds for one in owner.versions) * 1_000_000
        whole = [_part(needs, span, gap_us) for span in spans]
        check_hours(self._limits, sum(len(part.window) for part in whole))
        facts: list[Facts] = []
        hits = 0
        for span, around in zip(spans, whole, strict=True):
            held = self._served.look_up(owner, pointers.served, around.window)
            asked = HitsAsked(columns=needs.columns, with_params=needs.items, less=_less(needs))
            check_size(self._limits, held, around.window, asked.less)
            for part in self._parts(needs, span, gap_us, held):
                passes = self._passes(held.hits(part.window))
                for number in range(passes):
                    found = self._hits(asked, held, part, hash_range(number, passes), deadline)
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
        asked: HitsAsked,
        held: HeldHits,
        part: _Part,
        hashes: tuple[int, int],
        deadline: float,
    ) -> pl.DataFrame:
        """The hits of a part's window, of the clients with one in its slots."""
        empty = pl.DataFrame(schema={name: HIT_SCHEMA[name] for name in asked.columns})
        frames = [empty]
        for frame in held.read(part.window, asked.columns, hashes, with_params=asked.with_params):
            frames.append(frame)
            if self._clock() > deadline:
                raise BeyondLimitsError(
                    "It is answered from single hits, which takes longer than the "
                    f"{self._limits.seconds:g} seconds that it may. {asked.less}"
                )
        hits = pl.concat(frames)
        inside = hits.filter(_is_inside(part))
        return hits.join(inside.select(CLIENT).unique(), on=CLIENT, how="semi")

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


def _less(needs: Needs) -> str:
    """How to ask for less."""
    request = needs.plan.request
    _, lacking = smallest_rollup(request.dimensions, request.filter_dimensions, request.metrics)
    others = f", or leave {', '.join(lacking)} out: the rest is in a rollup" if lacking else ""
    return f"Ask for fewer days{others}."


def _is_inside(part: _Part) -> pl.Expr:
    return pl.col("event_at").is_between(part.start_us, part.end_us, closed="left")


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
