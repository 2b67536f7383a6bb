"""New code takes over streaming under load: no hit is lost, no report goes back."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .agreement import agreement
from .oracle import Settings
from .stack import Site, Stack, eventually, running, tallymark
from .watcher import Watcher

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

UPGRADE_SECONDS = 180.0


@pytest.fixture(name="stack")
def _stack(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path / "stack", "--flush-seconds=2", "--no-dagster") as stack:
        yield stack


@pytest.fixture(name="sites")
def _sites(stack: Stack) -> list[Site]:
    return [
        stack.create_property("North", session_gap_seconds=300),
        stack.create_property("South", time_zone="Asia/Kathmandu"),
    ]


def test_the_code_that_is_installed_takes_over_under_load(stack: Stack, sites: list[Site]) -> None:
    settings = {
        sites[0].property_id: Settings(session_gap_seconds=300),
        sites[1].property_id: Settings(slot_minutes=15),
    }
    simulation = stack.simulate(sites, "load", "--seed=61", "--rate=80", "--returning-share=0.5")
    with Watcher(stack, sites) as watcher:
        eventually(lambda: len(simulation.answers()) > 500, within_seconds=60, what="load")
        eventually(lambda: len(watcher.newest) == 2, within_seconds=60, what="reports")
        _kill_an_upgrade_half_way(stack)
        done = _upgrade(stack)
        assert done.returncode == 0, done.stderr
        assert "serves the hours from" in done.stdout
        before = watcher.newest[sites[0].property_id][0]
        eventually(
            lambda: watcher.newest[sites[0].property_id][0] > before,
            within_seconds=60,
            what="numbers that move again",
        )
        simulation.stop()
        agreement(stack, [simulation], sites, settings, lineage="live-2")
    assert watcher.retreats == []
    assert watcher.failures == 0
    assert watcher.answers > 20
    assert _lineages(stack) == {"live-2"}


def test_an_upgrade_that_cannot_catch_up_leaves_everything_as_it_was(
    stack: Stack, sites: list[Site]
) -> None:
    simulation = stack.simulate(sites, "load", "--seed=62", "--rate=40", "--duration=20")
    eventually(lambda: len(simulation.answers()) > 100, within_seconds=60, what="load")
    refused = _upgrade(stack, "--give-up-seconds=1")
    assert refused.returncode == 1
    assert "in vain for live-2 to catch up with live-1; everything is as it was" in refused.stderr
    simulation.wait(within_seconds=60)
    settings = {
        sites[0].property_id: Settings(session_gap_seconds=300),
        sites[1].property_id: Settings(slot_minutes=15),
    }
    agreement(stack, [simulation], sites, settings)
    assert _lineages(stack) == {"live-1"}
    assert stack.services()["stream"]["restarts"] == 0


def _command(stack: Stack, *options: str) -> list[str]:
    return [*tallymark("stream", "upgrade"), f"--data={stack.data}", *options]


def _upgrade(stack: Stack, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(stack, *options),
        capture_output=True,
        check=False,
        text=True,
        timeout=UPGRADE_SECONDS,
        env=stack.environment(),
    )


def _kill_an_upgrade_half_way(stack: Stack) -> None:
    """Both the command and the job that it started, as a loss of power would."""
    with subprocess.Popen(
        _command(stack), start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=stack.environment(),
    ) as command:  # fmt: skip
        eventually(
            lambda: bool(stack.note("stream-live-2")), within_seconds=60, what="the second job"
        )
        job = stack.note("stream-live-2")["pid"]
        time.sleep(1)
        command.kill()
        os.kill(job, signal.SIGKILL)


def _lineages(stack: Stack) -> set[str]:
    """Which the running job computes."""
    return {shard["lineage"] for shard in stack.note("stream")["shards"]}
