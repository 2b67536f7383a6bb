"""Retention: nothing due stays, nothing else goes, and what is left is as whole as before."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stores.archive.folder import FolderObjects
from stores.archive.raw import RawArchive
from stores.archive.raw_hours import RawHour
from stores.archive.removed_hours import gone_streams, removed_hours
from stores.retention import RetentionSweep, Taken
from stores.wide_rows.port import WideRows
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.blocks import Block
from tallymark.properties import DataStream, Property
from tallymark.retention import Retention
from tallymark.slots import DAY_US, HOUR_US, MINUTE_US
from tests.stores.archive.recorded_blocks import HOUR, block, request
from tests.tallymark.recorded import version

IDS = ("G-AAAAAAAAAA", "G-BBBBBBBBBB", "G-CCCCCCCCCC")


def owner(number: int, days: int | None = None) -> Property:
    rules = {} if days is None else {"retention_days": days}
    return Property(
        property_id=number,
        name="Shop",
        data_streams=(DataStream(measurement_id=IDS[number]),),
        versions=(version(**rules),),
    )


def view(name: str, at_us: int, stream: str, **changes: Any) -> dict[str, object]:
    return request(name, at_us) | {
        "path": "/g/collect",
        "body_encoding": "utf-8",
        "query": f"v=2&tid={stream}&cid=1.2&en=page_view",
        **changes,
    }


@dataclass
class Scene:
    """An archive of hours, and a clock that is moved by hand."""

    wide_rows: WideRows
    objects: FolderObjects
    now: list[int] = field(default_factory=lambda: [HOUR])

    def record(self, hours: Sequence[Sequence[dict[str, object]]], *, spool: str = "s1") -> None:
        """A spool with a block an hour."""
        blocks = [block(spool, 1, HOUR + 1)]
        for number, requests in enumerate(hours):
            end = HOUR + (number + 1) * HOUR_US
            blocks.append(block(spool, number + 2, end, list(requests)))
        RawArchive(self.objects).write([*blocks, *self.idle(len(hours))])

    def idle(self, hours: int) -> list[Block]:
        return [block("idle", 1, HOUR + 1), block("idle", 2, HOUR + (hours + 24) * HOUR_US)]

    def sweep(
        self, *owners: Property, days: int | None = None, known: Collection[str] = IDS
    ) -> RetentionSweep:
        return RetentionSweep(
            self.wide_rows,
            self.objects,
            lambda: self.now[0],
            retention=Retention.of(owners, self.now[0], days),
            known_of=lambda ids: set(ids).intersection(known),
            property_ids=[one.property_id for one in owners],
        )

    def run(self, *owners: Property, days: int | None = None) -> Taken:
        return self.sweep(*owners, days=days).run()

    def held(self) -> dict[int, list[str]]:
        """Request ids that a reader finds in each hour."""
        archive = RawArchive(self.objects)
        return {
            (hour - HOUR) // HOUR_US: [
                name for frame in archive.read_hour(hour) for name in frame["request_id"]
            ]
            for hour in archive.hours()
        }

    def stored(self) -> set[str]:
        """Request ids that lie in any file at all."""
        files = [name for name in self.objects.names("raw/") if name.endswith(".parquet")]
        frames = [pl.read_parquet(self.objects.open(name)) for name in files]
        return {name for frame in frames for name in frame["request_id"]}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(SqliteWideRows(tmp_path / "rows.sqlite"), FolderObjects(tmp_path / "archive"))


def two_shops(hours: int) -> list[list[dict[str, object]]]:
    """A view of each of two properties and one of nobody's in each hour."""
    return [
        [
            view(f"{hour}-{name}", HOUR + hour * HOUR_US + 1, stream)
            for name, stream in (("a", IDS[0]), ("b", IDS[1]), ("x", "G-XXXXXXXXXX"))
        ]
        for hour in range(hours)
    ]


def test_hits_of_a_property_go_once_all_of_their_hour_is_old_enough(scene: Scene) -> None:
    scene.record(two_shops(3))
    scene.now[0] = HOUR + 7 * DAY_US + 2 * HOUR_US - 1

    taken = scene.run(owner(0, days=7), owner(1))

    assert scene.held() == {
        0: ["0-b", "0-x"],
        1: ["1-a", "1-b", "1-x"],
        2: ["2-a", "2-b", "2-x"],
        26: [],
    }
    assert (taken.requests, taken.hours) == (1, 0)
    assert gone_streams(scene.objects, RawArchive(scene.objects).hours()) == {HOUR: {IDS[0]}}


