"""A day that was streamed, computed again from the raw archive alone: the same bytes."""

import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stores.clock import ScaledClock

from .agreement import agreement
from .oracle import Settings
from .stack import Simulation, Site, Stack, eventually, running, tallymark

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

SPEED = 600
DAY = datetime(2026, 3, 1, tzinfo=UTC)
HOUR_US = 3_600_000_000
BEFORE = timedelta(hours=8)
"""The stack starts so long before the day, of its clock: 48 seconds."""
PLAYED_UNTIL = DAY + timedelta(hours=24.5)
SEALED = DAY + timedelta(hours=24 + 17)
"""A range is sealed when the last hour that shares a window with it is."""
HITS_A_SECOND = 0.6
CELLS_A_ROLLUP = 200
PROPERTIES = {
    "World": ("UTC", 1_800, 60),
    "Manhattan": ("America/New_York", 14_400, 60),
    "Bengaluru": ("Asia/Kolkata", 300, 30),
    "Kathmandu": ("Asia/Kathmandu", 3_600, 15),
    "Darwin": ("Australia/Darwin", 1_800, 30),
}
Cells = dict[tuple[bytes, str, bytes], bytes]


def test_streamed_cells_equal_those_replayed_from_the_archive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = ScaledClock(shown_us=_us(DAY - BEFORE), at_us=time.time_ns() // 1_000, speed=SPEED)
    with running(tmp_path / "stack", "--collector-workers=2", clock=clock) as stack:
        sites, settings = _sites(stack)
        play = _play_a_day(stack, sites, clock)
        agreed = agreement(stack, [play], sites, settings)
        time.sleep(max(0.0, (_us(SEALED) - clock.utc_us()) / 1e6 / SPEED))
        eventually(
            lambda: _replay(stack, "--dry-run").returncode == 0,
            within_seconds=120,
            what="the day to be sealed",
            pause_seconds=3.0,
        )
        streamed = _cells(stack.cells_path, "live-1")

    _replay_killed_half_way(stack)
    first = _replayed(stack)
    second = _replayed(stack)

    assert first["late"] == sum(not hit.counts_live for hit in agreed.truth.hits) == 0
    day = range(_us(DAY), _us(DAY) + 24 * HOUR_US)
    wanted = {name: value for name, value in streamed.items() if _slot(name) in day}
    compared = Counter(name[0].split(b"#")[2].decode() for name in wanted if name[1] == "n")
    with capsys.disabled():
        sys.stdout.write(f" cells compared: {dict(compared)} ")
    assert min(compared.values()) >= CELLS_A_ROLLUP
    for outcome in (first, second):
        again = _cells(stack.cells_path, outcome["lineage"])
        assert {name: again.get(name) for name in wanted} == wanted


def _sites(stack: Stack) -> tuple[list[Site], dict[int, Settings]]:
    sites, settings = [], {}
    for name, (zone, gap_seconds, slot_minutes) in PROPERTIES.items():
        site = stack.create_property(name, time_zone=zone, session_gap_seconds=gap_seconds)
        sites.append(site)
        settings[site.property_id] = Settings(
            slot_minutes=slot_minutes, session_gap_seconds=gap_seconds
        )
    return sites, settings


def _play_a_day(stack: Stack, sites: list[Site], clock: ScaledClock) -> Simulation:
    left_seconds = (_us(PLAYED_UNTIL) - clock.utc_us()) / 1e6
    assert clock.utc_us() < _us(DAY), "the stack took too long to start: its day has begun"
    play = stack.simulate(
        sites, "day", "--seed=71", f"--rate={HITS_A_SECOND}", "--returning-share=0.5",
        f"--duration={left_seconds:.0f}",
    )  # fmt: skip
    play.wait(within_seconds=3 * left_seconds / SPEED)
    return play


def _us(moment: datetime) -> int:
    return int(moment.timestamp() * 1e6)


def _command(stack: Stack, *options: str) -> list[str]:
    day = DAY.strftime("%Y-%m-%d")
    return [*tallymark("replay"), day, f"--data={stack.data}", *options]


def _replay(stack: Stack, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(stack, *options), capture_output=True, check=False, text=True, timeout=600
    )


def _replayed(stack: Stack) -> dict[str, Any]:
    done = _replay(stack, "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert isinstance(outcome, dict)
    return outcome


def _replay_killed_half_way(stack: Stack) -> None:
    """Killed as soon as it has written clean hits."""
    with subprocess.Popen(
        _command(stack), start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as command:  # fmt: skip
        clean = stack.data / "archive" / "clean"
        eventually(
            lambda: any(clean.rglob("*.parquet")), within_seconds=120, what="clean hits",
            pause_seconds=0.05,
        )  # fmt: skip
        subprocess.run(["pkill", "-KILL", "-s", str(command.pid)], check=True)


def _cells(path: Path, lineage: str) -> Cells:
    """The cells of a lineage as they are stored, chunks apart from the slots they belong to."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        rows = connection.execute(
            "SELECT row_key, family, qualifier, value FROM cells WHERE row_key < CAST('~' AS BLOB)"
        ).fetchall()
    finally:
        connection.close()
    mine, of_touches = f"#{lineage}#".encode(), f"#{lineage}".encode()
    cells = {
        (key.replace(mine, b"#*#"), family, qualifier): value
        for key, family, qualifier, value in rows
        if mine in key
    }
    touches = {
        (key, family, qualifier.removesuffix(of_touches)): value
        for key, family, qualifier, value in rows
        if b"#touches#" in key and qualifier.endswith(of_touches) and value
    }
    return cells | touches


def _slot(name: tuple[bytes, str, bytes]) -> int:
    """Start of a cell's slot, or of the hour of touches, UTC µs."""
    if b"#touches#" in name[0]:
        hour = datetime.strptime(name[2].decode(), "%Y%m%dT%H").replace(tzinfo=UTC)
        return int(hour.timestamp()) * 1_000_000
    return int.from_bytes(name[2][:8], "big")
