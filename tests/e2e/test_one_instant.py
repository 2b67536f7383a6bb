"""One instant everywhere: four jobs and a replay count each hit by the version of its receipt."""

import json
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from stores.clock import ScaledClock
from stores.lineages import LineageRegister
from stores.wide_rows.opening import open_wide_rows

from .cells_reader import Stored, stored_cells
from .ruled import (
    HOUR_US,
    Configuration,
    Ruled,
    RuledLoad,
    Versions,
    clean_hits,
    configured,
    hour_text,
    let_all_hours_be_sealed,
    ruled_by_hand,
)
from .stack import Stack, eventually, running, tallymark

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SPEED = 6
"""A version takes effect 35 s after it was saved: six seconds here."""
PROPERTIES, JOBS, CHANGES = 8, 4, 3
HITS_PER_SECOND, SECONDS = 900.0, 30.0


def test_four_jobs_and_a_replay_process_every_hit_with_the_version_of_its_instant(
    tmp_path: Path,
) -> None:
    now_us = time.time_ns() // 1_000
    clock = ScaledClock(shown_us=now_us, at_us=now_us, speed=SPEED)
    options = ("--flush-seconds=1", "--follow-rules")
    with (
        running(tmp_path / "stack", *options, clock=clock) as stack,
        configured(stack.config_url, stack.data) as configuration,
    ):
        owners = dict(configuration.create(f"Shop {number}") for number in range(PROPERTIES))
        with jobs_beside(stack, JOBS - 1) as lineages:
            with RuledLoad(stack.collector_port, [*owners.values()], HITS_PER_SECOND) as load:
                change_often(configuration, owners)
                versions: Versions = {
                    one: configuration.versions(owner) for owner, one in owners.items()
                }
                hits_of_the_newest(versions, clock)
            assert not load.answers.refused
            assert not load.answers.unknown
            all_have_counted(stack, ["live-1", *lineages])
    by_hand = ruled_by_hand(stack.data / "archive", versions)
    assert len(by_hand) == len(load.answers.accepted) > 20_000
    every_version_was_in_force(by_hand.values(), versions)
    replay = replayed(stack)
    assert clean_hits(stack.data / "archive", replay) == by_hand
    again = stored_cells(stack.cells_path, replay)
    found = {name[0].split(b"#")[2].decode() for name in again}
    assert found >= {"totals", "events", "pages", "visitors", "minutes", "touches"}
    for lineage in ("live-1", *lineages):
        assert differing(stored_cells(stack.cells_path, lineage), again) == [], lineage


def differing(some: Stored, others: Stored) -> list[object]:
    """What is not the same, to the byte."""
    names = sorted(some.keys() | others.keys())
    return [name for name in names if some.get(name) != others.get(name)]


@contextmanager
def jobs_beside(stack: Stack, count: int) -> Iterator[list[str]]:
    """Further streaming jobs, each with a lineage, a subscription and rules of its own, which are
    stopped in order."""
    assert stack.clock is not None
    register = LineageRegister(open_wide_rows(f"sqlite:{stack.cells_path}"), stack.clock.utc_us)
    lineages = [register.draw("live", shards=2, who="test").name for _ in range(count)]
    started = [start_job(stack, lineage) for lineage in lineages]
    try:
        eventually(
            lambda: all(stack.note(f"stream-{lineage}") for lineage in lineages),
            within_seconds=90, what="further streaming jobs",
        )  # fmt: skip
        yield lineages
        for job in started:
            job.send_signal(signal.SIGTERM)
        assert [job.wait(timeout=60) for job in started] == [0] * count
    finally:
        for job in started:
            job.kill()


def start_job(stack: Stack, lineage: str) -> subprocess.Popen[bytes]:
    command = [
        *tallymark("serve", "stream"), f"--data={stack.data}", f"--lineage={lineage}",
        f"--bus=pubsub://127.0.0.1:{stack.pubsub_port}/tallymark",
        f"--wide-rows=sqlite:{stack.cells_path}", "--flush-seconds=1",
        f"--rules={stack.config_url}?key={stack.data / 'rules' / 'feed_key'}",
    ]  # fmt: skip
    with (stack.folder / f"{lineage}.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=stack.environment())


def change_often(configuration: Configuration, owners: dict[int, str]) -> None:
    """Change the rules of all properties, one after another, some times, while hits come in."""
    random, until = Random(39), time.monotonic() + SECONDS
    pause = (SECONDS - 9) / (CHANGES * len(owners))
    for number in range(2, CHANGES + 2):
        for owner in random.sample([*owners], len(owners)):
            time.sleep(2 * pause * random.random())
            assert configuration.save(owner, number).status_code == 200
    time.sleep(max(0.0, until - time.monotonic()))


def hits_of_the_newest(versions: Versions, clock: ScaledClock) -> None:
    """Let hits come in under the newest versions for a while, however long their saving took."""
    in_force = max(max(since.values()) for since in versions.values())
    eventually(lambda: clock.utc_us() > in_force, within_seconds=60, what="the newest versions")
    time.sleep(2)


def every_version_was_in_force(ruled: Iterable[Ruled], versions: Versions) -> None:
    """Hits came under each version of each property, which the test is about."""
    found = {(one.measurement_id, one.version) for one in ruled}
    assert found == {(one, number) for one, since in versions.items() for number in since}
    assert {len(since) for since in versions.values()} == {CHANGES + 1}


def all_have_counted(stack: Stack, lineages: list[str]) -> None:
    """Wait until all jobs have taken in the same, and nothing more comes."""
    notes = ["stream" if lineage == "live-1" else f"stream-{lineage}" for lineage in lineages]
    before: list[list[int]] = []

    def settled() -> bool:
        time.sleep(3)
        shards = [stack.note(note).get("shards", []) for note in notes]
        hits = [sum(shard["hits"] for shard in of_job) for of_job in shards]
        owes = any(shard["unwritten"] for of_job in shards for shard in of_job)
        before.append(hits)
        return len(set(hits)) == 1 and before[-2:] == [hits, hits] and hits[0] > 0 and not owes

    eventually(settled, within_seconds=90, what="all jobs have counted all hits")


def replayed(stack: Stack) -> str:
    """The lineage of a replay of all hours."""
    hours = let_all_hours_be_sealed(stack)
    done = stack.run("replay", f"{hour_text(hours[0])}..{hour_text(hours[-1] + HOUR_US)}", "--json")
    assert done.returncode == 0, done.stderr
    lineage: str = json.loads(done.stdout)["lineage"]
    return lineage