def test_nothing_goes_without_a_rule_or_a_limit(scene: Scene) -> None:
    scene.record(two_shops(2))
    scene.now[0] = HOUR + 4_000 * DAY_US

    assert scene.run(owner(0), owner(1)) == Taken()
    assert scene.stored() == {f"{hour}-{name}" for hour in (0, 1) for name in "abx"}


def test_the_deployments_limit_takes_whole_hours_a_day_after_they_are_out_of_reach(
    scene: Scene,
) -> None:
    scene.record(two_shops(3))
    scene.now[0] = HOUR + 30 * DAY_US + 2 * HOUR_US

    assert scene.run(owner(0, days=400), owner(1), days=30).hours == 0
    assert removed_hours(scene.objects).through_us == HOUR + 2 * HOUR_US
    scene.now[0] += DAY_US - 1
    scene.run(owner(0), days=31)
    assert "0-a" in scene.stored()
    scene.now[0] += 1
    assert scene.run(owner(0), days=31).hours == 2

    assert scene.held() == {2: ["2-a", "2-b", "2-x"], 26: []}
    assert scene.stored() == {"2-a", "2-b", "2-x"}


def test_what_is_left_is_as_complete_as_before(scene: Scene) -> None:
    scene.record(two_shops(4))
    before = RawArchive(scene.objects)
    hours = [HOUR + HOUR_US * number for number in (2, 3)]
    clock, incomplete = before.clock(), before.incomplete(hours)
    scene.now[0] = HOUR + 30 * DAY_US + 2 * HOUR_US

    scene.run(owner(0, days=29), days=30)
    scene.now[0] += DAY_US
    scene.run(owner(0, days=30), days=31)

    after = RawArchive(scene.objects)
    assert HOUR not in after.hours()
    assert (after.clock(), after.incomplete(hours)) == (clock, incomplete)
    late = [hour for hour in after.hours() if not after.hour_is_complete(hour)]
    assert late == [hour for hour in before.hours() if not before.hour_is_complete(hour)]


def test_a_reader_that_has_begun_reads_on_for_a_day(scene: Scene) -> None:
    scene.record(two_shops(1))
    (part,) = RawHour(scene.objects, HOUR).slices()
    scene.now[0] = HOUR + 8 * DAY_US

    scene.run(owner(0, days=7))

    begun = RawHour(scene.objects, HOUR).read(part).requests
    assert begun["request_id"].to_list() == ["0-a", "0-b", "0-x"]
    scene.now[0] += DAY_US
    assert scene.run(owner(0, days=7)).files == 1
    assert scene.stored() == {"0-b", "0-x"}


def test_what_is_archived_once_more_goes_once_more(scene: Scene) -> None:
    scene.record(two_shops(1))
    scene.now[0] = HOUR + 8 * DAY_US
    scene.run(owner(0, days=7))

    scene.record(two_shops(1))
    assert "0-a" in scene.held()[0]
    scene.now[0] += 2 * DAY_US
    scene.run(owner(0, days=7))
    scene.now[0] += DAY_US
    scene.run(owner(0, days=7))

    assert scene.held()[0] == ["0-b", "0-x"]
    assert scene.stored() == {"0-b", "0-x"}


def test_a_request_of_several_properties_goes_with_the_last_of_them(scene: Scene) -> None:
    both = view("both", HOUR + 1, IDS[0], body=f"tid={IDS[1]}&en=a\nen=b")
    scene.record([[both]])
    scene.now[0] = HOUR + 8 * DAY_US

    scene.run(owner(0, days=7), owner(1, days=14))
    assert scene.held()[0] == ["both"]
    assert gone_streams(scene.objects, [HOUR]) == {HOUR: {IDS[0]}}

    scene.now[0] = HOUR + 15 * DAY_US
    scene.run(owner(0, days=7), owner(1, days=14))
    assert scene.held()[0] == []


def test_a_request_that_cannot_be_read_is_of_the_property_that_it_names(scene: Scene) -> None:
    nameless = view("nameless", HOUR + 1, IDS[0], query=f"v=2&tid={IDS[0]}")
    refused = view("refused", HOUR + 2, "", path="/mp/collect", query=f"measurement_id={IDS[0]}")
    elsewhere = view("elsewhere", HOUR + 3, "", path="/x", query="")
    scene.record([[nameless, refused, elsewhere]])
    scene.now[0] = HOUR + 8 * DAY_US

    scene.run(owner(0, days=7))

    assert scene.held()[0] == ["elsewhere"]


class CutOffError(Exception):
    """A process that was killed."""


