"""Touches between counting and cells: what a lineage owes its clients' rows."""

import polars as pl
import pytest

from stores.archive.counted_touches import CountedTouches
from stores.archive.counts import Counts
from stores.archive.damage import ArchiveDamageError
from stores.archive.folder import FolderObjects
from tallymark.replays import Span
from tallymark.slots import HOUR_US
from tallymark.touches import TOUCH_SCHEMA

DAY = Span(0, 24 * HOUR_US)
LOW, HIGH = 5, 2**64 - 5
"""Clients in the first and in the last of any number of sets."""


@pytest.fixture
def counted(tmp_path):
    return CountedTouches(FolderObjects(tmp_path), "gen-1", DAY)


def touches(*client_hours):
    rows = [(1, client, hour * HOUR_US + 7, "news", "", "", "") for client, hour in client_hours]
    return pl.DataFrame(rows, schema=TOUCH_SCHEMA, orient="row")


def owed(counted, found, hours=(0, 24), number=0, passes=1):
    span = Span(hours[0] * HOUR_US, hours[1] * HOUR_US)
    frame = counted.owed(found, span, number, passes)
    return [(client, hour // HOUR_US) for _, client, hour in frame.iter_rows()]


def test_touches_are_read_as_they_were_written_until_they_are_cleared(counted, tmp_path):
    counted.write(0, 3, touches((LOW, 1)))
    assert counted.read(0, 3).equals(touches((LOW, 1)))
    Counts(FolderObjects(tmp_path), "gen-1", DAY).clear()
    with pytest.raises(ArchiveDamageError, match="Count again"):
        counted.read(0, 3)


def test_an_hour_that_lost_its_touches_stays_owed(counted):
    assert owed(counted, touches((LOW, 1), (LOW, 2), (HIGH, 1))) == [
        (LOW, 1), (LOW, 2), (HIGH, 1),
    ]  # fmt: skip
    assert owed(counted, touches((LOW, 2))) == [(LOW, 1), (LOW, 2), (HIGH, 1)]
    assert owed(counted, touches()) == [(LOW, 1), (LOW, 2), (HIGH, 1)]


@pytest.mark.parametrize(
    ("hours", "number", "passes", "expected"),
    [
        ((0, 24), 0, 2, [(LOW, 1), (LOW, 9)]),
        ((0, 24), 3, 4, [(HIGH, 9)]),
        ((0, 24), 1, 4, []),
        ((4, 12), 0, 1, [(LOW, 9), (HIGH, 9)]),
        ((0, 4), 3, 4, []),
        ((10, 24), 0, 1, []),
    ],
)
def test_other_sets_of_clients_and_groups_of_hours_share_what_was_noted(
    counted, hours, number, passes, expected
):
    owed(counted, touches((LOW, 1), (LOW, 9), (HIGH, 9)))
    assert owed(counted, touches(), hours, number, passes) == expected


def test_a_lineage_owes_nothing_of_another(counted, tmp_path):
    owed(counted, touches((LOW, 1)))
    other = CountedTouches(FolderObjects(tmp_path), "gen-10", DAY)
    assert owed(other, touches()) == []
