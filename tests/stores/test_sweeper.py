"""Sweeps: what is deleted, what stays, and what happens beside publications."""

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from stores.archive.counted_touches import CountedTouches
from stores.archive.counts import SLOT_SCHEMA, Counts
from stores.archive.folder import FolderObjects
from stores.archive.raw import RawArchive
from stores.publication import Publisher
from stores.sweeping import Sweeper
from stores.wide_rows.port import CELL_SCHEMA, WideRows
from tallymark.blocks import Block
from tallymark.cells import version_of
from tallymark.day_cells import DAY_ROLLUPS, Day, day_key
from tallymark.lineages import LineageStateError
from tallymark.publication import RefusedError
from tallymark.replays import Span
from tallymark.rollups import ROLLUPS
from tallymark.row_keys import cell_place, control_key, rollup_prefix
from tallymark.slots import DAY_US, HOUR_US
from tallymark.touch_cells import decode_touches, encode_touches, with_client_keys
from tallymark.touches import TOUCH_SCHEMA

START_US = 1_700_000_000_000_000 // DAY_US * DAY_US + 22 * HOUR_US
HOURS = Span(START_US, START_US + 4 * HOUR_US)
"""Over a midnight."""
OWNERS = (1, 23)
CELLS = [(b"0", b"~"), (b"~control", b"~controm")]