@dataclass
class Unreliable:
    """Objects whose process dies before one of its writes."""

    objects: FolderObjects
    writes_left: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.objects, name)

    def put(self, name: str, content: bytes) -> None:
        self._count()
        self.objects.put(name, content)

    def delete(self, name: str) -> None:
        self._count()
        self.objects.delete(name)

    def _count(self) -> None:
        if self.writes_left == 0:
            raise CutOffError
        self.writes_left -= 1


@pytest.mark.parametrize("days", [None, 30], ids=["some of it", "whole hours"])
def test_a_sweep_that_is_cut_off_anywhere_shows_no_half_and_is_taken_up(
    scene: Scene, days: int | None
) -> None:
    scene.record(two_shops(3))
    owners = (owner(0, days=7), owner(1))
    complete = RawArchive(scene.objects).incomplete([HOUR + 2 * HOUR_US])
    going = {f"{hour}-a" for hour in range(3)} if days is None else set(scene.stored())
    lasting = scene.stored() - going
    scene.now[0] = HOUR + 60 * DAY_US
    whole, objects = scene.stored(), scene.objects

    for cut_off_after in range(60):
        scene.objects = Unreliable(objects, cut_off_after)  # type: ignore[assignment]
        try:
            scene.run(*owners, days=days)
        except CutOffError:
            scene.now[0] += 30 * HOUR_US
        scene.objects = objects
        seen = {name for names in scene.held().values() for name in names}
        assert lasting <= seen <= whole
        whole = seen
        assert RawArchive(objects).incomplete([HOUR + 2 * HOUR_US]) == complete
        lacking = {HOUR + int(name[0]) * HOUR_US for name in going - seen}
        gone = set(gone_streams(objects, lacking))
        through_us = removed_hours(objects).through_us
        assert lacking == gone | {hour for hour in lacking if hour < through_us}
    scene.now[0] += 2 * DAY_US
    scene.run(*owners, days=days)

    assert scene.stored() == lasting
    if days is None:
        assert set(gone_streams(objects, RawArchive(objects).hours())) == {
            HOUR + number * HOUR_US for number in range(3)
        }


@given(
    sent=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([*IDS, "G-XXXXXXXXXX"]), st.booleans()),
        max_size=30,
    ),
    days=st.tuples(*[st.sampled_from([None, 7, 8, 9])] * 3),
    most=st.sampled_from([None, 7, 8, 10]),
    ages=st.lists(st.integers(7 * 24 - 1, 11 * 24), min_size=1, max_size=4),
)
@example(
    sent=[(0, IDS[0], False), (0, IDS[1], False)], days=(7, 8, None), most=None, ages=[169, 193]
)
@settings(max_examples=25)
def test_what_is_due_goes_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    sent: list[tuple[int, str, bool]],
    days: tuple[int | None, ...],
    most: int | None,
    ages: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("retention")
    scene = Scene(SqliteWideRows(folder / "rows.sqlite"), FolderObjects(folder / "archive"))
    hours: list[list[dict[str, object]]] = [[] for _ in range(6)]
    kept_days = dict(zip(IDS, days, strict=True))
    for number, (hour, stream, again) in enumerate(sent):
        at = HOUR + hour * HOUR_US + number + 1
        for copy in range(1 + again):
            hours[hour].append(view(f"{number}", at, stream, user_agent=str(copy)))
    scene.record(hours)
    owners = [owner(number, kept) for number, kept in enumerate(days)]

    for age in sorted(ages):
        scene.now[0] = HOUR + age * HOUR_US
        scene.run(*owners, days=most)

    expected: list[str] = []
    oldest = max(ages) * HOUR_US
    for number, (hour, stream, again) in enumerate(sent):
        limits = [each for each in (kept_days.get(stream), most) if each is not None]
        if not limits or oldest < min(limits) * DAY_US + (hour + 1) * HOUR_US:
            expected += [f"{number}"] * (1 + again)
    through = (removed_hours(scene.objects).through_us - HOUR) // HOUR_US
    found = [name for hour, names in scene.held().items() if hour >= through for name in names]
    assert sorted(found) == sorted(expected)

    scene.now[0] += 2 * DAY_US + MINUTE_US
    still = RetentionSweep(
        scene.wide_rows,
        scene.objects,
        lambda: scene.now[0],
        retention=Retention.of(owners, HOUR + oldest, most),
        known_of=lambda ids: set(ids).intersection(IDS),
        property_ids=range(3),
    )
    still.run()
    assert scene.stored() == set(expected)
