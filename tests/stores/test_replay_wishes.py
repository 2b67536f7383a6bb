"""Wishes for replays in wide rows."""

from dataclasses import replace

import pytest

from stores.replay_wishes import ReplayWishes
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.replay_wishes import ReplayWish, decode_wish


@pytest.fixture
def wishes(tmp_path):
    rows = SqliteWideRows(tmp_path / "rows.sqlite")
    yield ReplayWishes(rows)
    rows.close()


def wish(wish_id=5, property_id=1):
    return ReplayWish(wish_id=wish_id, property_id=property_id, start_us=0, end_us=1, asked_at=2)


def test_a_property_sees_its_own_wishes_the_newest_first(wishes):
    for wish_id, property_id in ((5, 1), (10**17, 1), (7, 12), (8, 1)):
        wishes.ask(wish(wish_id, property_id))
    assert [one.wish_id for one in wishes.of_property(1)] == [10**17, 8, 5]
    assert [one.wish_id for one in wishes.of_property(12)] == [7]
    assert [one.wish_id for one in wishes.open()] == [5, 7, 8, 10**17]
    assert wishes.get(12, 5) is None


def test_a_wish_that_is_asked_for_again_stays_as_it_is_by_now(wishes):
    wishes.ask(wish())
    assert wishes.note(wish(), wish().queued("run", is_running=True))
    assert wishes.ask(wish()).state == "running"


def test_of_two_who_note_a_state_one_is_told_that_it_came_late(wishes):
    held = wishes.ask(wish())
    assert wishes.note(held, held.queued("run", is_running=True))
    assert not wishes.note(held, replace(held, state="failed"))
    assert wishes.get(1, 5).state == "running"


ENDS = {
    "a candidate awaits its review": ("candidate", "", "awaiting_review", ""),
    "a candidate tells what was wrong with it": (
        "candidate",
        "far off",
        "awaiting_review",
        "far off",
    ),
    "what is served is published": ("published", "late", "published", ""),
    "no lineage is a failure": ("", "not sealed", "failed", "not sealed"),
    "what was taken back is a failure": ("withdrawn", "", "failed", "gen-3 is withdrawn"),
}


@pytest.mark.parametrize(("lineage", "trouble", "state", "reason"), ENDS.values(), ids=ENDS)
def test_what_has_become_of_a_wish(lineage, trouble, state, reason):
    ended = wish().computed("run", "gen-3" if lineage else "", lineage, trouble)
    assert (ended.state, ended.reason) == (state, reason)
    assert ended.is_open is (state == "awaiting_review")
    assert decode_wish(ended.encode()) == ended


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", wish().encode().replace(b"waiting", b"x")])
def test_what_is_no_wish_is_refused(document):
    with pytest.raises(ValueError, match="expected"):
        decode_wish(document)
