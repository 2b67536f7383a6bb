import polars as pl
import pytest

from stores.announcements import Announcements
from stores.wide_rows.port import CELL_SCHEMA
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.row_keys import announcement_key
from tallymark.slots import HOUR_US

HOUR = 1_767_225_600_000_000  # 2026-01-01T00
END = HOUR + 24 * HOUR_US


@pytest.fixture
def wide_rows(tmp_path):
    rows = SqliteWideRows(tmp_path / "rows.sqlite")
    yield rows
    rows.close()


@pytest.fixture
def announcements(wide_rows):
    return Announcements(wide_rows)


def announce(wide_rows, hour, owner, *blocks):
    cells = [(announcement_key(hour, owner), "c", block, 1, b"") for block in blocks]
    wide_rows.write(pl.DataFrame(cells, schema=CELL_SCHEMA, orient="row"))


def test_what_is_announced_is_outstanding_until_it_is_answered(wide_rows, announcements):
    announce(wide_rows, HOUR, 7, b"spool-1", b"spool-2")
    announce(wide_rows, HOUR + HOUR_US, 8, b"spool-1")
    assert announcements.outstanding(HOUR, END) == {
        (7, HOUR): {b"spool-1", b"spool-2"},
        (8, HOUR + HOUR_US): {b"spool-1"},
    }
    assert announcements.answer(HOUR, END, [b"spool-1"], version=1) == 2
    assert announcements.outstanding(HOUR, END) == {(7, HOUR): {b"spool-2"}}


def test_a_block_that_comes_later_raises_its_hour_again(wide_rows, announcements):
    announce(wide_rows, HOUR, 7, b"spool-1")
    announcements.answer(HOUR, END, [b"spool-1", b"unrelated"], version=1)
    announce(wide_rows, HOUR, 7, b"spool-1", b"spool-9")
    assert announcements.outstanding(HOUR, END) == {(7, HOUR): {b"spool-9"}}
    assert announcements.answer(HOUR, END, [b"spool-9"], version=2) == 1
    assert announcements.outstanding(HOUR, END) == {}
    assert announcements.answer(HOUR, END, [b"spool-9", b"spool-1"], version=3) == 0


def test_only_the_hours_and_the_property_that_were_computed_are_answered(wide_rows, announcements):
    for owner in (7, 8):
        for hour in (HOUR, HOUR + HOUR_US):
            announce(wide_rows, hour, owner, b"spool-1")
    announcements.answer(HOUR, HOUR + HOUR_US, [b"spool-1"], version=1, property_id=7)
    assert set(announcements.outstanding(HOUR, END)) == {
        (8, HOUR),
        (7, HOUR + HOUR_US),
        (8, HOUR + HOUR_US),
    }
    assert set(announcements.outstanding(HOUR + HOUR_US, END)) == {
        (7, HOUR + HOUR_US),
        (8, HOUR + HOUR_US),
    }
