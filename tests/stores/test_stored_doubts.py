"""Doubts in the wide rows: they outlive their worker, and are settled once by whoever knows."""

from collections.abc import Callable

import polars as pl
import pytest

from stores import doubts as module
from stores.announcements import RULES, Announcements, outstanding_hours
from stores.doubts import Doubts
from stores.wide_rows.port import WideRows
from tallymark.doubts import DOUBT_SCHEMA
from tallymark.properties import DataStream, Property, RulesVersion, properties_frame
from tallymark.slots import HOUR_US, MINUTE_US
from tests.beam_pipelines.worlds import FailingWideRows
from tests.strategies import MIDNIGHT_US

SHOP, OTHER = "G-SHOPSHOP01", "G-SHOPSHOP02"
LATER = MIDNIGHT_US + 20 * HOUR_US
CHANGED_AT = MIDNIGHT_US + 10 * MINUTE_US


def properties_of(measurement_ids: list[str]) -> pl.DataFrame:
    """Both changed their rules ten minutes after midnight."""
    changed = (RulesVersion(version=1), RulesVersion(version=2, effective_at=CHANGED_AT))
    return properties_frame(
        Property(property_id=owner, name="", data_streams=(DataStream(measurement_id=one),),
                 versions=changed)
        for owner, one in ((7, SHOP), (8, OTHER)) if one in measurement_ids
    )  # fmt: skip


def doubt(measurement_id: str = SHOP, *, minute: int = 11, known: int = 1, hour: int = 0,
          block: str = "block-1") -> pl.DataFrame:  # fmt: skip
    row = (measurement_id, known, MIDNIGHT_US + hour * HOUR_US, MIDNIGHT_US, block,
           MIDNIGHT_US + minute * MINUTE_US)  # fmt: skip
    return pl.DataFrame([row], schema=DOUBT_SCHEMA, orient="row")


def announced(wide_rows: WideRows) -> dict[tuple[int, int], set[bytes]]:
    """By property and hour from midnight."""
    told = Announcements(wide_rows, RULES)
    around = (MIDNIGHT_US - 24 * HOUR_US, MIDNIGHT_US + 24 * HOUR_US)
    return {
        (owner, (hour - MIDNIGHT_US) // HOUR_US): blocks
        for (owner, hour), blocks in told.outstanding(*around).items()
    }


def test_a_doubt_is_settled_by_another_process_and_only_once_its_time_is_known(
    wide_rows: WideRows,
) -> None:
    dying = Doubts(wide_rows)
    dying.note(pl.concat([doubt(), doubt(hour=-3), doubt(OTHER, known=2)]))
    other = Doubts(wide_rows)
    assert other.settle(MIDNIGHT_US + 11 * MINUTE_US - 1, properties_of) == 0
    assert other.held().height == 3
    assert announced(wide_rows) == {}
    assert other.settle(MIDNIGHT_US + 11 * MINUTE_US, properties_of) == 2
    assert announced(wide_rows) == {(7, 0): {b"block-1"}, (7, -3): {b"block-1"}}
    assert outstanding_hours(wide_rows, MIDNIGHT_US, MIDNIGHT_US + HOUR_US) == {(7, MIDNIGHT_US)}
    assert other.held().is_empty()
    assert other.settle(LATER, properties_of) == 0


def test_a_settled_doubt_that_goes_on_is_a_doubt_again(wide_rows: WideRows) -> None:
    here, there = Doubts(wide_rows), Doubts(wide_rows)
    here.note(doubt(minute=9))
    assert there.settle(MIDNIGHT_US + 9 * MINUTE_US, properties_of) == 0
    here.note(doubt(minute=9))  # of the same minute: what was decided holds for it
    assert there.held().is_empty()
    here.note(doubt(minute=11))
    assert there.held().equals(doubt(minute=11))
    assert there.settle(MIDNIGHT_US + 11 * MINUTE_US, properties_of) == 1


def test_a_doubt_is_written_once_a_minute_however_often_it_is_had(wide_rows: WideRows) -> None:
    counting = Counting(wide_rows)
    doubts = Doubts(counting)  # type: ignore[arg-type]
    for minute in (3, 3, 3, 4, 4, 3):
        doubts.note(doubt(minute=minute))
    doubts.note(DOUBT_SCHEMA.to_frame())
    assert counting.writes == 2


class Counting:
    """Wide rows that count what is written."""

    def __init__(self, rows: WideRows) -> None:
        self._rows = rows
        self.writes = 0

    def write(self, cells: pl.DataFrame) -> None:
        self.writes += 1
        self._rows.write(cells)


def test_doubts_had_while_the_store_is_away_are_written_when_it_is_back(
    wide_rows: WideRows,
) -> None:
    failing = FailingWideRows(wide_rows, is_away=True)
    doubts = Doubts(failing)  # type: ignore[arg-type]
    doubts.note(doubt(minute=5))
    doubts.note(doubt(minute=11))
    failing.is_away = False
    doubts.note(DOUBT_SCHEMA.to_frame())
    assert Doubts(wide_rows).held().equals(doubt(minute=11))


def test_made_up_ids_fill_nothing_up_and_keep_no_property_out(
    wide_rows: WideRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_UNASKED", 3)
    doubts = Doubts(wide_rows)
    for number in range(6):
        doubts.note(doubt(f"G-MADEUP000{number}", known=0))
    doubts.note(doubt(OTHER))
    held = doubts.held()
    assert held.filter(known_version=0).height == 3
    assert held.filter(measurement_id=OTHER).height == 1
    assert doubts.settle(LATER, properties_of) == 1
    assert announced(wide_rows) == {(8, 0): {b"block-1"}}
    doubts.note(doubt(SHOP, known=0))
    assert doubts.settle(LATER, properties_of) == 1


def test_what_was_settled_two_days_ago_is_gone(wide_rows: WideRows) -> None:
    doubts = Doubts(wide_rows)
    doubts.note(doubt())
    rows: Callable[[], int] = lambda: wide_rows.read([(b"~doubts#", b"~doubts$")]).height  # noqa: E731
    doubts.settle(MIDNIGHT_US + 47 * HOUR_US, properties_of)
    assert rows() == 1
    doubts.settle(MIDNIGHT_US + 50 * HOUR_US, properties_of)
    assert rows() == 0
