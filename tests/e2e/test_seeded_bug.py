"""A wrong classification goes live, is found, mended, counted again, published and rolled back.

For hours of the stack's clock, code runs that takes every blog for a page of the own site, so that
visits which came from one count as direct, or for where the client came from before. Nobody who
reads reports meanwhile may see a failure, or an answer of which a part is right and a part wrong.

The stream in the mended code takes the hours over that hits may still change. Of clients who came
before what it has read it knows where they came from as it is served, from the wrong code: what
follows from that is announced once the replay is published, and mended by what is advised then.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise, product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from stores.clock import ScaledClock
from stores.lineages import LineageRegister
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.slots import first_whole_hour

from .cells_reader import LAYOUTS, Cells, read_cells
from .changes import between, expected_changes, together, told_changes, told_counts
from .deployed import Deployed
from .oracle import DAY_US, OracleHit, Settings, differences, expected_cells
from .reader import Question, Reader
from .reports import REPORTS, Answer, Report, expected_answer
from .stack import Simulation, Site, Stack, eventually, running
from .truth import truth_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

SPEED = 600
STARTS = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""What the clock shows when the stack is started: so long before the stream's upgrade that it does
not read the first visits again."""
LEAST_FIRST_DAY = timedelta(hours=4)
"""Of visits; where the stack is ready so late that fewer are left of the day, the next is first."""
NOTICED_AFTER = timedelta(hours=10)
"""The end of the first day, so that it is sealed when somebody sees that something is wrong."""
PLAYED_UNTIL = timedelta(hours=18)
"""After the end of the first day: beyond the takeover by the right code, on a machine at rest."""
HITS_A_SECOND = 0.15
RULES = "tallymark/enrichment/sources.py"
RIGHT = 'is_sent = (site != "") & (site != site_of(pl.col("host")))'
WRONG = (
    'is_sent = (site != "") & (site != site_of(pl.col("host"))) & ~site.str.starts_with("blog.")'
)
BLOG = "blog.example.org"
ZONES = {"Shop": "UTC", "Berlin": "Europe/Berlin", "The blog itself": "UTC"}
AFFECTED = {"acquisition", "first_user"}
"""The rollups that tell where visitors came from; no other one may differ."""
SHOWN = [report for report in REPORTS if report[0] in AFFECTED and "date" not in report[1]]


@dataclass
class World:
    """What runs, and what should be counted by either code."""

    stack: Stack
    code: Deployed
    clock: ScaledClock
    sites: dict[str, Site]
    settings: dict[int, Settings]
    visits: Simulation
    first_day: datetime
    heir_knows_from: int = -(2**62)
    """UTC µs since when the stream in the right code has read all hits itself."""

    @property
    def second_day(self) -> datetime:
        """When the first one ends."""
        return self.first_day + timedelta(days=1)

    def wait_until(self, moment: datetime) -> None:
        """Of the stack's clock."""
        time.sleep(max(0.0, (_us(moment) - self.clock.utc_us()) / 1e6 / SPEED))

    def cells(self) -> dict[str, Cells]:
        """What should be held of what was sent and archived until now, counted without the
        project's code: by either code, "wrong" and "right", and by the "heir" of the stream, to
        which clients' earlier sources were told as they were served."""
        truth = truth_of([self.visits], list(self.sites.values()), self.stack.data / "archive")
        own = self.sites["The blog itself"].property_id
        named = [_as_named(hit, drops=hit.property_id == own) for hit in truth.hits]
        told = [_as_named(hit, drops=hit.event_at < self.heir_knows_from) for hit in named]
        wrong = [_as_named(hit, drops=True) for hit in named]
        hits = {"wrong": wrong, "right": named, "heir": told}
        return {version: expected_cells(some, self.settings) for version, some in hits.items()}

    def told(self, *words: str) -> dict[str, Any]:
        """What a command says as JSON."""
        done = self.stack.run(*words, "--json")
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        document = json.loads(done.stdout)
        assert isinstance(document, dict)
        return document