@dataclass
class Scene:
    """Stores, and a clock that is moved by hand."""

    wide_rows: WideRows
    objects: FolderObjects
    now: list[int] = field(default_factory=lambda: [START_US])

    def __post_init__(self) -> None:
        self.publisher = Publisher(self.wide_rows, self.tick, who="test")
        self.publisher.live_lineage(shards=1)
        self.sweeper = Sweeper(self.wide_rows, self.objects, self.tick)

    def tick(self) -> int:
        self.now[0] += 1
        return self.now[0]

    def pass_hours(self, hours: int) -> None:
        self.now[0] += hours * HOUR_US

    def compute(self) -> str:
        """A generation with cells of every kind and files in every folder."""
        span = (HOURS.start_us, HOURS.end_us)
        name = self.publisher.lineages.draw(state="candidate", targets=(span,)).name
        slots = [(owner, hour, 60) for owner in OWNERS for hour in HOURS]
        counts = Counts(self.objects, name, HOURS)
        counts.note_slots(pl.DataFrame(slots, schema=SLOT_SCHEMA, orient="row"))
        for file in (
            f"clean/{name}/received_hour=x/manifest.json",
            f"clean/{name}/received_hour=x/event_hour=y/0.parquet",
            f"sessions/{name}/event_hour=y/0.parquet",
            f"counts/{name}/a--b/group=00000/00000.arrow",
        ):
            self.objects.put(file, b"content")
        self.write(name)
        return name

    def write(self, name: str) -> None:
        day = Day(HOURS.start_us // DAY_US * DAY_US - HOUR_US, HOURS.start_us)
        keys = [control_key(name, 0)]
        for owner in OWNERS:
            for hour in HOURS:
                for rollup in ROLLUPS:
                    key = (rollup_prefix(owner, rollup.name) + cell_place(hour, name)).encode()
                    keys += [key, key + b"#0006094c0cd5a000003c000"]
            keys += [day_key(owner, each, day, f"{name}@7") for each in DAY_ROLLUPS.values()]
        cells = [(key, "c", b"q", 1, b"v") for key in sorted(set(keys))]
        self.wide_rows.write(pl.DataFrame(cells, schema=CELL_SCHEMA, orient="row"))

    def left(self) -> set[str]:
        """Generations that any row or file is of."""
        keys = self.wide_rows.read(CELLS)["row_key"].to_list()
        rows = {key.decode().split("#")[1 if key.startswith(b"~") else 4] for key in keys}
        files = {name.split("/")[1] for name in self.objects.names("")}
        return {name.partition("@")[0] for name in rows | files} - {"live-1"}


@pytest.fixture
def scene(wide_rows: WideRows, tmp_path: Path) -> Scene:
    return Scene(wide_rows, FolderObjects(tmp_path / "archive"))


def test_a_sweep_deletes_all_of_old_generations_and_nothing_of_others(scene: Scene) -> None:
    names = [scene.compute() for _ in range(12)]
    assert scene.left() == set(names)
    scene.pass_hours(2)
    assert [each.name for each in scene.sweeper.due()] == names[:9]
    swept = scene.sweeper.sweep()
    assert list(swept) == names[:9]
    assert set(swept.values()) == {(8, 5)}
    assert scene.left() == set(names[9:])  # gen-1 went, gen-10 to gen-12 did not
    assert scene.publisher.lineages.get("gen-1").state == "swept"
    assert scene.sweeper.sweep() == {}


def test_touches_of_old_generations_are_written_empty(scene: Scene) -> None:
    names = [scene.compute() for _ in range(4)]
    touches = pl.DataFrame(
        [(1, client, hour, "news", "", "", "") for client in (5, 7) for hour in HOURS],
        schema=TOUCH_SCHEMA,
        orient="row",
    )
    for name in names:
        owed = CountedTouches(scene.objects, name, HOURS).owed(touches, HOURS, 0, 1)
        scene.wide_rows.write(encode_touches(touches, owed, lineage=name, version=version_of(9, 9)))
    scene.pass_hours(2)
    assert scene.sweeper.sweep() == {"gen-1": (8, 6)}
    keys = with_client_keys(touches.select("property_id", "client_hash").unique())
    cells = scene.wide_rows.read_rows(keys["row_key"].to_list(), ("n",))
    assert set(decode_touches(cells)["lineage"]) == set(names[1:])


def test_what_serves_stays_and_has_its_grace_when_it_does_no_more(scene: Scene) -> None:
    first, *_ = [scene.compute() for _ in range(5)]
    scene.publisher.publish(first)
    scene.pass_hours(100)
    assert list(scene.sweeper.sweep()) == ["gen-2"]
    scene.publisher.rollback()
    scene.pass_hours(1)
    scene.now[0] -= 1_000
    assert scene.sweeper.sweep() == {}
    scene.now[0] += 1_000
    assert list(scene.sweeper.sweep()) == [first]
    assert first not in scene.left()


def test_what_a_property_alone_is_served_stays(scene: Scene) -> None:
    first, *_ = [scene.compute() for _ in range(4)]
    scene.publisher.publish(first, property_id=23)
    scene.pass_hours(100)
    assert scene.sweeper.sweep() == {}


def test_a_publisher_that_died_before_it_withdrew_a_generation_leaves_it_its_grace(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = [scene.compute() for _ in range(4)]
    scene.publisher.publish(first)
    scene.pass_hours(100)
    monkeypatch.setattr(scene.publisher, "settle", lambda: None)
    scene.publisher.rollback()
    scene.pass_hours(1)
    assert scene.publisher.lineages.get(first).state == "published"
    assert scene.sweeper.sweep() == {}
    scene.pass_hours(1)
    assert list(scene.sweeper.sweep()) == [first]


def test_a_sweep_that_was_cut_off_is_taken_up_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = [scene.compute() for _ in range(4)]
    scene.pass_hours(2)
    with monkeypatch.context() as patched:
        patched.setattr(scene.objects, "delete", _fail)
        with pytest.raises(OSError, match="disk"):
            scene.sweeper.sweep()
    assert scene.publisher.lineages.get(first).state == "swept"
    assert first in scene.left()
    assert list(scene.sweeper.sweep()) == [first]
    assert first not in scene.left()


def _fail(name: str) -> None:
    raise OSError("disk")


def test_what_is_swept_is_neither_published_nor_rolled_back_to(scene: Scene) -> None:
    first, *_ = [scene.compute() for _ in range(4)]
    scene.publisher.publish(first)
    scene.publisher.rollback()
    scene.pass_hours(2)
    scene.sweeper.sweep()
    with pytest.raises(RefusedError, match="deleted"):
        scene.publisher.publish(first)
    with pytest.raises(RefusedError, match="are deleted"):
        scene.publisher.rollback(to=2)


def test_a_generation_is_served_again_or_swept_but_never_both(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollback that has looked at the register, and a sweep before it writes."""
    first, *_ = [scene.compute() for _ in range(4)]
    scene.publisher.publish(first)
    scene.publisher.rollback()
    scene.pass_hours(2)
    turn = scene.publisher.lineages.turn

    def turn_late(name: str, state, **choices):
        monkeypatch.setattr(scene.publisher.lineages, "turn", turn)
        assert list(scene.sweeper.sweep()) == [first]
        return turn(name, state, **choices)

    monkeypatch.setattr(scene.publisher.lineages, "turn", turn_late)
    with pytest.raises(RefusedError, match="are deleted"):
        scene.publisher.rollback(to=2)
    assert scene.publisher.pointers.held().document.lineages == {"live-1"}


def test_a_generation_that_is_published_while_a_sweep_begins_stays(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = [scene.compute() for _ in range(4)]
    scene.pass_hours(2)
    due = scene.sweeper.due

    def due_then_published(**choices):
        found = due(**choices)
        scene.publisher.publish(first)
        return found

    monkeypatch.setattr(scene.sweeper, "due", due_then_published)
    assert scene.sweeper.sweep() == {}
    assert first in scene.left()
    with pytest.raises(LineageStateError):
        scene.publisher.lineages.turn(first, "swept")


def test_an_ended_stream_goes_once_its_last_hours_are_sealed(
    wide_rows: WideRows, tmp_path: Path
) -> None:
    scene = Scene(wide_rows, FolderObjects(tmp_path / "archive"))
    sweeper = Sweeper(wide_rows, scene.objects, scene.tick, OWNERS)
    lineages = scene.publisher.lineages
    touch = pl.DataFrame([(1, 5, START_US, "news", "", "", "")], schema=TOUCH_SCHEMA, orient="row")
    for name in ("live-1", "live-2"):
        scene.write(name)
        owed = touch.select("property_id", "client_hash", hour=pl.col("start"))
        wide_rows.write(encode_touches(touch, owed, lineage=name, version=version_of(9, 9)))
        scene.objects.put(f"snapshots/{name}/0000/manifest.json", b"content")
    heir = lineages.draw("live", shards=1, state="candidate")
    lineages.update(heir.name, lambda held: held.serving_from(HOURS.end_us))
    scene.publisher.publish(heir.name)
    lineages.turn("live-1", "withdrawn")
    scene.pass_hours(2)
    assert sweeper.sweep() == {}  # the archive has not passed its hours

    frontiers = (("opening", START_US - HOUR_US), ("heartbeat", HOURS.end_us + 20 * HOUR_US))
    RawArchive(scene.objects).write(
        Block(spool_id="idle", number=number, kind=kind, requests=0, payload=b"", frontier=frontier)
        for number, (kind, frontier) in enumerate(frontiers, start=1)
    )
    lineages.standing()  # which has computed the hours in which the archive has something
    computed = [(-12 * HOUR_US, 12 * HOUR_US), (START_US - 24 * HOUR_US, START_US + 48 * HOUR_US)]
    lineages.update("gen-0", lambda held: held.extended(computed))
    assert [end for _, end in sweeper.idle()] == [HOURS.end_us]
    assert sweeper.sweep() == {}  # a reader may have taken the pointers before
    served = scene.publisher.pointers.held().document.pointers
    assert served.lineage_at(START_US) == "gen-0"
    scene.pass_hours(2)
    assert set(sweeper.sweep()) == {"live-1"}
    keys = wide_rows.read(CELLS)["row_key"].to_list()
    assert not [key for key in keys if b"#live-1#" in key or b"#live-1@" in key]
    assert [key for key in keys if b"#live-2#" in key]
    assert {name.split("/")[1] for name in scene.objects.names("snapshots/")} == {"live-2"}
    clients = with_client_keys(touch.select("property_id", "client_hash"))
    cells = wide_rows.read_rows(clients["row_key"].to_list(), ("n",))
    assert set(decode_touches(cells)["lineage"]) == {"live-2"}
    assert lineages.get("live-1").state == "swept"
    assert sweeper.sweep() == {}
