"""Reports through day cells say what those through the cells of hours say."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from report_api.compaction import Compaction
from report_api.compactor import DayCompactor
from report_api.reader import Answer, ReportReader
from stores.rules_cache.file import FileRulesCache
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark import pointer_map
from tallymark.cells import SLOT_COLUMNS, encode
from tallymark.day_cells import DAY_ROLLUPS
from tallymark.pointer_map import PointerMap
from tallymark.properties import DataStream, Property
from tallymark.rollups import BY_NAME
from tallymark.row_keys import POINTER_MAP_KEY, rollup_prefix
from tallymark.slots import DAY_US, HOUR_US
from tests.property_files import create_property
from tests.strategies import examples
from tests.tallymark.recorded import version
from tests.tallymark.report_cells import NOON_US, PROPERTY_ID, Row, asks, rows_of

FIRST_US = NOON_US - 3 * DAY_US
LINEAGES = ("gen-0", "gen-1", "live-1")
ZONES = (
    "UTC",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Pacific/Auckland",
    "Pacific/Apia",
)
ALL_DAYS = {"dateRanges": [{"startDate": "4daysAgo", "endDate": "today"}]}
TOTAL = {"metricAggregations": ["TOTAL"]}
TWO_RANGES = {
    "dateRanges": [
        {"startDate": "3daysAgo", "endDate": "yesterday"},
        {"startDate": "2daysAgo", "endDate": "today"},
    ]
}
PAGE = {"filter": {"fieldName": "pagePath", "stringFilter": {"value": "/a"}}}
REQUESTS: list[dict[str, Any]] = [
    asks("date", "sessions totalUsers", **ALL_DAYS),
    asks("dateHour", "eventCount totalUsers", **ALL_DAYS),
    asks("pagePath", "screenPageViews totalUsers", **ALL_DAYS, **TOTAL),
    asks("pagePath", "screenPageViews totalUsers", **TWO_RANGES, **TOTAL),
    asks("date", "screenPageViews", **ALL_DAYS, dimensionFilter=PAGE),
    asks("dayOfWeek", "eventCount activeUsers", **TWO_RANGES),
]

MEMBERS = st.sets(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=5)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "quarter": st.integers(0, 4 * 24 * 4),
            "path": st.sampled_from(("/a", "/b", "", "(other)")),
            "views": st.integers(0, 9),
            "events": st.integers(0, 9),
            "sessions": st.integers(0, 9),
            "users": MEMBERS,
        }
    ),
    max_size=12,
)
SPANS = st.tuples(
    st.integers(-2, 100), st.integers(1, 60), st.sampled_from(LINEAGES), st.booleans()
)


def write(
    store: SqliteWideRows, rollup_name: str, rows: list[Row], lineage: str, version: int = 1
) -> None:
    """Rows as cells of slots of 15 minutes, of which row and key are distinct."""
    rollup = BY_NAME[rollup_name]
    keys = ("quarter", *rollup.keys)
    once = list({tuple(row.get(key, "") for key in keys): row for row in rows}.values())
    frame = rows_of(rollup, once).with_columns(
        slot_start=pl.Series(
            values=[FIRST_US + row["quarter"] * HOUR_US // 4 for row in once], dtype=pl.Int64
        ),
        slot_minutes=pl.lit(15, pl.Int32),
    )
    touched = frame.select(SLOT_COLUMNS).unique()
    store.write(encode(rollup, frame, touched, lineage=lineage, version=version))


class Scene:
    """A store, a property, and reports of it."""

    def __init__(self, store: SqliteWideRows, time_zone: str = "UTC") -> None:
        self.store = store
        versions = (version(time_zone=time_zone),)
        self.owner = Property(
            property_id=PROPERTY_ID, name="Shop", versions=versions,
            data_streams=(DataStream(measurement_id="G-A"),),
        )  # fmt: skip
        self.reader = ReportReader(store, self.now_us)
        self.compactor = DayCompactor(store, self.reader.pointers, self.now_us)
        self.written: dict[bytes, PointerMap] = {}

    @staticmethod
    def now_us() -> int:
        return NOON_US + 6 * HOUR_US

    def serve(self, served: PointerMap, key: bytes = POINTER_MAP_KEY) -> None:
        """Put a pointer map, or overrides."""
        held = self.written.get(key)
        assert self.store.compare_and_set(
            key,
            pointer_map.QUALIFIER,
            expected=held.encode() if held else None,
            value=served.encode(),
            version=served.version,
        )
        self.written[key] = served

    def report(self, request: dict[str, Any]) -> Answer:
        return self.reader.report(self.owner, request)

    def all_reports(self) -> list[Any]:
        answers = [self.report(request) for request in REQUESTS]
        return [(found.document, found.freshness.lineages) for found in answers]

    def forget_hours(self) -> None:
        """Remove what day cells were made of."""
        for name in DAY_ROLLUPS:
            prefix = rollup_prefix(PROPERTY_ID, name).encode()
            self.store.delete([(prefix, prefix + b"\x7f")])

    def made(self) -> int:
        return self.compactor.compact(self.owner).made


@contextmanager
def scene(time_zone: str = "UTC") -> Iterator[Scene]:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteWideRows(Path(folder) / "wide_rows.sqlite")
        yield Scene(store, time_zone)
        store.close()


def serving(*spans: tuple[int, int, str]) -> PointerMap:
    """The map after these were published, in hours from ``FIRST_US``."""
    served = PointerMap()
    for start, end, lineage in spans:
        served = served.publish(FIRST_US + start * HOUR_US, FIRST_US + end * HOUR_US, lineage)
    return served


def views(quarter: int, path: str = "/a", **measures: Any) -> Row:
    return {"quarter": quarter, "host": "h", "path": path, "views": 1, "events": 1, **measures}


PAGES = asks("pagePath", "screenPageViews totalUsers", **ALL_DAYS)


@examples(25)
@given(
    rows=st.lists(ROWS, min_size=3, max_size=3),
    spans=st.lists(SPANS, max_size=5),
    zone=st.sampled_from(ZONES),
    lost=st.integers(0, 3),
)
def test_a_report_through_days_is_one_through_hours(
    rows: list[list[Row]], spans: list[tuple[int, int, str, bool]], zone: str, lost: int
) -> None:
    with scene(zone) as shop:
        served, overrides = serving((-48, 160, "gen-0")), PointerMap()
        for start, length, lineage, is_override in spans:
            span = FIRST_US + start * HOUR_US, FIRST_US + (start + length) * HOUR_US
            if is_override:
                overrides = overrides.publish(*span, lineage, over=served.version)
            else:
                served = served.publish(*span, lineage)
        shop.serve(served)
        if overrides.version:
            shop.serve(overrides, pointer_map.override_key(PROPERTY_ID))
        for lineage, held in zip(LINEAGES, rows, strict=True):
            for rollup in ("totals", "pages", "events"):
                write(shop.store, rollup, held, lineage)
        by_hours = shop.all_reports()
        made = shop.made()
        assert shop.all_reports() == by_hours
        assert shop.made() == 0
        prefix = rollup_prefix(PROPERTY_ID, DAY_ROLLUPS["pages"].name).encode()
        days = shop.store.read([(prefix, prefix + b"\x7f")]).get_column("row_key").unique().sort()
        assert made == len(days)
        shop.store.delete([(key, key + b"$") for key in days.head(lost)])
        assert shop.all_reports() == by_hours


def test_what_is_made_is_read_in_place_of_hours() -> None:
    with scene() as shop:
        shop.serve(serving((-48, 160, "gen-0")))
        rows = [views(0, users={1, 2}), views(9, users={2, 3}), views(200, users={4})]
        write(shop.store, "totals", rows, "gen-0")
        write(shop.store, "pages", rows, "gen-0")
        by_hours = shop.report(PAGES).document
        assert shop.made() == 2
        shop.forget_hours()
        assert shop.report(PAGES).document == by_hours
        assert by_hours["rows"][0]["metricValues"] == [{"value": "3"}, {"value": "4"}]


def test_large_days_are_whole_days() -> None:
    with scene() as shop:
        shop.serve(serving((-48, 160, "gen-0")))
        rows = [views(n % 9, f"/{n:0200d}", users={n, n + 1}) for n in range(600)]
        write(shop.store, "totals", rows, "gen-0")
        write(shop.store, "pages", rows, "gen-0")
        by_hours = shop.report(PAGES).document
        assert shop.made() == 1
        shop.forget_hours()
        assert shop.report(PAGES).document == by_hours


def test_days_of_a_stream_are_left_in_hours() -> None:
    with scene() as shop:
        shop.serve(serving((-48, 160, "live-1")))
        write(shop.store, "totals", [views(0)], "live-1")
        assert shop.made() == 0


def test_a_day_that_was_published_anew_in_part_is_read_from_hours() -> None:
    with scene() as shop:
        served = serving((-48, 160, "gen-0"))
        shop.serve(served)
        for name in ("totals", "pages"):
            write(shop.store, name, [views(0), views(60)], "gen-0")
            write(shop.store, name, [views(0), views(1)], "gen-1")
        assert shop.made() == 2
        replayed = served.publish(FIRST_US, FIRST_US + 4 * HOUR_US, "gen-1")
        shop.serve(replayed)
        assert shop.report(PAGES).document["rows"][0]["metricValues"][0] == {"value": "3"}
        assert shop.compactor.compact(shop.owner).removed == 1
        shop.serve(replayed.restore(served))
        assert shop.report(PAGES).document["rows"][0]["metricValues"][0] == {"value": "2"}


def test_a_lineage_that_was_computed_again_has_new_days() -> None:
    with scene() as shop:
        served = serving((-48, 160, "gen-0"), (-48, 160, "gen-1"))
        shop.serve(served)
        write(shop.store, "totals", [views(0)], "gen-1")
        write(shop.store, "pages", [views(0)], "gen-1")
        assert shop.made() == 1
        without = served.publish(FIRST_US - 2 * DAY_US, FIRST_US + 6 * DAY_US, "gen-0")
        write(shop.store, "totals", [views(0, views=7)], "gen-1", version=2)
        write(shop.store, "pages", [views(0, views=7)], "gen-1", version=2)
        again = without.publish(FIRST_US - 2 * DAY_US, FIRST_US + 6 * DAY_US, "gen-1")
        shop.serve(again)
        for _ in range(2):
            assert shop.report(PAGES).document["rows"][0]["metricValues"][0] == {"value": "7"}
            shop.made()


def test_a_property_of_which_nothing_was_published_is_passed_by(tmp_path: Path) -> None:
    path = tmp_path / "properties.json"
    made = create_property(path, name="Shop", random_bytes=os.urandom).created
    cache = FileRulesCache(path, clock=lambda: NOON_US / 1e6)
    with scene() as shop:
        reading = CountingReads(shop.store)
        compaction = Compaction(reading, cache, shop.now_us)
        shop.serve(serving((-48, 160, "gen-0")))
        assert compaction.run_once() == 0
        whole = reading.ranges
        compaction.run_once()
        assert reading.ranges == whole
        frame = rows_of(BY_NAME["totals"], [views(0)]).with_columns(
            property_id=pl.lit(made.property_id, pl.Int64), slot_start=pl.lit(FIRST_US, pl.Int64)
        )
        touched = frame.select(SLOT_COLUMNS)
        shop.store.write(encode(BY_NAME["totals"], frame, touched, lineage="gen-1", version=1))
        shop.serve(shop.written[POINTER_MAP_KEY].publish(NOON_US - 9 * DAY_US, NOON_US, "gen-1"))
        assert compaction.run_once() == 1


class CountingReads(SqliteWideRows):
    """Counts reads of ranges of a store that is open already."""

    def __init__(self, store: SqliteWideRows) -> None:
        self.__dict__.update(vars(store))
        self.ranges = 0

    def read(
        self,
        ranges: list[tuple[bytes, bytes]],
        families: tuple[str, ...] = (),
        *,
        most_rows: int | None = None,
    ) -> pl.DataFrame:
        self.ranges += 1
        return super().read(ranges, families, most_rows=most_rows)
