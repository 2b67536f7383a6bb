"""Receipts: frontiers that an answer holds for certain, and how exact its users are."""

from dataclasses import dataclass, field
from pathlib import Path

import orjson
import polars as pl
import pytest

from report_api.receipts import WRITTEN_AFTER_US, Receipts, standard_error
from stores.lineages import LineageRegister
from stores.wide_rows.port import CELL_SCHEMA
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.pointer_map import PointerMap
from tallymark.properties import DataStream, Property, RulesVersion
from tallymark.reports import parse_request, plan
from tallymark.reports.serving import Freshness, Pointers
from tallymark.row_keys import control_key
from tallymark.slots import DAY_US, HOUR_US
from tests.tallymark.report_cells import NOON_US, PROPERTY_ID, asks, decoded_of

SPANS = ((NOON_US - DAY_US, NOON_US + HOUR_US),)
OWNER = Property(
    property_id=PROPERTY_ID,
    name="Shop",
    data_streams=(DataStream(measurement_id="G-SHOP"),),
    versions=(
        RulesVersion(version=1),
        RulesVersion(version=2, effective_at=NOON_US - 2 * DAY_US),
        RulesVersion(version=3, effective_at=NOON_US - HOUR_US),
        RulesVersion(version=4, effective_at=NOON_US + HOUR_US),
    ),
)


@dataclass
class World:
    """A stream of one shard, and the time."""

    folder: Path
    now_us: int = NOON_US
    rows: SqliteWideRows = field(init=False)

    def __post_init__(self) -> None:
        self.rows = SqliteWideRows(self.folder / "rows.sqlite")
        LineageRegister(self.rows, lambda: 1).draw("live", state="published", shards=1)
        self.receipts = Receipts(self.rows, lambda: self.now_us)
        serving = PointerMap.serving("gen-0").publish(NOON_US - 2 * HOUR_US, 2**62, "live-1")
        self.pointers = Pointers.of(serving, PointerMap())

    def flush(self, number: int, clock: int) -> None:
        document = {"epoch": 1, "flush": number, "vector": {"clock": clock}}
        cell = (control_key("live-1", 0), "c", b"control", number, orjson.dumps(document))
        self.rows.write(pl.DataFrame([cell], schema=CELL_SCHEMA, orient="row"))

    def frontier(self) -> int | None:
        return self.receipts.opened(OWNER, SPANS, self.pointers).frontier_us


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_frontier_is_that_of_a_flush_whose_cells_are_written(world: World) -> None:
    assert world.frontier() is None
    for number, expected in ((1, None), (2, 100), (3, 200)):
        world.flush(number, number * 100)
        assert world.frontier() == expected
    world.now_us += WRITTEN_AFTER_US + 1
    assert world.frontier() == 300


def test_hours_that_a_stream_serves_are_open(world: World) -> None:
    assert world.receipts.opened(OWNER, SPANS, world.pointers).open_hours == 3
    earlier = ((NOON_US - DAY_US, NOON_US - 3 * HOUR_US),)
    opened = world.receipts.opened(OWNER, earlier, world.pointers)
    assert (opened.open_hours, opened.frontier_us) == (0, None)


def test_versions_of_rules_are_those_in_force_in_the_range(world: World) -> None:
    bare = Freshness(newest_slot_us=None, lineages=("live-1",), pointer_map=1, overrides=0)
    opened = world.receipts.opened(OWNER, SPANS, world.pointers)
    assert world.receipts.completed(bare, opened, OWNER, SPANS).rules_versions == (2, 3)


@pytest.mark.parametrize(
    ("clients", "asked", "error"),
    [(1_023, "totalUsers", 0.0), (1_024, "totalUsers", 0.0313), (1_024, "eventCount", 0.0)],
)
def test_users_are_exact_below_what_a_set_keeps(clients: int, asked: str, error: float) -> None:
    request = asks("eventName", asked, dateRanges=[{"startDate": "today", "endDate": "today"}])
    parsed = parse_request(request, now_us=NOON_US, time_zone="UTC", currency="EUR")
    decoded = decoded_of("events", [{"event_name": "a", "users": set(range(clients))}])
    assert standard_error(decoded, plan(parsed, PROPERTY_ID)) == pytest.approx(error, abs=1e-4)
