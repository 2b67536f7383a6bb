"""Hypothesis strategies of the counting domain: visits, hits, blocks, and orders of arrival."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st

from tallymark.additions import with_additions
from tallymark.aggregates import Counted, counted
from tallymark.compaction import compact
from tallymark.hits import HIT_SCHEMA
from tallymark.narrow_hits import NARROWED, narrow
from tallymark.pieces import Tables, tables_of
from tallymark.shard_frames import SHARD_HIT_SCHEMA, ShardFrame, counted_hits, split
from tallymark.slots import HOUR_US, LATE_US, MINUTE_US, SESSION_ALIGNMENT_US
from tallymark.touches import attributed, no_histories
from tallymark.vectors import BlockMark

SECOND_US = 1_000_000
GAPS_MINUTES = (5, 7, 30, 59, 60, 61, 119, 120, 180, 239, 240)
MIDNIGHT_US = 1_700_006_400_000_000 // (24 * HOUR_US) * 24 * HOUR_US
"""A UTC midnight, so a multiple of L too, that all generated time lies around."""
FACTORS = {"quick": 0.25, "soak": 40}
"""Of examples, by Hypothesis profile: while one works, in CI (1), and over night."""
SOURCES = (
    ("", "", "", ""),
    ("", "", "", ""),
    ("google", "organic", "(organic)", "Organic Search"),
    ("letter", "email", "march", "Email"),
)
PAGES = (("shop.example", "/"), ("shop.example", "/cart"), ("", ""))
COLUMNS = {name: HIT_SCHEMA[name] for name in HIT_SCHEMA if name in SHARD_HIT_SCHEMA}
COLUMNS |= {name: HIT_SCHEMA[name] for name in (*NARROWED, "excluded_by")}
"""The columns of a hit that counting needs."""
NAMES = ("page_view", "page_view", "scroll", "purchase")
ONCE_PER_SESSION = {1: ("scroll",), 2: ("purchase",)}
"""Key events of properties of which a session counts the first."""
TRANSACTIONS = ("", "T1", "T1", "T2")
DEVICES = (("desktop", "Firefox", "Linux"), ("mobile", "Chrome", "Android"))


def examples(count: int) -> settings:
    """``count`` examples in CI, fewer while one works, many times as many in a soak."""
    factor = FACTORS.get(os.environ.get("HYPOTHESIS_PROFILE", "quick"), 1)
    return settings(max_examples=max(1, round(count * factor)))


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One hit as a test thinks of it: whose, when, and a number its looks are made of."""

    client: int
    property_id: int
    event_at: int
    opens_session: bool
    look: int


def hits_of(visits: Sequence[Visit], gap_us: int, *, threshold_ms: int = 10_000) -> pl.DataFrame:
    """Hits (``COLUMNS``) of visits; ids are in no order."""
    rows = [_hit(index, visit, gap_us, threshold_ms) for index, visit in enumerate(visits)]
    return pl.DataFrame(rows, schema=COLUMNS)


def tables(hits: pl.DataFrame) -> Tables:
    """The tables of hits (``COLUMNS``), not compacted."""
    return tables_of(*narrow(hits))


def all_joined(hits: pl.DataFrame) -> pl.DataFrame:
    """The pieces of hits (``COLUMNS``) with their sessions, and with what counts once."""
    return with_additions(compact(tables(hits)))[0]


def all_counted(hits: pl.DataFrame) -> Counted:
    """What the rollups of hits (``COLUMNS``) are computed from, nothing older being known."""
    joined, whole = with_additions(compact(tables(hits)))
    return counted(whole, attributed(joined, no_histories(), -(2**62)))


