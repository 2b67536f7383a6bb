"""A day that was streamed, computed again from the raw archive alone: the same bytes.

The day holds what may happen to hits: they come out of order, twice, in blocks that are shipped
twice, late; properties have other time zones and gaps, and one changes its rules at noon.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.data_folder import DataFolder
from stores.announcements import Announcements
from stores.archive.opening import open_objects
from stores.archive.raw import RawArchive
from stores.bus.port import HITS_TOPIC
from stores.bus.pubsub import BusAddress, PubSubPublisher
from stores.clock import ScaledClock
from stores.wide_rows.opening import open_wide_rows

from .agreement import agreement
from .balancer import Balancer, balancing
from .cells_reader import Cells, Stored, read_cells, stored_cells
from .oracle import Change, OracleHit, Settings, differences, expected_cells
from .stack import Simulation, Site, Stack, eventually, running, tallymark

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_500)]

SPEED = 900
HOUR_US = 3_600_000_000
ALIGNMENT_US = 4 * HOUR_US
HOURS = 24
PLAYED_HOURS = HOURS + 0.5
SEALED_HOURS = HOURS + 18
"""A range is sealed when the last hour that shares a window with it is."""
CELLS_A_ROLLUP = 200
DAY_RATE, BALANCED_RATE, BURST_RATE = 0.15, 0.02, 0.1
"""Hits a second of the clock."""
ON_TIME_HOURS, LATE_HOURS = 0.3, 9
CHANGED, COPIED, LATE = "Reykjavik", "Darwin", "Auckland"
PROPERTIES = {
    "World": ("UTC", 1_800, 60),
    "Manhattan": ("America/New_York", 14_400, 60),
    "Bengaluru": ("Asia/Kolkata", 300, 30),
    "Kathmandu": ("Asia/Kathmandu", 3_600, 15),
    COPIED: ("Australia/Darwin", 1_800, 30),
    CHANGED: ("Atlantic/Reykjavik", 3_600, 60),
    LATE: ("Pacific/Auckland", 1_800, 60),
}
NEW_RULES = {
    "time_zone": "Asia/Kolkata", "session_gap_seconds": 300, "engagement_threshold_seconds": 30,
    "attribution_lookback_days": 1, "key_events": ["purchase", "add_to_cart"],
}  # fmt: skip
NEW_SETTINGS = Settings(
    slot_minutes=30, session_gap_seconds=300, engagement_threshold_ms=30_000,
    attribution_lookback_days=1, key_events=("purchase", "add_to_cart"),
)  # fmt: skip


@dataclass
class Day:
    """A stack, the properties that are visited, and the day: 24 hours from ``start_us`` on."""

    stack: Stack
    clock: ScaledClock
    sites: dict[str, Site]
    settings: dict[int, Settings]
    start_us: int

    @property
    def hours(self) -> range:
        """Its instants, UTC µs."""
        return range(self.start_us, self.start_us + HOURS * HOUR_US)

    def hour(self, number: int) -> str:
        """An hour of the day, numbered from 0, as commands take it."""
        at = datetime.fromtimestamp((self.start_us + number * HOUR_US) / 1e6, UTC)
        return at.strftime("%Y-%m-%dT%H")

    def command(self, first: int, end: int, *options: str) -> list[str]:
        """``tallymark replay`` of hours of the day."""
        hours = f"{self.hour(first)}..{self.hour(end)}"
        return [*tallymark("replay"), hours, f"--data={self.stack.data}", *options]

    def replay(self, first: int, end: int, *options: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.command(first, end, *options), capture_output=True, check=False, text=True,
            timeout=600,
        )  # fmt: skip

    def replayed(self, first: int, end: int, *options: str) -> dict[str, Any]:
        """The outcome of a replay that has to succeed."""
        done = self.replay(first, end, "--json", *options)
        assert done.returncode == 0, done.stderr
        outcome = json.loads(done.stdout)
        assert isinstance(outcome, dict)
        return outcome

    def left_seconds(self, hour: float) -> float:
        """Of the clock, until an hour of the day."""
        return max(0.0, (self.start_us + hour * HOUR_US - self.clock.utc_us()) / 1e6)

    def wait_until(self, hour: float) -> None:
        """Sleep."""
        time.sleep(self.left_seconds(hour) / SPEED)

    def owner_of(self, name: tuple[bytes, str, bytes]) -> int:
        """Whose a stored cell is."""
        return int(name[0].split(b"#")[1])


def test_streamed_cells_equal_those_replayed_from_the_archive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _day(tmp_path / "stack") as day:
        plays, copies = _play(day)
        agreed = agreement(day.stack, plays, list(day.sites.values()), day.settings)
        _ship_again(day)
        _let_the_night_pass(day)
    streamed = _stored(day, "live-1")
    announced = _announced(day)

    _replay_killed_half_way(day)
    whole = day.replayed(0, HOURS, "--rules=as-received", "--publish")

    late = [hit for hit in agreed.truth.hits if not hit.counts_live]
    assert (whole["late"], whole["too old"], whole["dead letters"]) == (len(late), 0, 0)
    assert whole["duplicates"] >= copies > 0
    again = _stored(day, whole["lineage"])
    differing = {name for name, value in streamed.items() if again.get(name) != value}
    told = Counter(_rollup(name) for name in streamed if name[1] == "n" and not _is_touch(name))
    with capsys.disabled():
        sys.stdout.write(
            f" {len(streamed):,} stored values of {sum(told.values()):,} cells compared, "
            f"{len(differing)} values differ by {len(late)} late hits: {dict(told)} "
        )
    _holds_what_may_happen(day, agreed.truth.hits)
    assert min(told.values()) >= CELLS_A_ROLLUP
    # What was on time is the same to the byte; what was not was announced, and is mended.
    assert differing
    assert {
        (day.owner_of(name), _slot(name) // HOUR_US * HOUR_US) for name in differing
    } <= announced
    assert {owner for owner, _ in announced} == {hit.property_id for hit in late}
    assert day.sites[LATE].property_id in {hit.property_id for hit in late}
    expected = expected_cells(agreed.truth.hits, day.settings, live=False)
    mended = read_cells(day.stack.cells_path, whole["lineage"])
    assert differences(_within(day, expected), _within(day, mended)) == []
    assert not _announced(day)

    _overlapping_ranges_run_twice_are_the_same(day, again)


@contextmanager
def _day(folder: Path) -> Iterator[Day]:
    """A stack whose clock begins the day as soon as its properties are made."""
    begins = datetime(2026, 3, 1, tzinfo=UTC)
    clock = ScaledClock(shown_us=_us(begins), at_us=time.time_ns() // 1_000, speed=SPEED)
    options = ("--collector-workers=2", "--trusted-proxy=127.0.0.0/8")
    with running(folder, *options, clock=clock) as stack:
        sites, settings = {}, {}
        for name, (zone, gap_seconds, slot_minutes) in PROPERTIES.items():
            sites[name] = stack.create_property(
                name, time_zone=zone, session_gap_seconds=gap_seconds
            )
            settings[sites[name].property_id] = Settings(
                slot_minutes=slot_minutes, session_gap_seconds=gap_seconds
            )
        # Visits go on for some hours before, so that sessions reach over the beginning.
        start_us = (clock.utc_us() // ALIGNMENT_US + 2) * ALIGNMENT_US
        yield Day(stack, clock, sites, settings, start_us)


def _play(day: Day) -> tuple[list[Simulation], int]:
    """A day of visits and what may happen to hits; also how many requests were run twice."""
    stack, sites = day.stack, list(day.sites.values())
    balancer = Balancer(stack.collector_url, day.clock, nth=4)
    duration = f"--duration={day.left_seconds(PLAYED_HOURS):.0f}"
    with balancing(balancer) as url:
        plays = [
            stack.simulate(
                sites, "day", "--seed=71", f"--rate={DAY_RATE}", "--returning-share=0.5", duration
            ),
            stack.simulate(
                [day.sites[COPIED]], "balanced", "--seed=72", f"--rate={BALANCED_RATE}", duration,
                f"--to={url}",
            ),
        ]  # fmt: skip
        day.wait_until(5)
        plays.append(_burst(day, sites, "on-time", ON_TIME_HOURS, seed=73))
        _change_rules(day, effective_at=day.start_us + 10 * HOUR_US + HOUR_US // 2)
        day.wait_until(13)
        plays.append(_burst(day, [day.sites[LATE]], "late", LATE_HOURS, seed=74))
        for play in plays:
            play.wait(within_seconds=4 * PLAYED_HOURS * 3_600 / SPEED)
    return plays, balancer.copies


def _burst(day: Day, sites: list[Site], name: str, hours: float, *, seed: int) -> Simulation:
    """Visits that servers tell, not in the order in which they happened, dated back by up to so
    many hours."""
    return day.stack.simulate(
        sites, name, f"--seed={seed}", f"--rate={BURST_RATE}", "--visits=30",
        f"--history-hours={hours}",
    )  # fmt: skip


def _change_rules(day: Day, effective_at: int) -> None:
    """Save another version of a property's rules while its hits come in."""
    owner_id = day.sites[CHANGED].property_id
    path = day.stack.data / "rules" / "properties.json"
    document = json.loads(path.read_text())
    assert day.clock.utc_us() < effective_at, "the rules are to be known before they hold"
    for owner in document["properties"]:
        if owner["property_id"] == owner_id:
            version = owner["versions"][-1] | NEW_RULES
            owner["versions"].append(version | {"version": 2, "effective_at": effective_at})
    written = path.with_suffix(".changed")
    written.write_text(json.dumps(document))
    written.replace(path)
    change = Change(effective_at=effective_at, settings=NEW_SETTINGS)
    day.settings[owner_id] = replace(day.settings[owner_id], change=change)


