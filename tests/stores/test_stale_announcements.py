"""What a publication announces: hours whose sessions follow from touches that it has changed."""

from pathlib import Path

import polars as pl
import pytest

from stores.announcements import STALE, Announcements
from stores.archive.counted_touches import CountedTouches, pin_versions, pinned_versions
from stores.archive.folder import FolderObjects
from stores.publication import Publisher
from stores.stale_touches import StaleTouches, is_covered
from stores.wide_rows.port import WideRows, WideRowsUnavailableError
from tallymark.pieces import CLIENT
from tallymark.properties import DataStream, Property, RulesVersion
from tallymark.replays import Span
from tallymark.slots import DAY_US, SESSION_ALIGNMENT_US
from tallymark.touch_cells import encode_touches, hour_of
from tallymark.touches import TOUCH_SCHEMA

DAY = 20_000 * DAY_US
FIRST_DAY = Span(DAY, DAY + DAY_US)
LATER = DAY + 2 * DAY_US
L = SESSION_ALIGNMENT_US
OWNERS = tuple(
    Property(
        property_id=owner, name="", data_streams=(DataStream(measurement_id=f"G-{owner}"),),
        versions=(RulesVersion(version=1, effective_at=0),),
    )
    for owner in (1, 2)
)  # fmt: skip


class Scene:
    """A stream that counted a visit on the first day and one on the third, of each property."""

    def __init__(self, wide_rows: WideRows, folder: Path) -> None:
        self.wide_rows = wide_rows
        self.objects = FolderObjects(folder)
        self.stale = StaleTouches(wide_rows, self.objects, OWNERS)
        self.publisher = Publisher(wide_rows, lambda: 1, who="test", follow_up=self.catch_up)
        self.publisher.live_lineage(shards=1)
        self.write("live-1", *((owner, DAY, "news") for owner in (1, 2)))
        self.write("live-1", *((owner, LATER, "") for owner in (1, 2)))

    def catch_up(self) -> int:
        return self.stale.catch_up()

    def write(self, lineage: str, *touches: tuple[int, int, str]) -> None:
        rows = [(owner, 5, start, source, "", "", "") for owner, start, source in touches]
        frame = pl.DataFrame(rows, schema=TOUCH_SCHEMA, orient="row")
        owed = frame.select(*CLIENT, hour_of("start"))
        self.wide_rows.write(encode_touches(frame, owed, lineage=lineage, version=1))

    def candidate(self, *touches: tuple[int, int, str]) -> str:
        span = (FIRST_DAY.start_us, FIRST_DAY.end_us)
        name = self.publisher.lineages.draw(state="candidate", targets=(span,)).name
        rows = [(owner, 5, start, source, "", "", "") for owner, start, source in touches]
        frame = pl.DataFrame(rows, schema=TOUCH_SCHEMA, orient="row")
        CountedTouches(self.objects, name, FIRST_DAY).owed(frame, FIRST_DAY, 0, 1)
        self.write(name, *touches)
        return name

    def told(self) -> dict[int, set[int]]:
        """Days since the first of the stale hours of each property that are announced."""
        found: dict[int, set[int]] = {}
        outstanding = Announcements(self.wide_rows, STALE).outstanding(DAY, DAY + 9 * DAY_US)
        for owner, hour in outstanding:
            found.setdefault(owner, set()).add(hour)
        return found


HOURS = {LATER, LATER + L, LATER + 2 * L}


@pytest.fixture
def scene(wide_rows: WideRows, tmp_path: Path) -> Scene:
    return Scene(wide_rows, tmp_path)


def test_a_publication_that_changes_no_touch_announces_nothing(scene: Scene) -> None:
    scene.publisher.publish(scene.candidate((1, DAY, "news"), (2, DAY, "news")))
    assert scene.told() == {}


def test_a_touch_that_changes_or_goes_makes_what_follows_stale(scene: Scene) -> None:
    scene.publisher.publish(scene.candidate((1, DAY, "search")))
    assert scene.told() == {1: HOURS, 2: HOURS}


def test_a_publication_for_one_property_makes_nothing_of_others_stale(scene: Scene) -> None:
    name = scene.candidate((1, DAY, "search"), (2, DAY, "search"))
    scene.publisher.publish(name, property_id=2)
    assert scene.told() == {2: HOURS}


def test_where_no_map_serves_yet_nothing_is_stale(wide_rows: WideRows, tmp_path: Path) -> None:
    stale = StaleTouches(wide_rows, FolderObjects(tmp_path), OWNERS)
    publisher = Publisher(wide_rows, lambda: 1, who="test", follow_up=stale.catch_up)
    span = (FIRST_DAY.start_us, FIRST_DAY.end_us)
    name = publisher.lineages.draw(state="candidate", targets=(span,)).name
    publisher.publish(name, property_id=2)
    assert Announcements(wide_rows, STALE).outstanding(DAY, DAY + 9 * DAY_US) == {}


def test_a_rollback_makes_stale_again_what_was_counted_since(scene: Scene) -> None:
    scene.publisher.publish(scene.candidate((1, DAY, "search"), (2, DAY, "news")))
    announcements = Announcements(scene.wide_rows, STALE)
    names = set().union(*announcements.outstanding(DAY, DAY + 9 * DAY_US).values())
    announcements.answer(DAY, DAY + 9 * DAY_US, names, version=2)
    assert scene.told() == {}
    scene.publisher.rollback()
    assert scene.told() == {1: HOURS}


def test_what_a_process_that_ended_early_has_left_is_announced_the_next_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.stale.catch_up()
    with monkeypatch.context() as patched:
        patched.setattr(scene.stale, "catch_up", _away)
        with pytest.raises(WideRowsUnavailableError):
            scene.publisher.publish(scene.candidate((1, DAY, "search"), (2, DAY, "news")))
    assert scene.told() == {}
    assert scene.stale.catch_up() == len(HOURS)
    assert scene.told() == {1: HOURS}
    assert scene.stale.catch_up() == 0


def _away() -> int:
    raise WideRowsUnavailableError("away")


@pytest.mark.parametrize(
    ("name", "versions", "covered"),
    [
        (b"0000000005-0000000000", {None: 5}, True),
        (b"0000000005-0000000000", {None: 4, 1: 9}, False),
        (b"0000000005-0000000002", {None: 6, 1: 2}, True),
        (b"0000000005-0000000002", {None: 6, 1: 1}, False),
        (b"0000000005-0000000002", {None: 6, 2: 2}, False),
    ],
)
def test_what_was_counted_by_later_pointers_answers(
    name: bytes, versions: dict[int | None, int], covered: bool
) -> None:
    assert is_covered(name, 1, versions) is covered


def test_pointers_are_noted_by_the_hours_that_were_counted(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    pin_versions(objects, "gen-1", FIRST_DAY, {None: 3, 7: 1})
    assert pinned_versions(objects, "gen-1", FIRST_DAY) == [{None: 3, 7: 1}]
    assert pinned_versions(objects, "gen-1", Span(DAY + DAY_US, LATER)) == []
    assert pinned_versions(objects, "gen-10", FIRST_DAY) == []
