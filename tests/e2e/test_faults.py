"""Processes die under load, at the worst places and at any time; nothing is lost or counted twice,
and what a merchant has seen in a report he goes on seeing."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil
import pytest

from tests.beam_pipelines.test_replay import KILLS as KILLS_OF_REPLAYS
from tests.cli.test_imports import KILLS as KILLS_OF_IMPORTS

from .agreement import agreement
from .oracle import Settings
from .stack import Simulation, Site, Stack, eventually, running
from .watcher import Watcher

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_500)]

ROUNDS = (
    ("segment.before-rename", "stream.before-flush", "archiver.before-write"),
    ("segment.after-rename", "stream.control-before-cells", "archiver.written-before-ack"),
    ("shipper.recovering", "collector.recorded-before-answer", "stream.after-cells"),
    ("shipper.before-publish", "snapshot.part-before-manifest", "archive.file-before-manifest"),
    ("shipper.published-before-unlink",),
)
"""Where processes are killed: those of a round together, each at its place."""
REACHED_SECONDS = 150.0
"""The archiver writes and the stream saves about once a minute."""
RANDOM_KILLS = ("collector", "shipper", "pubsub", "archiver", "stream", "stream", "collector")
HITS_PER_SECOND = 150
BACK_SECONDS = 60.0


@pytest.fixture(name="stack")
def _stack(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path / "stack", "--collector-workers=2", "--flush-seconds=2") as stack:
        yield stack


@pytest.fixture(name="sites")
def _sites(stack: Stack) -> list[Site]:
    return [
        stack.create_property("North", session_gap_seconds=300),
        stack.create_property("South", time_zone="Asia/Kathmandu"),
    ]


@pytest.fixture(name="settings")
def _settings(sites: list[Site]) -> dict[int, Settings]:
    return {
        sites[0].property_id: Settings(session_gap_seconds=300),
        sites[1].property_id: Settings(slot_minutes=15),
    }


def test_the_table_of_failpoints_is_whole() -> None:
    root = Path(__file__).parents[2]
    reached = {
        part.split('"')[0]
        for folder in ("beam_pipelines", "collector", "stores")
        for path in (root / folder).rglob("*.py")
        for part in path.read_text().split('reach("')[1:]
    }
    under_load = {failpoint for failpoints in ROUNDS for failpoint in failpoints}
    assert reached == under_load | {*KILLS_OF_REPLAYS, *KILLS_OF_IMPORTS}


def test_kills_at_failpoints_lose_nothing_and_count_nothing_twice(
    stack: Stack, sites: list[Site], settings: dict[int, Settings]
) -> None:
    simulation = _load(stack, sites, seed=21)
    with Watcher(stack, sites) as watcher:
        for failpoints in ROUNDS:
            for failpoint in failpoints:
                stack.arm(failpoint)
            eventually(
                lambda armed=failpoints: all(map(stack.was_reached, armed)),  # type: ignore[misc]
                within_seconds=REACHED_SECONDS,
                what=f"kills at {failpoints}",
            )
            time.sleep(2)
            eventually(stack.is_ready, within_seconds=BACK_SECONDS, what="all services back")
        simulation.stop()
        agreed = agreement(stack, [simulation], sites, settings)

    assert agreed.truth.outcomes["accepted"] > 1_000
    _was_watched(watcher)


def test_kills_at_any_time_lose_nothing_and_count_nothing_twice(
    stack: Stack, sites: list[Site], settings: dict[int, Settings]
) -> None:
    random = Random(31)
    simulation = _load(stack, sites, seed=32)
    killed_at: list[tuple[str, float]] = []
    with Watcher(stack, sites) as watcher:
        for service in RANDOM_KILLS:
            time.sleep(2 + 4 * random.random())
            killed_at.append((service, time.time()))
            _kill(stack, service)
            time.sleep(2)
            eventually(stack.is_ready, within_seconds=BACK_SECONDS, what=f"{service} back")
        time.sleep(3)
        simulation.stop()
        agreement(stack, [simulation], sites, settings)

    _was_watched(watcher)
    sent = [(row["sent_at"] / 1e6, row["outcome"]) for row in simulation.answers()]
    for service, moment in killed_at:
        before = [at for at, outcome in sent if outcome == "accepted" and -1 < at - moment < 0]
        after = [at for at, _ in sent if 0 < at - moment < 1]
        assert before, f"nothing was in flight when {service} was killed"
        assert after, f"nothing was in flight when {service} was killed"


def test_a_stack_killed_whole_goes_on_where_it_was(
    stack: Stack, sites: list[Site], settings: dict[int, Settings]
) -> None:
    before = _load(stack, sites, seed=41)
    with Watcher(stack, sites) as watcher:
        time.sleep(12)
        stack.kill()
        before.stop()
        stack.start()
        after = _load(stack, sites, seed=42)
        time.sleep(8)
        after.stop()
        agreement(stack, [before, after], sites, settings)

    _was_watched(watcher)


def _load(stack: Stack, sites: list[Site], *, seed: int) -> Simulation:
    simulation = stack.simulate(
        sites, f"load-{seed}", f"--seed={seed}", f"--rate={HITS_PER_SECOND}",
        "--returning-share=0.5", "--connections=8",
    )  # fmt: skip
    eventually(
        lambda: len(simulation.answers()) > 100, within_seconds=30, what="load on the collector"
    )
    return simulation


def _kill(stack: Stack, service: str) -> None:
    """The service; of the collector a worker, and its parent lives on."""
    pid = stack.pid(service)
    workers = psutil.Process(pid).children(recursive=True) if service == "collector" else []
    os.kill(workers[-1].pid if workers else pid, signal.SIGKILL)


def _was_watched(watcher: Watcher) -> None:
    assert watcher.retreats == []
    assert watcher.answers > 20
    assert all(events > 0 for events, _, _ in watcher.newest.values())
    assert len(watcher.newest) == len(watcher.sites)
