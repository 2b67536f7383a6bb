"""Twenty thousand hits through every process, and every number of every report checked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from .agreement import Agreement, agreement
from .oracle import Settings
from .reports import REPORTS, answer_differences, ask, expected_answer
from .stack import Simulation, Site, Stack, eventually, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROPERTIES = {
    "World": ("UTC", 1_800, 60),
    "Manhattan": ("America/New_York", 14_400, 60),
    "Bengaluru": ("Asia/Kolkata", 300, 30),
}
"""Time zone, session gap in seconds, and the minutes of a slot that follow from the zone."""
WEB_HITS_PER_SECOND, WEB_SECONDS = 250, 60
SERVER_HITS_PER_SECOND, SERVER_SECONDS = 150, 40


@dataclass(frozen=True)
class Played:
    """A stack through which everything went, and what it should say."""

    stack: Stack
    sites: list[Site]
    agreed: Agreement


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Visits with browsers now, and visits of the last three hours told by servers."""
    folder: Path = tmp_path_factory.mktemp("counts")
    with running(folder / "stack", "--collector-workers=2") as stack:
        sites, settings = create_sites(stack)
        web = stack.simulate(
            sites, "web", "--seed=11", f"--rate={WEB_HITS_PER_SECOND}",
            f"--duration={WEB_SECONDS}",
        )  # fmt: skip
        server = stack.simulate(
            sites, "server", "--seed=12", f"--rate={SERVER_HITS_PER_SECOND}",
            f"--duration={SERVER_SECONDS}", "--history-hours=3", "--returning-share=0.6",
        )  # fmt: skip
        for simulation in (web, server):
            simulation.wait(within_seconds=4 * WEB_SECONDS)
        yield Played(stack, sites, agreement(stack, [web, server], sites, settings))


def create_sites(stack: Stack) -> tuple[list[Site], dict[int, Settings]]:
    """The properties, and what the oracle has to know of each."""
    sites, settings = [], {}
    for name, (zone, gap_seconds, slot_minutes) in PROPERTIES.items():
        site = stack.create_property(name, time_zone=zone, session_gap_seconds=gap_seconds)
        sites.append(site)
        settings[site.property_id] = Settings(
            slot_minutes=slot_minutes, session_gap_seconds=gap_seconds
        )
    return sites, settings


def test_every_accepted_request_is_archived_once_and_every_cell_is_right(played: Played) -> None:
    truth = played.agreed.truth

    assert truth.outcomes.keys() == {"accepted"}
    assert len(truth.hits) >= 20_000
    late = [hit for hit in truth.hits if not hit.counts_live]
    assert late, "the play is to hold late hits too"
    for rollup, slots in played.agreed.cells.items():
        # Nothing custom is counted of properties that define nothing.
        owners = () if rollup.startswith("custom") else played.sites
        assert {slot[0] for slot in slots} == {site.property_id for site in owners}, rollup


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: "-".join((report[0], *report[1])))
def test_googles_client_reads_the_same_numbers(
    played: Played, report: tuple[str, tuple[str, ...], tuple[str, ...]]
) -> None:
    for site, (zone, _, _) in zip(played.sites, PROPERTIES.values(), strict=True):
        expected = expected_answer(played.agreed.cells, site, ZoneInfo(zone), report)

        assert expected
        assert answer_differences(expected, ask(played.stack, site, report[1], report[2])) == []


def test_a_stack_that_was_stopped_and_started_says_the_same(played: Played) -> None:
    played.stack.stop()
    played.stack.start()
    site = played.sites[0]
    expected = expected_answer(played.agreed.cells, site, ZoneInfo("UTC"), REPORTS[1])

    eventually(
        lambda: bool(ask(played.stack, site, *REPORTS[1][1:])), within_seconds=10, what="an answer"
    )
    assert answer_differences(expected, ask(played.stack, site, *REPORTS[1][1:])) == []


def test_a_property_made_while_the_stack_runs_is_counted(played: Played) -> None:
    site = played.stack.create_property("Late comer")

    simulation: Simulation = played.stack.simulate([site], "late", "--rate=20", "--visits=5")
    simulation.wait(within_seconds=60)

    meant = sum(len(json.loads(line)["hits"]) for line in simulation.script_path.open())
    eventually(
        lambda: ask(played.stack, site, (), ("eventCount",)) == {(): (meant,)},
        within_seconds=30,
        what=f"{meant} hits of the new property in its report",
    )
