"""The oracle: what the cells should hold, computed one hit at a time from the written definitions.

It shares no code with the project and knows no frames, pieces or state: it sees all hits at once,
makes sessions of them by walking, and counts by adding.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import xxhash

from .cells_reader import LAYOUTS, Cells, Row, Rows, Slot

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
ALIGNMENT_US = 4 * HOUR_US
LATE_US = HOUR_US
TOO_OLD_US = 72 * HOUR_US

DIRECT = ("(direct)", "(none)", "(direct)", "Direct")
NO_SESSION = ("(not set)", "(not set)", "(not set)", "Unassigned")
CHANNELS = {
    ("google", "organic"): "Organic Search",
    ("bing", "organic"): "Organic Search",
    ("google", "cpc"): "Paid Search",
    ("newsletter", "email"): "Email",
    ("instagram", "paid_social"): "Paid Social",
    ("m.facebook.com", "referral"): "Organic Social",
    ("blog.example.org", "referral"): "Referral",
    ("partner_net", "affiliate"): "Affiliates",
}
"""Default channel group of every source and medium that the simulated visits name."""


Source = tuple[str, str, str, str]
"""Source, medium, campaign and channel."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a property's rules say of its sessions and slots."""

    slot_minutes: int = 60
    session_gap_seconds: int = 1800
    engagement_threshold_ms: int = 10_000
    attribution_lookback_days: int = 90
    key_events: tuple[str, ...] = ("purchase",)
    once_per_session: tuple[str, ...] = ()
    change: "Change | None" = None

    def at(self, event_at: int) -> "Settings":
        """Those of sessions and slots, by when something happened (UTC µs)."""
        return self.change.settings if self.change and event_at >= self.change.cut_at else self

    def received(self, received_at: int) -> "Settings":
        """Those that judge a hit by itself, by when it was received (UTC µs)."""
        is_new = self.change is not None and received_at >= self.change.effective_at
        return self.change.settings if self.change and is_new else self


