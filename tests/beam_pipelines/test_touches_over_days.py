"""Clients that come back after days: streams and replays, whole or in part, agree on them."""

import json
from dataclasses import replace as replaced
from pathlib import Path

import polars as pl
import pytest

from beam_pipelines import workers
from beam_pipelines.answering import answer_announcements
from beam_pipelines.places import Places
from beam_pipelines.replay import replay
from stores.announcements import STALE, Announcements
from stores.publication import Publisher
from tallymark.blocks import Block, encode_requests
from tallymark.cells import QUALIFIER
from tallymark.decoded_cells import decode
from tallymark.lineages import Lineage
from tallymark.processing import process_requests
from tallymark.replays import Span
from tallymark.requests import REQUEST_SCHEMA
from tallymark.rollups import BY_NAME
from tallymark.slots import DAY_US, HOUR_US, SESSION_ALIGNMENT_US, first_whole_hour
from tests.beam_pipelines.test_pipelines import expected, stream
from tests.beam_pipelines.worlds import Name, World, page_view, visits_over_days, without_lineage
from tests.strategies import MIDNIGHT_US, MINUTE_US
from tests.tallymark.test_shards import cells_at_once

DAYS = 6
L = SESSION_ALIGNMENT_US

pytestmark = pytest.mark.slow


class Shop:
    """Six days of visits that a stream has counted, which let its hours go as they were sealed."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        zones = ("Europe/Zurich", "Asia/Kathmandu")
        owners = [
            self.world.property(seed, time_zone=zone, attribution_lookback_days=2)
            for seed, zone in enumerate(zones, start=1)
        ]
        self.blocks = visits_over_days(owners, days=DAYS)
        self.publisher = Publisher(self.world.rows, lambda: 1, who="test")  # type: ignore[arg-type]
        self.publisher.serve_everywhere("live-1")
        self.world.archive(self.blocks)
        self.stream("live-1", self.blocks)

    def stream(self, lineage: str, blocks: list[Block], **changes: object) -> None:
        settings = self.world.settings(
            lineage, shards=2, flush_seconds=0.0, snapshot_seconds=1e-6, **changes
        )
        stream([blocks[at : at + 3] for at in range(0, len(blocks), 3)], settings)

    def replay(self, lineage: str, first_us: int, end_us: int, **changes: object) -> Span:
        asked = {"start_us": first_us, "end_us": end_us, **changes}
        return replay(self.world.replay_request(lineage, **asked)).targets

    def cells(self, lineage: str, hours: Span | None = None) -> dict[Name, bytes]:
        """A lineage's cells, or those of some hours."""
        return {
            name: value
            for name, value in self.world.cells(lineage).items()
            if hours is None or hour_of(name) in hours
        }


def hour_of(name: Name) -> int:
    """UTC µs in or at which the slot of a cell, or the touches' hour, starts."""
    key, _, qualifier = name
    if b"#touches#" not in key:
        return int(QUALIFIER.unpack(qualifier)[0])
    moment = pl.Series([qualifier.decode().partition("#")[0] + "00"])
    return int(moment.str.to_datetime("%Y%m%dT%H%M", time_unit="us").cast(pl.Int64)[0])


def hits_of(shop: Shop) -> pl.DataFrame:
    requests = pl.concat([block.frame() for block in shop.blocks if block.requests])
    rules = workers.rules(shop.world.settings().rules_path)
    return process_requests(requests, rules.frame, with_params=False).hits