def _hit(index: int, visit: Visit, gap_us: int, threshold_ms: int) -> dict[str, object]:
    look = visit.look
    name = NAMES[look % 4]
    host, path = PAGES[look // 4 % 3]
    source, medium, campaign, channel = SOURCES[look // 12 % 4]
    device, browser, system = DEVICES[look // 48 % 2]
    is_once = name in ONCE_PER_SESSION.get(visit.property_id, ())
    return {
        "received_at": visit.event_at,
        "has_balancer_id": False,
        "hit_id": f"{_scattered(index, look):032x}-0000",
        "event_at": visit.event_at,
        "property_id": visit.property_id,
        "client_hash": (visit.client + 1) * 0x9E3779B97F4A7C15 % 2**64,
        "opens_session": visit.opens_session,
        "event_name": name,
        "host": host,
        "path": path,
        "source": source,
        "medium": medium,
        "campaign": campaign,
        "channel": channel,
        "engagement_ms": 4_000 * (look // 96 % 3),
        "is_first_visit": look % 11 == 0,
        "is_page_view": name == "page_view",
        "is_key_event": name == "purchase" or is_once,
        "is_once_per_session": is_once,
        "device_category": device,
        "browser": browser,
        "operating_system": system,
        "value_micros": 1_990_000 * (name == "purchase"),
        "transaction_id": TRANSACTIONS[look // 12 % 4],
        "slot_minutes": (60, 30, 15)[visit.property_id % 3],
        "session_gap_ms": gap_us // 1000,
        "engagement_threshold_ms": threshold_ms,
        "attribution_lookback_days": 90,
        "settings_from": 0,
        "excluded_by": "",
        "customs": _customs(visit.property_id, look),
    }


def _customs(property_id: int, look: int) -> list[dict[str, object]]:
    """Of a property that has defined something, and once of its items twice; of others nothing."""
    if property_id % 2 == 0:
        return []
    said: list[tuple[str, str, int | None]] = [
        ("customEvent:colour", ("red", "", "blue")[look % 3], None),
        ("customUser:plan", ("", "gold")[look // 9 % 2], None),
    ]
    if look % 5 == 0:
        said += [("customItem:cut", cut, None) for cut in ("slim", "wide")]
        said += [("customItem:weight", "", micros) for micros in (1_500_000, -2)]
    if look % 7 == 0:
        said.append(("customEvent:size", "", 42_500_000))
    return [{"name": name, "value": value, "micros": micros} for name, value, micros in said]


def _scattered(index: int, look: int) -> int:
    """Ids whose order has nothing to do with the order of time."""
    return (index * 0x9E3779B1 + look) % 2**32 << 32 | index


@st.composite
def visits(
    draw: st.DrawFn, *, gap_us: int, span_us: int, clients: int = 3, properties: int = 2
) -> list[Visit]:
    """Chains of hits whose pauses lie at the edges of the gap and of multiples of L.

    Times lie in [MIDNIGHT_US − 2 h, MIDNIGHT_US − 2 h + span_us).
    """
    first = MIDNIGHT_US - 2 * HOUR_US
    steps = st.sampled_from(
        (0, 1, SECOND_US, 40 * SECOND_US, 10 * MINUTE_US, gap_us // 2,
         gap_us - 1, gap_us - 1, gap_us, gap_us + 1, "edge", "before")
    )  # fmt: skip
    opens = st.sampled_from((True, True, True, False))
    found = []
    for client in range(draw(st.integers(1, clients))):
        at = first + draw(st.integers(0, span_us // MINUTE_US // 2)) * MINUTE_US
        property_id = draw(st.integers(1, properties))
        for step, look, opening in draw(
            st.lists(st.tuples(steps, st.integers(0, 287), opens), min_size=1, max_size=18)
        ):
            at = _stepped(at, step)
            if at >= first + span_us:
                break
            found.append(
                Visit(
                    client=client, property_id=property_id, event_at=at,
                    opens_session=opening, look=look,
                )
            )  # fmt: skip
    return found


def _stepped(at: int, step: int | str) -> int:
    if isinstance(step, int):
        return at + step
    edge = at // SESSION_ALIGNMENT_US * SESSION_ALIGNMENT_US + SESSION_ALIGNMENT_US
    return edge if step == "edge" else max(at, edge - 1)


@dataclass(frozen=True)
class SentBlock:
    """A block and its hits."""

    mark: BlockMark
    hits: pl.DataFrame


DELAYS_US = (0, 0, 0, SECOND_US, 30 * MINUTE_US, LATE_US)
"""Between an event and its receipt, all on time; the last by the skin of its teeth."""


@st.composite
def recordings(draw: st.DrawFn, hits: pl.DataFrame) -> list[SentBlock]:
    """The hits as two or three collectors recorded them, in blocks, in order of publication.

    Delays lie up to D; the clocks of the collectors may be wrong by a quarter of an hour.
    """
    count = hits.height
    spools = draw(st.integers(1, 3))
    delay = draw(st.lists(st.sampled_from(DELAYS_US), min_size=count, max_size=count))
    spool = draw(st.lists(st.integers(0, spools - 1), min_size=count, max_size=count))
    size = draw(st.integers(1, 9))
    offsets = draw(
        st.lists(
            st.sampled_from((0, 0, 6 * SECOND_US, -15 * MINUTE_US, 15 * MINUTE_US)),
            min_size=spools,
            max_size=spools,
        )
    )
    received = hits.with_columns(pl.col("event_at") + pl.Series(delay, dtype=pl.Int64)).get_column(
        "event_at"
    )
    recorded = hits.with_columns(received_at=received, spool=pl.Series(spool, dtype=pl.Int64))
    blocks = []
    for index in range(spools):
        mine = recorded.filter(pl.col("spool") == index).sort("received_at", "hit_id")
        blocks += _blocks_of_spool(f"spool{index}", mine.drop("spool"), size, offsets[index])
    return sorted(blocks, key=lambda block: (block.mark.published_at, block.mark.spool_id))


def _blocks_of_spool(
    spool_id: str, hits: pl.DataFrame, size: int, offset_us: int
) -> list[SentBlock]:
    parts = [hits[at : at + size] for at in range(0, hits.height, size)]
    opened = parts[0]["received_at"].item(0) if parts else MIDNIGHT_US
    frontiers = [opened, *(part["received_at"].item(-1) + 1 for part in parts)]
    frontiers.append(frontiers[-1])
    kinds = ["opening", *["requests"] * len(parts), "closing"]
    return [
        SentBlock(
            BlockMark(
                spool_id=spool_id,
                number=number,
                kind=kind,  # type: ignore[arg-type]
                frontier=frontier,
                published_at=frontier - offset_us + 100_000,
            ),
            held,
        )
        for number, (kind, frontier, held) in enumerate(
            zip(kinds, frontiers, [hits.clear(), *parts, hits.clear()], strict=True), start=1
        )
    ]


@st.composite
def deliveries(draw: st.DrawFn, blocks: list[SentBlock]) -> list[ShardFrame]:
    """The blocks as a bus may deliver them: in any order, some again, in frames of a few."""
    again = draw(st.lists(st.sampled_from(blocks), max_size=len(blocks)))
    order = draw(st.permutations([*blocks, *again]))
    frames = []
    while order:
        taken = draw(st.integers(1, 6))
        frames.append(frame_of(order[:taken]))
        order = order[taken:]
    return frames


def frame_of(blocks: Sequence[SentBlock]) -> ShardFrame:
    """Some blocks as one shard frame."""
    hits = [
        block.hits.with_columns(block=pl.lit(index, pl.UInt32))
        for index, block in enumerate(blocks)
    ]
    (frame,) = split(*counted_hits(pl.concat(hits)), [block.mark for block in blocks], 1)
    return frame