@dataclass(frozen=True, kw_only=True)
class Change:
    """Other settings that a property has from an instant on."""

    effective_at: int
    settings: Settings

    @property
    def cut_at(self) -> int:
        """UTC µs of the multiple of L at which sessions are cut for it."""
        return -(-self.effective_at // ALIGNMENT_US) * ALIGNMENT_US


@dataclass(frozen=True, kw_only=True, slots=True)
class OracleHit:
    """One hit that was accepted, as it was meant. Times are UTC µs."""

    hit_id: str
    property_id: int
    client_id: str
    received_at: int
    event_at: int
    event_name: str
    opens_session: bool = True
    host: str = ""
    path: str = ""
    source: Source | None = None
    engagement_ms: int = 0
    is_first_visit: bool = False
    device: tuple[str, str, str] = ("", "", "")
    value_micros: int = 0
    transaction_id: str = ""
    key_events: tuple[str, ...] = ("purchase",)
    once_per_session: tuple[str, ...] = ()
    is_repeat: bool = False
    customs: tuple[tuple[str, str, int | None], ...] = ()

    @property
    def is_view(self) -> bool:
        """A page or screen was seen."""
        return self.event_name in ("page_view", "screen_view")

    @property
    def is_key_event(self) -> bool:
        """By its property's rules."""
        return self.event_name in self.key_events

    @property
    def dimensions(self) -> list[tuple[str, str]]:
        """Name and value of each custom dimension that it has one of."""
        return [(name, value) for name, value, micros in self.customs if micros is None]

    @property
    def amounts(self) -> list[tuple[str, int]]:
        """Name and micros of each number that a custom metric adds up."""
        return [(name, micros) for name, _, micros in self.customs if micros is not None]

    @property
    def client_hash(self) -> int:
        """How sets name the client."""
        return xxhash.xxh3_64_intdigest(self.client_id.encode())

    @property
    def counts_live(self) -> bool:
        """Neither late nor too old."""
        return self.received_at - self.event_at <= LATE_US


@dataclass
class Session:
    """A session: the hits that made it, and those that joined it; never past ``end_by``."""

    gap_us: int
    end_by: float
    chain_start: int
    opening: list[OracleHit]
    joined: list[OracleHit] = field(default_factory=list)

    @property
    def hits(self) -> list[OracleHit]:
        """All of them."""
        return self.opening + self.joined

    @property
    def start(self) -> int:
        """UTC µs of the first hit."""
        return self.opening[0].event_at

    @property
    def end(self) -> int:
        """UTC µs of the last hit that could have opened it."""
        return self.opening[-1].event_at

    @property
    def reach(self) -> float:
        """UTC µs before which hits join it: a gap after its end, or where its chain is cut next."""
        multiple = (self.start // ALIGNMENT_US + 1) * ALIGNMENT_US
        while self.chain_start > multiple - ALIGNMENT_US:
            multiple += ALIGNMENT_US
        return min(self.end + self.gap_us, multiple, self.end_by)

    @property
    def duration_ms(self) -> int:
        """Wall time."""
        return (self.end - self.start) // 1000

    @property
    def source(self) -> Source | None:
        """What the earliest hit that names a source names."""
        return next((hit.source for hit in self.opening if hit.source), None)

    @property
    def views(self) -> list[OracleHit]:
        """Page views, in order."""
        return [hit for hit in self.opening if hit.is_view]

    @property
    def landing(self) -> tuple[str, str]:
        """Host and path of the first page view, empty where it named none: "(not set)"."""
        return (self.views[0].host, self.views[0].path) if self.views else ("", "")

    @property
    def exit(self) -> tuple[str, str]:
        """Host and path of the last page view."""
        return (self.views[-1].host, self.views[-1].path) if self.views else ("", "")

    def is_engaged(self, threshold_ms: int) -> bool:
        """Long enough, or a key event, or two page views."""
        foreground_ms = sum(hit.engagement_ms for hit in self.hits)
        return (
            (foreground_ms or self.duration_ms) >= threshold_ms
            or any(hit.is_key_event for hit in self.hits)
            or sum(hit.is_view for hit in self.hits) >= 2
        )


def sessions_of(hits: list[OracleHit], settings: Settings) -> tuple[list[Session], list[OracleHit]]:
    """Sessions of one client of one property, and the hits that belong to none."""
    opening = sorted((hit for hit in hits if hit.opens_session), key=_in_order)
    sessions: list[Session] = []
    chain_start = 0
    changes_at = settings.change.cut_at if settings.change else float("inf")
    for hit in opening:
        last = sessions[-1] if sessions else None
        gap_us = settings.at(hit.event_at).session_gap_seconds * SECOND_US
        end_by = changes_at if hit.event_at < changes_at else float("inf")
        if last is None or hit.event_at - last.end >= gap_us or hit.event_at >= last.end_by:
            chain_start = hit.event_at
            sessions.append(Session(gap_us, end_by, chain_start, [hit]))
            continue
        multiple = hit.event_at // ALIGNMENT_US * ALIGNMENT_US
        if last.end < multiple and chain_start <= multiple - ALIGNMENT_US:
            sessions.append(Session(gap_us, end_by, chain_start, [hit]))
        else:
            last.opening.append(hit)
    outside = []
    for hit in sorted((hit for hit in hits if not hit.opens_session), key=_in_order):
        begun = [session for session in sessions if session.start <= hit.event_at]
        if begun and hit.event_at < begun[-1].reach:
            begun[-1].joined.append(hit)
        else:
            outside.append(hit)
    return sessions, outside


def sold_once(hits: list[OracleHit]) -> list[OracleHit]:
    """One client's hits. A sale is worth nothing where one of the same transaction came before it,
    not earlier than L before the multiple of L that it follows."""
    last_sold: dict[str, int] = {}
    worth = []
    for hit in sorted(hits, key=_in_order):
        if hit.event_name == "purchase" and hit.transaction_id:
            before = last_sold.get(hit.transaction_id)
            last_sold[hit.transaction_id] = hit.event_at
            remembered = hit.event_at - hit.event_at % ALIGNMENT_US - ALIGNMENT_US
            if before is not None and before >= remembered:
                worth.append(replace(hit, value_micros=0))
                continue
        worth.append(hit)
    return worth


def repeated_key_events(sessions: list[Session], outside: list[OracleHit]) -> set[OracleHit]:
    """The hits of one client that are no key event, as they come after another of their name in
    their session; outside of any, at the same instant."""
    seen: set[tuple[str, int, bool]] = set()
    repeats = set()
    placed = [(hit, session.start, True) for session in sessions for hit in session.hits]
    placed += [(hit, hit.event_at, False) for hit in outside]
    for hit, moment, is_inside in sorted(placed, key=lambda each: _in_order(each[0])):
        if hit.event_name in hit.once_per_session:
            name = hit.event_name, moment, is_inside
            if name in seen:
                repeats.add(hit)
            seen.add(name)
    return repeats


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a client's sessions, all of them, say of one of them or of a hit outside."""

    last_source: Source = NO_SESSION
    first_source: Source = NO_SESSION
    visitor: str = ""

    @classmethod
    def of(cls, session: Session, earlier: list[Session], lookback_us: int) -> "Standing":
        """A session's; ``earlier`` are all sessions of the client before it, in order."""
        named = [
            one.source for one in earlier if one.source and one.start >= session.start - lookback_us
        ]
        return cls(
            last_source=session.source or (named[-1] if named else DIRECT),
            first_source=[*earlier, session][0].source or DIRECT,
            visitor="returning" if earlier else "new",
        )

    @classmethod
    def outside(cls, hit: OracleHit, sessions: list[Session]) -> "Standing":
        """That of a hit that belongs to no session."""
        if not sessions or sessions[0].start > hit.event_at:
            return cls()
        return cls(first_source=sessions[0].source or DIRECT)


def _in_order(hit: OracleHit) -> tuple[int, str]:
    return hit.event_at, hit.hit_id


def expected_cells(
    hits: Iterable[OracleHit], settings: dict[int, Settings], *, live: bool = True
) -> Cells:
    """What every rollup of every slot should hold; ``live`` leaves late hits out."""
    by_client: dict[tuple[int, str], list[OracleHit]] = defaultdict(list)
    for hit in hits:
        if not live or hit.counts_live:
            held = settings[hit.property_id].received(hit.received_at)
            mine = by_client[hit.property_id, hit.client_id]
            mine.append(
                replace(hit, key_events=held.key_events, once_per_session=held.once_per_session)
            )
    counter = _Counter(settings)
    for (property_id, _), sent in by_client.items():
        mine = sold_once(sent)
        sessions, outside = sessions_of(mine, settings[property_id])
        repeats = repeated_key_events(sessions, outside)
        for session in sessions:
            session.opening = [replace(hit, is_repeat=hit in repeats) for hit in session.opening]
            session.joined = [replace(hit, is_repeat=hit in repeats) for hit in session.joined]
        outside = [replace(hit, is_repeat=hit in repeats) for hit in outside]
        for index, session in enumerate(sessions):
            held = settings[property_id].at(session.start)
            lookback_us = held.attribution_lookback_days * DAY_US
            counter.count_session(session, Standing.of(session, sessions[:index], lookback_us))
        # Hits of one instant are of one device: that of the first by id.
        devices = {hit.event_at: hit.device for hit in reversed(outside)}
        for hit in outside:
            standing = Standing.outside(hit, sessions)
            counter.count_hit(replace(hit, device=devices[hit.event_at]), None, standing)
    return counter.cells()


class _Counter:
    """Adds hits and sessions up."""

    def __init__(self, settings: dict[int, Settings]) -> None:
        self._settings = settings
        self._rows: dict[tuple[str, Slot, tuple[str, ...]], Row] = {}
        self._sets: dict[tuple[str, Slot, tuple[str, ...], str], set[int]] = defaultdict(set)

    def count_session(self, session: Session, standing: Standing) -> None:
        first = session.opening[0]
        engaged = self._is_engaged(session)
        slot = self._slot(first.property_id, session.start)
        for rollup, keys in _piece_keys(session, first, standing):
            self._add(rollup, slot, keys, "sessions", 1)
            self._add(rollup, slot, keys, "engaged_sessions", int(engaged))
            self._add(rollup, slot, keys, "session_duration_ms", session.duration_ms)
        for value in {value for hit in session.hits for value in hit.dimensions}:
            self._add("custom", slot, value, "sessions", 1)
        for page in {(hit.host, hit.path) for hit in session.hits if hit.is_view}:
            self._add("pages", slot, page, "sessions", 1)
        if session.views:
            self._add("pages", slot, session.landing, "entrances", 1)
            self._add("pages", slot, session.exit, "exits", 1)
        for hit in session.hits:
            self.count_hit(hit, session, standing)

    def count_hit(self, hit: OracleHit, session: Session | None, standing: Standing) -> None:
        slot = self._slot(hit.property_id, hit.event_at)
        engaged = session is not None and self._is_engaged(session)
        active = engaged or hit.is_first_visit or hit.engagement_ms > 0
        minute = f"{hit.event_at // MINUTE_US % 60:02d}"
        for rollup, keys in (
            *_piece_keys(session, hit, standing),
            ("pages", (hit.host, hit.path)),
            ("events", (hit.event_name,)),
            ("minutes", (minute,)),
            *(("custom", value) for value in hit.dimensions),
            *(("custom_events", (*value, hit.event_name)) for value in hit.dimensions),
            *(("custom_amounts", (name, hit.event_name)) for name, _ in hit.amounts),
        ):
            self._add(rollup, slot, keys, "events", 1)
            self._add(rollup, slot, keys, "views", int(hit.is_view))
            self._add(rollup, slot, keys, "engagement_ms", hit.engagement_ms)
            is_counted = hit.is_key_event and not hit.is_repeat
            self._add(rollup, slot, keys, "key_events", int(is_counted))
            self._add(rollup, slot, keys, "value_micros", hit.value_micros)
            members = {"users": True, "active_users": active, "new_users": hit.is_first_visit}
            for name in LAYOUTS[rollup].sets:
                if members[name]:
                    self._sets[rollup, slot, keys, name].add(hit.client_hash)
        for name, micros in hit.amounts:
            keys = (name, hit.event_name)
            self._add("custom_amounts", slot, keys, "amount_micros", micros)

    def cells(self) -> Cells:
        cells: Cells = {name: {} for name in LAYOUTS}
        for (rollup, slot, keys), row in self._rows.items():
            layout = LAYOUTS[rollup]
            sets: Row = {
                name: frozenset(sorted(self._sets[rollup, slot, keys, name])[: layout.k])
                for name in layout.sets
            }
            rows: Rows = cells[rollup].setdefault(slot, {})
            rows[keys] = {name: row.get(name, 0) for name in layout.sums} | sets
        return cells

    def _is_engaged(self, session: Session) -> bool:
        settings = self._settings[session.opening[0].property_id].at(session.start)
        return session.is_engaged(settings.engagement_threshold_ms)

    def _slot(self, property_id: int, at: int) -> Slot:
        minutes = self._settings[property_id].at(at).slot_minutes
        return property_id, at // (minutes * MINUTE_US) * minutes * MINUTE_US, minutes

    def _add(self, rollup: str, slot: Slot, keys: tuple[str, ...], name: str, amount: int) -> None:
        row = self._rows.setdefault((rollup, slot, keys), {})
        if name in LAYOUTS[rollup].sums:
            held = row.get(name, 0)
            assert isinstance(held, int)
            row[name] = held + amount


def _piece_keys(
    session: Session | None, hit: OracleHit, standing: Standing
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Keys of the rollups that say of a hit what its session says."""
    yield "totals", ()
    yield "acquisition", standing.last_source
    yield "first_user", standing.first_source
    yield "visitors", (standing.visitor,)
    yield "landing", session.landing if session else ("", "")
    yield "technology", session.opening[0].device if session else hit.device


def differences(
    expected: Cells, found: Cells, *, shown: int = 20, name: Callable[[int], str] = str
) -> list[str]:
    """Every number that differs, in words; at most ``shown`` of them."""
    problems: list[str] = []
    for rollup, layout in LAYOUTS.items():
        slots = expected[rollup].keys() | found[rollup].keys()
        for slot in sorted(slots):
            ours, theirs = expected[rollup].get(slot, {}), found[rollup].get(slot, {})
            for keys in sorted(ours.keys() | theirs.keys()):
                for column in (*layout.sums, *layout.sets):
                    want = _shown(ours.get(keys, {}).get(column))
                    got = _shown(theirs.get(keys, {}).get(column))
                    if want != got:
                        problems.append(
                            f"{rollup} of {name(slot[0])} at {slot[1:]} {keys} {column}:"
                            f" expected {want}, found {got}"
                        )
    extra = [f"… and {len(problems) - shown} more"] if len(problems) > shown else []
    return problems[:shown] + extra


def _shown(value: int | frozenset[int] | None) -> object:
    return f"{len(value)} clients {sorted(value)}" if isinstance(value, frozenset) else value
