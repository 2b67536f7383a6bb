"""The start of a streaming job: where it reads from, and whose decisions the lineage holds."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from beam_pipelines import streaming
from beam_pipelines.streaming import OVERLAP_US, RETENTION_US, StreamSettings, prepare
from stores.lineages import LineageRegister
from tallymark.pointer_map import FOR_EVER, SINCE_EVER
from tallymark.slots import HOUR_US, first_whole_hour
from tests.beam_pipelines.worlds import World
from tests.strategies import MIDNIGHT_US

NOW_US = MIDNIGHT_US + 30 * HOUR_US
SAVED_US = NOW_US - 60_000_000


@dataclass
class Bus:
    """Notes what a job asks of its subscription."""

    sought: list[int] = field(default_factory=list)

    def ensure_subscription(self, _name: str, _topic: str) -> None:
        """It is there."""

    def seek(self, _name: str, instant_us: int) -> None:
        self.sought.append(instant_us)


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path)


def start(world: World, code: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Start the job in some code; how far back it reads, UTC µs."""
    monkeypatch.setattr(streaming, "code_version", lambda: code)
    places, bus = world.settings(), Bus()
    settings = StreamSettings(
        data_dir=world.folder,
        bus_url="pubsub://127.0.0.1:1/test",
        wide_rows_url=places.wide_rows_url,
        archive_url=places.archive_url,
        rules_path=str(world.folder / "properties.json"),
        shards=1,
    )
    prepare(settings, bus, lambda: NOW_US)  # type: ignore[arg-type]
    return bus.sought[-1]


def decided(world: World) -> list[tuple[tuple[int, int], str]]:
    """Which code decided which hours of the lineage that serves."""
    register = LineageRegister(world.rows, lambda: 0)  # type: ignore[arg-type]
    return register.get("live-1").code_of(SINCE_EVER, FOR_EVER)


def test_the_first_job_decides_all_hours(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(world, "one", monkeypatch) == NOW_US - RETENTION_US
    assert decided(world) == [((SINCE_EVER, FOR_EVER), "one")]


def test_a_restart_in_the_same_code_goes_on_from_its_snapshot(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(world, "one", monkeypatch)
    world.snapshots.save_base("live-1", 0, "one", b"state", published=SAVED_US)
    assert start(world, "one", monkeypatch) == SAVED_US - OVERLAP_US
    assert decided(world) == [((SINCE_EVER, FOR_EVER), "one")]


def test_a_restart_in_other_code_decides_the_hours_that_it_reads_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(world, "one", monkeypatch)
    world.snapshots.save_base("live-1", 0, "one", b"state", published=SAVED_US)
    back = start(world, "two", monkeypatch)
    assert back == NOW_US - 24 * HOUR_US
    first = first_whole_hour(back)
    assert decided(world) == [((SINCE_EVER, first), "one"), ((first, FOR_EVER), "two")]


def test_a_restart_in_other_code_before_anything_was_saved_decides_all_hours(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(world, "one", monkeypatch)
    assert start(world, "two", monkeypatch) == NOW_US - RETENTION_US
    assert decided(world) == [((SINCE_EVER, FOR_EVER), "two")]