def _as_named(hit: OracleHit, *, drops: bool) -> OracleHit:
    """The hit of a visit from the blog names it, unless the code, or the blog itself, drops it."""
    return replace(hit, source=None) if drops and hit.source and hit.source[0] == BLOG else hit


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    code = Deployed(tmp_path / "code")
    code.change(RULES, RIGHT, WRONG)
    clock = ScaledClock(shown_us=_us(STARTS), at_us=time.time_ns() // 1_000, speed=SPEED)
    with running(tmp_path / "stack", clock=clock, code=code.folder) as stack:
        sites = {name: stack.create_property(name, time_zone=zone) for name, zone in ZONES.items()}
        sites["The blog itself"] = replace(sites["The blog itself"], host=BLOG)
        settings = {site.property_id: Settings() for site in sites.values()}
        begun = datetime.fromtimestamp(clock.utc_us() / 1e6, UTC)
        first_day = (begun + LEAST_FIRST_DAY).replace(hour=0, minute=0, second=0, microsecond=0)
        played = first_day + timedelta(days=1) + PLAYED_UNTIL - begun
        visits = stack.simulate(
            list(sites.values()), "visits", "--seed=81", f"--rate={HITS_A_SECOND}",
            "--returning-share=0.5", f"--duration={played.total_seconds():.0f}",
        )  # fmt: skip
        yield World(stack, code, clock, sites, settings, visits, first_day)
        visits.stop()


def test_a_wrong_classification_is_mended_in_all_that_it_touched_and_nowhere_else(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = world.stack
    known = _answers_of_the_first_day(world)
    assert world.told("stale")["spans"] == []
    hourly = Question(
        world.sites["Shop"], ("dateHour", "sessionSource"), ("eventCount",),
        world.second_day.strftime("%Y-%m-%d"),
    )  # fmt: skip
    with Reader(stack, known, hourly) as reader:
        world.wait_until(world.second_day + NOTICED_AFTER)
        world.code.mend(RULES)
        _only_the_stream_is_stale(world, {False, True})
        done = stack.run("stream", "upgrade", "--why=blogs are other sites")
        assert done.returncode == 0, done.stderr
        heir = LineageRegister(SqliteWideRows(stack.cells_path), world.clock.utc_us).get("live-2")
        world.heir_knows_from = first_whole_hour(heir.reads_whole_from)
        [sealed] = _only_the_stream_is_stale(world, {False})
        edge = sealed["hours"].partition("..")[2]
        replayed = _replayed(world, sealed["mend"].split()[1:])
        name = replayed["lineage"]
        _names_exactly_what_was_touched(world, name, until=edge)
        world.visits.stop()  # whom the stream has met it does not ask after again
        _all_is_counted(world, edge)
        for words, version in (
            (("publish", name, "--why=blogs are other sites"), "right"),
            (("rollback", "--why=look once more"), "wrong"),
            (("publish", name), "right"),
        ):
            world.told(*words)
            _reads(reader, version)
    assert (reader.failures, reader.mixtures) == ([], [])
    for question in known:
        came = ["same"] if "same" in known[question] else ["wrong", "right", "wrong", "right"]
        assert reader.phases(question) == came, question
    _took_over_whole_hours(world, reader.grown, edge)
    mended = _mended(world)
    assert mended <= {str(world.sites[name].property_id) for name in ("Shop", "Berlin")}
    assert (world.told("stale")["spans"], world.told("stale")["announced"]) == ([], [])
    _all_that_is_served_is_right(world)
    answers = sum(map(len, reader.seen.values()))
    with capsys.disabled():
        sys.stdout.write(
            f" answers read: {answers}, replayed: {replayed['seconds']:.0f} s, mended after it: "
            f"hours of {len(mended)} properties "
        )


def _only_the_stream_is_stale(world: World, openness: set[bool]) -> list[dict[str, Any]]:
    """What ``tallymark stale`` names: hours of the stream in the wrong code, in order."""
    spans: list[dict[str, Any]] = world.told("stale")["spans"]
    assert {span["lineage"] for span in spans} == {"live-1"}
    assert {span["open"] for span in spans} == openness
    for before, after in pairwise(spans):
        assert before["hours"].partition("..")[2] == after["hours"].partition("..")[0]
    return spans


def _replayed(world: World, words: list[str]) -> dict[str, Any]:
    """Once the range is sealed, the replay that was advised."""

    def is_sealed() -> bool:
        done = world.stack.run(*words, "--dry-run")
        assert done.returncode == 0 or "sealed" in done.stderr, done.stderr
        return done.returncode == 0

    eventually(is_sealed, within_seconds=300, what="the range to be sealed", pause_seconds=3)
    return world.told(*words, "--why=blogs are other sites")


def _names_exactly_what_was_touched(world: World, name: str, *, until: str) -> None:
    """The comparison tells each row that differs, and no other, in all hours of the candidate;
    those before ``until`` are served from the wrong code, the others from the stream's heir."""
    first, last = (world.first_day + timedelta(days=days) for days in (-1, 4))
    told = world.told("diff", f"{first:%Y-%m-%d}..{last:%Y-%m-%d}", f"--candidate={name}")
    edges = [_us(_hour(edge)) for span in told["spans"] for edge in span]
    assert len(edges) == 2
    cells, until_us = world.cells(), _us(_hour(until))
    served = together(
        between(cells["wrong"], edges[0], until_us), between(cells["heir"], until_us, edges[1])
    )
    expected = expected_changes(served, between(cells["right"], *edges))
    touched = {world.sites[name].property_id for name in ("Shop", "Berlin")}
    assert {(one[0], one[1]) for one in expected} == set(product(touched, AFFECTED))
    assert {(one[0], one[1]) for one in expected if BLOG in one[2]} == set(
        product(touched, AFFECTED)
    )

    assert told_changes(told) == expected
    assert told_counts(told) == Counter((one[0], one[1], one[3]) for one in expected)
    assert [row for row in told["metrics"] if row["change"]] == told["hours"] == []
    assert [check["name"] for check in told["checks"] if not check["passed"]] == []


def _reads(reader: Reader, version: str) -> None:
    """Wait until every question that has several answers is answered with that version."""
    eventually(
        lambda: set(reader.newest()) - {"same"} == {version} or bool(reader.failures),
        within_seconds=60,
        what=f"answers that are {version}",
    )


def _took_over_whole_hours(world: World, answers: list[Answer], edge: str) -> None:
    """Visits from the blog are told of no hour, then of hours that the stream took over, from
    ``edge`` on, then of all hours, as it was published, rolled back and published again."""
    first = _hour(edge).strftime("%Y%m%d%H")
    acquisition = world.cells()["right"]["acquisition"]
    mended = {
        datetime.fromtimestamp(start / 1e6, UTC).strftime("%Y%m%d%H")
        for (owner, start, _), rows in acquisition.items()
        if owner == world.sites["Shop"].property_id and any(keys[0] == BLOG for keys in rows)
    }
    mended = {hour for hour in mended if f"{world.second_day:%Y%m%d}" <= hour < first}
    assert mended
    versions = []
    for answer in answers:
        named = {hour for hour, source in answer if source == BLOG}
        before = {hour for hour in named if hour < first}
        assert before in (set(), mended), (before, mended)
        versions.append("mended" if before else "taken over" if named else "wrong")
    came = [version for version, _ in groupby(versions)]
    assert came in (
        ["wrong", "taken over", "mended", "taken over", "mended"],
        ["wrong", "mended", "wrong", "mended"],  # no visits were left to be taken over
    )


def _all_is_counted(world: World, edge: str) -> None:
    """Nothing that was sent is on its way any more to the hours that the stream took over."""
    span = (_us(_hour(edge)), 2**62)

    def is_counted() -> bool:
        held = between(read_cells(world.stack.cells_path, "live-2"), *span)
        return not differences(between(world.cells()["heir"], *span), held)

    eventually(is_counted, within_seconds=120, what="all counted", pause_seconds=2)


def _mended(world: World) -> set[str]:
    """Do what is advised until nothing is announced; whose hours were mended."""
    owners = set()

    def is_done() -> bool:
        announced = world.told("stale")["announced"]
        for one in announced:
            if not one["open"]:
                world.told(*one["mend"].split()[1:], "--why=its clients came from elsewhere")
                owners.add(str(one["property"]))
                return False  # a replay answers what others would replay, too
        return not announced

    eventually(is_done, within_seconds=600, what="what was announced, mended", pause_seconds=3)
    return owners


def _all_that_is_served_is_right(world: World) -> None:
    """By the cells of the lineages that are said to serve, of all properties and of one."""
    told = world.stack.run("lineages", "--json")
    found: Cells = {rollup: {} for rollup in LAYOUTS}
    parts = []
    for row in map(json.loads, told.stdout.splitlines()):
        for served in row["serves"]:
            hours, _, owner = served.partition(" of ")
            start, _, end = hours.partition("..")
            span = (_us(_hour(start)) if start else -(2**62), _us(_hour(end)) if end else 2**62)
            parts.append((bool(owner), owner, row["name"], span))
    for _, owner, name, span in sorted(parts):  # what is served of one property comes last
        for rollup, slots in between(read_cells(world.stack.cells_path, name), *span).items():
            mine = {slot for slot in found[rollup] if span[0] <= slot[1] < span[1]}
            for slot in mine:
                if owner in ("", str(slot[0])):
                    del found[rollup][slot]
            found[rollup] |= {
                slot: rows for slot, rows in slots.items() if owner in ("", str(slot[0]))
            }
    assert differences(world.cells()["right"], found) == []


def _hour(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=UTC)


def _answers_of_the_first_day(world: World) -> dict[Question, dict[str, Answer]]:
    """What reports of the first day show by the wrong code, when all of it is there, and by the
    right one."""
    world.wait_until(world.second_day + timedelta(hours=2))  # sessions over midnight have ended
    start_us, end_us = _us(world.first_day) - DAY_US, _us(world.second_day)

    cells: dict[str, Cells] = {}

    def is_counted() -> bool:
        cells.update(world.cells())
        sides = (cells["wrong"], read_cells(world.stack.cells_path))
        return not differences(*(between(side, start_us, end_us) for side in sides))

    eventually(is_counted, within_seconds=300, what="the first day, counted", pause_seconds=2)
    questions = {
        Question(site, report[1], report[2], world.first_day.strftime("%Y-%m-%d")): {
            version: _of_a_day(some, site, ZoneInfo(ZONES[name]), report, world.first_day)
            for version, some in cells.items()
        }
        for name, site in world.sites.items()
        for report in SHOWN
    }
    for question, answers in questions.items():
        assert answers["right"]
        is_same = answers["right"] == answers["wrong"]
        assert is_same == (question.site.host == BLOG), question
        if is_same:
            questions[question] = {"same": answers["right"]}
    return questions


def _of_a_day(cells: Cells, site: Site, zone: ZoneInfo, report: Report, day: datetime) -> Answer:
    """The answer of a report over one local day."""
    rollup, dimensions, metrics = report
    dated = expected_answer(cells, site, zone, (rollup, ("date", *dimensions), metrics))
    return {keys[1:]: row for keys, row in dated.items() if keys[0] == day.strftime("%Y%m%d")}


def _us(moment: datetime) -> int:
    return int(moment.timestamp() * 1e6)