def without_sessions(hits: pl.DataFrame, hours: Span) -> pl.DataFrame:
    """Hits but for those of sessions that start in some hours."""
    ordered = hits.sort("property_id", "client_hash", "event_at", "hit_id")
    at, client = pl.col("event_at"), pl.struct("property_id", "client_hash")
    begins = (client != client.shift()) | (at.diff() >= 30 * MINUTE_US)
    start = pl.when(begins.fill_null(value=True)).then(at).forward_fill()
    return ordered.filter(~start.is_between(hours.start_us, hours.end_us, closed="left"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def test_a_stream_that_lets_hours_go_says_what_all_hits_at_once_say(shop: Shop) -> None:
    streamed = shop.cells("live-1")
    assert streamed == expected(shop.blocks, shop.world.settings("live-1", shards=2))
    assert sum(b"#visitors#" in key for key, _, _ in streamed) > 200
    told = decode(BY_NAME["visitors"], shop.world.rows.read([(b"0", b"~")]).filter(
        pl.col("row_key").cast(pl.String).str.contains("#visitors#")
    ))  # fmt: skip
    sessions = told.numbers.group_by("new_vs_returning").agg(pl.col("sessions").sum())
    counts = dict(sessions.rows())
    assert counts["new"] <= 24 < counts["returning"]


def test_a_replay_of_all_days_equals_the_stream(shop: Shop) -> None:
    shop.replay("gen-1", MIDNIGHT_US, MIDNIGHT_US + DAYS * DAY_US, hits_a_pass=300)
    assert shop.cells("gen-1") == shop.cells("live-1")


def test_a_replay_of_some_hours_takes_older_touches_as_they_are_served(shop: Shop) -> None:
    """None of the hours before its own are read, nor in its lineage."""
    hours = shop.replay("gen-2", MIDNIGHT_US + 3 * DAY_US, MIDNIGHT_US + 4 * DAY_US)
    assert hours == Span(MIDNIGHT_US + 3 * DAY_US - 2 * L, MIDNIGHT_US + 4 * DAY_US + 2 * L)
    assert shop.cells("gen-2") == shop.cells("live-1", hours)
    assert sum(b"#first_user#" in key for key, _, _ in shop.cells("gen-2")) > 50


def test_a_live_lineage_that_begins_later_takes_older_touches_as_they_are_served(
    shop: Shop,
) -> None:
    since = MIDNIGHT_US + 2 * DAY_US + HOUR_US
    blocks = [block for block in shop.blocks if block.published_at >= since - 4 * HOUR_US]
    shop.stream("live-2", blocks, reads_whole_from=since)
    later = Span(first_whole_hour(since), MIDNIGHT_US + (DAYS + 1) * DAY_US)
    assert shop.cells("live-2") == shop.cells("live-1", later) != {}


def test_only_touches_of_the_lineage_that_serves_their_hour_count(shop: Shop) -> None:
    """As if nobody had come in the hours that a lineage without touches serves."""
    hidden = Span(MIDNIGHT_US + DAY_US, MIDNIGHT_US + 2 * DAY_US)
    store = shop.publisher.pointers
    held = store.held()
    pointers = held.document.pointers.publish(hidden.start_us, hidden.end_us, "gen-9")
    assert store.replace(held, replaced(held.document, pointers=pointers))

    hours = shop.replay("gen-3", MIDNIGHT_US + 4 * DAY_US, MIDNIGHT_US + 5 * DAY_US)
    restored = pointers.restore(held.document.pointers)
    assert store.replace(store.held(), replaced(held.document, pointers=restored))

    cells = cells_at_once(without_sessions(hits_of(shop), hidden)).items()
    named = {without_lineage(name, "live-1"): value for name, value in cells}
    assert shop.cells("gen-3") == {
        name: value for name, value in named.items() if name and hour_of(name) in hours
    }
    assert shop.cells("gen-3") != shop.cells("live-1", hours)


def late_hit(measurement_id: str, client: str) -> Block:
    """A session of a client at the beginning of all, which a server tells of two days later."""
    document = {
        "client_id": client,
        "timestamp_micros": MIDNIGHT_US + MINUTE_US,
        "events": [{"name": "page_view", "params": {"session_id": "1"}}],
    }
    request = page_view(measurement_id, "", 2 * DAY_US + 90 * MINUTE_US, 10**6) | {
        "path": "/mp/collect",
        "query": f"measurement_id={measurement_id}&api_secret=*",
        "secret_verdict": "valid",
        "body": json.dumps(document),
    }
    return Block(
        spool_id="server",
        number=1,
        kind="requests",
        frontier=request["received_at"] + 1,
        requests=1,
        payload=encode_requests(pl.DataFrame([request], schema=REQUEST_SCHEMA)),
        published_at=request["received_at"] + 1,
    )


def test_what_depends_on_a_touch_that_came_late_is_announced_and_mended(tmp_path: Path) -> None:
    world = World(tmp_path)
    owner = world.property(time_zone="Europe/Zurich")
    blocks, late = visits_over_days([owner], days=3, clients=4), late_hit(owner, "2.1")
    settings = world.settings("live-1", shards=1, flush_seconds=0.0, snapshot_seconds=1e-6)
    places = Places(
        archive_url=settings.archive_url,
        wide_rows_url=settings.wide_rows_url,
        rules_path=settings.rules_path,
    )
    publisher = places.publisher("test")
    publisher.live_lineage(shards=1)
    stream([blocks[at : at + 5] for at in range(0, len(blocks), 5)], settings)
    world.archive([*blocks, late])
    stale = Announcements(places.wide_rows, STALE)

    def replayed_and_published(first_us: int, end_us: int) -> Lineage:
        lineage = publisher.lineages.draw(state="candidate", targets=((first_us, end_us),))
        received = (MIDNIGHT_US + 2 * DAY_US + HOUR_US,)
        asked = {"start_us": first_us, "end_us": end_us, "late_hours": received}
        replay(world.replay_request(lineage.name, is_sealing=True, **asked))
        publisher.publish(lineage.name)
        answer_announcements(places, lineage, lineage.targets)
        return lineage

    first, end = MIDNIGHT_US + L, MIDNIGHT_US + 3 * DAY_US + L
    replayed_and_published(MIDNIGHT_US, first)
    right = expected([*blocks, late], settings)
    wrong = {
        hour_of(name) for name, value in world.cells("live-1").items()
        if hour_of(name) >= first and right.get(name) != value
    }  # fmt: skip
    told = {hour // L for _, hour in stale.outstanding(MIDNIGHT_US - L, end + 4 * L)}
    assert len(wrong) >= 3
    assert {hour // L for hour in wrong} <= told

    lineage = replayed_and_published(first, end)
    mended = world.cells(lineage.name)
    assert mended == {name: value for name, value in right.items() if hour_of(name) >= first}
    assert stale.outstanding(first, end) == {}