def _ship_again(day: Day) -> None:
    """Give the bus blocks of the day a second time, the last first."""
    archive = RawArchive(open_objects(DataFolder(day.stack.data).archive_url))
    blocks = [block for hour in archive.hours()[2::4] for block in archive.read_blocks(hour)]
    assert sum(block.requests for block in blocks) > 500
    bus = PubSubPublisher(BusAddress.parse(f"pubsub://127.0.0.1:{day.stack.pubsub_port}/tallymark"))
    for block in reversed(blocks):
        bus.publish(HITS_TOPIC, block.payload, block.attributes()).result(timeout=60)
    bus.close()


def _let_the_night_pass(day: Day) -> None:
    """Stop the stack and start it when the day is sealed: nobody has to wait for it."""
    day.stack.stop()
    sealed_us = day.start_us + SEALED_HOURS * HOUR_US
    day.stack.clock = ScaledClock(shown_us=sealed_us, at_us=time.time_ns() // 1_000, speed=1)
    day.stack.start()


def _holds_what_may_happen(day: Day, hits: list[OracleHit]) -> None:
    """See that the day held all that the test is about."""
    for site in day.sites.values():
        mine = [hit for hit in hits if hit.property_id == site.property_id]
        received = sorted(mine, key=lambda hit: (hit.received_at, hit.hit_id))
        happened = [hit.event_at for hit in received]
        assert happened != sorted(happened), "hits are to come out of order"
    within_d = [hit for hit in hits if hit.counts_live and hit.received_at > hit.event_at]
    assert any(hit.received_at - hit.event_at > HOUR_US // 6 for hit in within_d)
    change = day.settings[day.sites[CHANGED].property_id].change
    assert change is not None
    changed = [hit for hit in hits if hit.property_id == day.sites[CHANGED].property_id]
    assert any(hit.received_at < change.effective_at for hit in changed)
    assert any(change.effective_at <= hit.received_at < change.cut_at for hit in changed)
    assert any(hit.event_at > change.cut_at for hit in changed)


def _replay_killed_half_way(day: Day) -> None:
    """Killed as soon as it has written clean hits."""
    with subprocess.Popen(
        day.command(0, HOURS), start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as command:  # fmt: skip
        clean = day.stack.data / "archive" / "clean"
        eventually(
            lambda: any(clean.rglob("*.parquet")), within_seconds=120, what="clean hits",
            pause_seconds=0.05,
        )  # fmt: skip
        subprocess.run(["pkill", "-KILL", "-s", str(command.pid)], check=True)


def _overlapping_ranges_run_twice_are_the_same(day: Day, whole: Stored) -> None:
    """Ranges that share hours: they read clean hits that are served for the hours around them and
    decode their own anew. The first is computed once more, over what it has written."""
    first = day.replayed(0, 16)["lineage"]
    second = day.replayed(8, HOURS)["lineage"]
    _has_the_same(day, first, whole)
    _has_the_same(day, second, whole)
    folder = DataFolder(day.stack.data)
    again = subprocess.run(
        [sys.executable, "-m", "beam_pipelines.replay", f"--lineage={first}",
         f"--from={day.hour(0)}", f"--to={day.hour(16)}", f"--archive={folder.archive_url}",
         f"--wide-rows={folder.wide_rows_url}", f"--rules-file={folder.rules_path}"],
        capture_output=True, check=False, text=True, timeout=600,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout
    _has_the_same(day, first, whole)


def _has_the_same(day: Day, lineage: str, whole: Stored) -> None:
    """Both ranges recompute every hour of the day: those that share a window with them too."""
    again = _stored(day, lineage)
    assert {name: again.get(name) for name in whole} == whole


def _announced(day: Day) -> set[tuple[int, int]]:
    """The (property id, hour) of the day that are to be computed again."""
    announcements = Announcements(open_wide_rows(f"sqlite:{day.stack.cells_path}"))
    return set(announcements.outstanding(day.hours.start, day.hours.stop))


def _us(moment: datetime) -> int:
    return int(moment.timestamp() * 1e6)


def _within(day: Day, cells: Cells) -> Cells:
    return {
        rollup: {slot: rows for slot, rows in slots.items() if slot[1] in day.hours}
        for rollup, slots in cells.items()
    }


def _stored(day: Day, lineage: str) -> Stored:
    """The stored cells of a lineage of the day."""
    found = stored_cells(day.stack.cells_path, lineage)
    return {name: value for name, value in found.items() if _slot(name) in day.hours}


def _rollup(name: tuple[bytes, str, bytes]) -> str:
    return name[0].split(b"#")[2].decode()


def _is_touch(name: tuple[bytes, str, bytes]) -> bool:
    return b"#touches#" in name[0]


def _slot(name: tuple[bytes, str, bytes]) -> int:
    """Start of a cell's slot, or of the hour of touches, UTC µs."""
    if _is_touch(name):
        hour = datetime.strptime(name[2].decode(), "%Y%m%dT%H").replace(tzinfo=UTC)
        return int(hour.timestamp()) * 1_000_000
    return int.from_bytes(name[2][:8], "big")
