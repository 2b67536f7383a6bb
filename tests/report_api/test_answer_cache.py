"""Answers that were kept: whatever was written, turned or compacted, they are those of now."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from report_api.answer_cache import AnswerCache
from report_api.reader import ReportReader
from stores.wide_rows.port import CELL_SCHEMA
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.pointer_map import PointerMap, override_key
from tallymark.report_names import STANDARD
from tallymark.reports import RUN_PIVOT_REPORT, RUN_REALTIME_REPORT
from tallymark.reports.serving import Freshness
from tallymark.slots import DAY_US, HOUR_US
from tests.report_api.test_day_cells import (
    FIRST_US,
    LINEAGES,
    REQUESTS,
    ROWS,
    SPANS,
    TWO_RANGES,
    Scene,
    write,
)
from tests.strategies import examples
from tests.tallymark.recorded import version
from tests.tallymark.report_cells import PROPERTY_ID, asks

PIVOTS = {
    **REQUESTS[2],
    "pivots": [{"fieldNames": ["pagePath"], "limit": 5}],
}
PIVOTS.pop("metricAggregations")
FRESH = Freshness(newest_slot_us=None, lineages=(), pointer_map=1, overrides=0)
STEPS = st.one_of(
    st.tuples(
        st.just("write"),
        st.sampled_from(("totals", "pages")),
        ROWS,
        st.sampled_from(LINEAGES),
        st.integers(1, 3),  # older ones are dropped, equal ones rewrite
    ),
    st.tuples(st.just("publish"), SPANS),
    st.tuples(st.just("compact")),
    st.tuples(st.just("forget hours")),
    st.tuples(st.just("later"), st.sampled_from((HOUR_US, DAY_US))),
    st.tuples(st.just("rules"), st.sampled_from(("UTC", "Asia/Kolkata"))),
)


class CachedScene(Scene):
    """A scene that is read with and without a cache."""

    def __init__(self, store: SqliteWideRows) -> None:
        super().__init__(store)
        self.later_us = 0
        self.cache = AnswerCache(1 << 20, seed=7)
        self.reader = ReportReader(store, self.now_us)
        self.cached = ReportReader(store, self.now_us, answers=self.cache)
        self.served = PointerMap.serving("live-1")
        self.overrides = PointerMap()
        self.serve(self.served)

    def now_us(self) -> int:  # type: ignore[override]
        return Scene.now_us() + self.later_us

    def do(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("write", rollup, rows, lineage, number):
                write(self.store, rollup, rows, lineage, number)
            case ("publish", (first, hours, lineage, is_override)):
                start_us = FIRST_US + first * HOUR_US
                span = (start_us, start_us + hours * HOUR_US)
                if is_override:
                    over = self.served.version
                    self.overrides = self.overrides.publish(*span, lineage, over=over)
                    self.serve(self.overrides, override_key(PROPERTY_ID))
                else:
                    self.served = self.served.publish(*span, lineage)
                    self.serve(self.served)
            case ("compact",):
                self.compactor.compact(self.owner)
            case ("forget hours",):
                self.forget_hours()
            case ("later", much):
                self.later_us += much
            case ("rules", time_zone):
                versions = self.owner.versions
                newest = version(len(versions) + 1, self.now_us(), time_zone=time_zone)
                self.owner = replace(self.owner, versions=(*versions, newest))

    def check(self) -> None:
        for request, method in (
            *((each, None) for each in REQUESTS),
            (PIVOTS, RUN_PIVOT_REPORT),
            ({"metrics": [{"name": "activeUsers"}]}, RUN_REALTIME_REPORT),
        ):
            arguments = (
                (self.owner, request) if method is None else (self.owner, request, None, method)
            )
            anew, kept = self.reader.report(*arguments), self.cached.report(*arguments)
            assert kept.document == anew.document
            assert kept.freshness == anew.freshness


@given(st.lists(STEPS, min_size=1, max_size=8))
@examples(24)
def test_an_answer_that_was_kept_is_the_one_that_is_computed(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteWideRows(Path(folder) / "rows.sqlite")
        scene = CachedScene(store)
        for step in steps:
            scene.do(step)
            scene.check()
        scene.check()
        assert scene.cache.hits >= len(REQUESTS)
        event(f"hits {scene.cache.hits // 10 * 10}+")
        store.close()


def shown(path: str, quarter: int, views: int) -> dict[str, Any]:
    return {"quarter": quarter, "host": "h", "path": path, "views": views, "events": 1}


HELD = [shown("/a", 0, 3), shown("/a", 95, 4), shown("/b", 200, 5), shown("/b", 270, 6)]
"""Rows of several days, one of them in the hours that another zone has in the day after."""


@pytest.mark.parametrize(
    "step",
    [
        ("write", "pages", [shown("/a", 0, 7)], "live-1", 1),
        ("write", "pages", [shown("/a", 0, 7)], "live-1", 2),
        ("publish", (0, 60, "gen-0", False)),
        ("publish", (0, 60, "gen-0", True)),
        ("later", DAY_US),
        ("rules", "Asia/Kolkata"),
    ],
    ids=lambda step: " ".join(map(str, (step[0], *step[-1:]))),
)
def test_what_changes_an_answer_changes_one_that_was_kept(
    tmp_path: Path, step: tuple[Any, ...]
) -> None:
    scene = CachedScene(SqliteWideRows(tmp_path / "rows.sqlite"))
    write(scene.store, "pages", HELD, "live-1")
    write(scene.store, "pages", [row | {"views": 8} for row in HELD], "gen-0")
    asked = asks("date pagePath", "screenPageViews", **TWO_RANGES)
    for _ in range(2):
        before = scene.cached.report(scene.owner, asked)
    assert scene.cache.hits == 1
    scene.do(step)
    after = scene.cached.report(scene.owner, asked)
    assert after.document != before.document
    assert after.document == scene.reader.report(scene.owner, asked).document
    scene.store.close()


def frame(*cells: tuple[bytes, str, bytes, int, bytes]) -> pl.DataFrame:
    return pl.DataFrame(cells, schema=CELL_SCHEMA, orient="row")


CELL = (b"r", "n", b"q", 1, b"v")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((["a"], [frame(CELL)]), (["b"], [frame(CELL)])),
        (([], [frame(CELL)]), ([], [frame((b"s", *CELL[1:]))])),
        (([], [frame(CELL)]), ([], [frame((b"r", "u", *CELL[2:]))])),
        (([], [frame(CELL)]), ([], [frame((*CELL[:2], b"p", 1, b"v"))])),
        (([], [frame(CELL)]), ([], [frame((*CELL[:3], 2, b"v"))])),
        (([], [frame(CELL)]), ([], [frame((*CELL[:4], b"w"))])),
        (([], [frame(CELL)]), ([], [frame((b"rq", "n", b"", 1, b"v"))])),
        (([], [frame(CELL)]), ([], [frame(CELL), frame()])),
        (([], [frame(CELL), frame()]), ([], [frame(), frame(CELL)])),
        (([], [frame(CELL, CELL)]), ([], [frame(CELL), frame(CELL)])),
    ],
)
def test_whatever_differs_has_another_key(one: Any, other: Any) -> None:
    cache = AnswerCache(1, seed=1)
    assert cache.key(*one) != cache.key(*other)
    assert cache.key(*one) == cache.key(*one)
    assert cache.key(*one) != AnswerCache(1, seed=2).key(*one)


def test_answers_together_take_no_more_than_they_may() -> None:
    cache = AnswerCache(20_000, seed=1)
    for number in range(100):
        cache.put(b"%d" % number, {"rows": ["x" * 500]}, FRESH)
        assert cache.size_bytes <= 20_000
        cache.get(b"0")
    kept = [number for number in range(100) if cache.get(b"%d" % number)]
    assert 0 in kept, "what is used stays"
    assert kept[1:] == list(range(100 - len(kept) + 1, 100)), "the newest stay"
    assert orjson.loads(cache.get(b"99").body) == {"rows": ["x" * 500]}
    cache.put(b"large", {"rows": ["x" * 3_000]}, FRESH)
    assert cache.get(b"large") is None
    off = AnswerCache(0, seed=1)
    off.put(b"0", {}, FRESH)
    assert off.get(b"0") is None


def test_no_dimension_of_reports_that_are_kept_changes_with_the_minute() -> None:
    assert "minutesAgo" not in STANDARD.dimensions
