"""History replayed as a data engineer does it: through real webserver, daemon and code server."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from assets.hours import key_of
from cli.dagster_probes import query
from stores.archive.folder import FolderObjects
from stores.archive.raw import RawArchive
from stores.pointers import PointerStore
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.replays import hour_text
from tallymark.slots import DAY_US, HOUR_US, SESSION_ALIGNMENT_US
from tests.beam_pipelines import worlds

from .chromium import chromium, needs_chromium
from .stack import Stack, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

L = SESSION_ALIGNMENT_US
LAYERS = ("clean_hits", "sessions", "rollup_candidate", "published_rollups")
RUN_SECONDS = 180.0
RETRIED_SECONDS = 2 * RUN_SECONDS + 60
"""Two runs, and the daemon's pauses until it sees that the first is dead and starts the other."""


@pytest.fixture(name="midnight")
def _midnight(monkeypatch: pytest.MonkeyPatch) -> int:
    """The day before yesterday began then, UTC µs; recorded requests are of that day."""
    midnight = int(time.time() * 1e6) // DAY_US * DAY_US - 2 * DAY_US
    monkeypatch.setattr(worlds, "MIDNIGHT_US", midnight)
    return midnight


def record_a_day(stack: Stack) -> None:
    """Let the archive of a stack that is not up yet hold a day of visits to one shop."""
    site = stack.create_property("Old shop")
    blocks = worlds.request_blocks([site.measurement_id], requests=900)
    RawArchive(FolderObjects(stack.data / "archive")).write(blocks)


def serving(stack: Stack, hour_us: int) -> str | None:
    """The lineage that reports read of an hour."""
    rows = SqliteWideRows(stack.cells_path)
    try:
        return PointerStore(rows).held().document.pointers.lineage_at(hour_us)
    finally:
        rows.close()


def runs(stack: Stack) -> list[dict[str, Any]]:
    """Job, status and process tags of all runs, the newest first."""
    text = "{ runsOrError { ... on Runs { results { runId jobName status } } } }"
    found = query(stack.dagster_url, text)["runsOrError"]["results"]
    assert isinstance(found, list)
    return found


def backfill(stack: Stack, first_us: int, end_us: int) -> str:
    """Launch a backfill of all layers over a range, as the page does; its id."""
    hours = f'{{start: "{key_of(first_us)}", end: "{key_of(end_us - HOUR_US)}"}}'
    assets = ", ".join(
        f'{{assetKey: {{path: ["{name}"]}}, partitions: {{range: {hours}}}}}' for name in LAYERS
    )
    text = f"""mutation {{ launchPartitionBackfill(backfillParams: {{
        partitionsByAssets: [{assets}], fromFailure: false, allPartitions: false, tags: [],
        title: "Replay of a morning" }}) {{
        __typename ... on LaunchBackfillSuccess {{ backfillId }}
        ... on PythonError {{ message }} }} }}"""
    answer = query(stack.dagster_url, text)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return str(answer["backfillId"])


def shorten_session_gaps(stack: Stack, seconds: int) -> None:
    """Change the rules in force, as if they had always been so."""
    rules = stack.data / "rules" / "properties.json"
    document = json.loads(rules.read_text())
    for owner in document["properties"]:
        for version in owner["versions"]:
            version["session_gap_seconds"] = seconds
    rules.write_text(json.dumps(document))


def wait_for(stack: Stack, backfill_id: str, status: str) -> None:
    """Until a backfill has ended so."""
    eventually(
        lambda: status_of(stack, backfill_id) == status,
        within_seconds=RUN_SECONDS,
        what=f"the backfill {backfill_id} {status}",
    )


def status_of(stack: Stack, backfill_id: str) -> str:
    """Of a backfill."""
    text = f'{{ partitionBackfillOrError(backfillId: "{backfill_id}") {{ __typename ... on \
PartitionBackfill {{ status }} }} }}'
    return str(query(stack.dagster_url, text)["partitionBackfillOrError"]["status"])


def test_sealed_hours_are_served_by_themselves_and_a_backfill_replaces_them(
    tmp_path: Path, midnight: int
) -> None:
    stack = Stack(tmp_path / "stack", "--flush-seconds=1", dagster=True)
    record_a_day(stack)
    stack.start()
    try:
        eventually(
            lambda: {serving(stack, midnight + block * L) for block in range(-1, 5)} == {"gen-0"},
            within_seconds=RUN_SECONDS,
            what="all hours that a session window joins to the morning, sealed",
        )
        assert serving(stack, midnight + 2 * DAY_US) == "live-1"

        started = backfill(stack, midnight + L, midnight + 2 * L)
        wait_for(stack, started, "COMPLETED_SUCCESS")
        assert serving(stack, midnight + L) == serving(stack, midnight + 4 * L - 1) == "gen-1"
        assert serving(stack, midnight + 4 * L) != "gen-1"
        stack.stop()
    finally:
        stack.kill()


@pytest.mark.browser
@needs_chromium
def test_the_page_shows_the_flow_a_backfill_and_what_a_check_found(
    tmp_path: Path, midnight: int
) -> None:
    stack = Stack(tmp_path / "stack", "--flush-seconds=1", "--no-sealing", dagster=True)
    record_a_day(stack)
    stack.start()
    try:
        started = backfill(stack, midnight + L, midnight + 2 * L)
        wait_for(stack, started, "COMPLETED_SUCCESS")
        shorten_session_gaps(stack, 300)
        wait_for(stack, backfill(stack, midnight + L, midnight + 2 * L), "COMPLETED_FAILED")
        assert serving(stack, midnight + L) == "gen-1"
        with chromium(tmp_path / "profile", window="1600,1000") as browser:
            for name, path, texts in (
                ("flow", "/asset-groups", ("raw_hits", *LAYERS)),
                ("backfill", f"/runs/b/{started}", ("Succeeded", *LAYERS)),
                ("check", "/assets/rollup_candidate?view=checks&checkDetail=conservation",
                 ("conservation", "add up")),
                ("failed check", "/assets/rollup_candidate?view=checks&checkDetail="
                 "change_within_bounds", ("Failed", "of property", "change by more than 20%")),
                ("hour", f"/assets/published_rollups?view=partitions&partition="
                 f"{key_of(midnight + L).replace(':', '%3A')}", ("lineage", "gen-1")),
            ):  # fmt: skip
                browser.get(f"{stack.dagster_url}{path}")
                for text in texts:
                    shows(browser, text)
                browser.save_screenshot(str(tmp_path / f"{name}.png"))
        stack.stop()
    finally:
        stack.kill()


def shows(browser: webdriver.Chrome, text: str) -> None:
    """Wait for a text on the page."""
    body = (By.TAG_NAME, "body")
    eventually(
        lambda: text in browser.find_element(*body).text, within_seconds=30, what=f"{text!r} shown"
    )


def test_a_run_that_lost_its_process_is_run_again_and_nothing_stays_behind(
    tmp_path: Path, midnight: int
) -> None:
    stack = Stack(tmp_path / "stack", "--flush-seconds=1", "--no-sealing", dagster=True)
    record_a_day(stack)
    stack.start()
    try:
        started = backfill(stack, midnight + L, midnight + 2 * L)
        eventually(
            lambda: bool(replaying(stack)), within_seconds=RUN_SECONDS, what="a replay's process"
        )
        os.kill(stack.pid("dagster-code"), signal.SIGKILL)
        eventually(
            lambda: status_of(stack, started) == "COMPLETED_SUCCESS",
            within_seconds=RETRIED_SECONDS,
            what="the backfill, run again",
        )
        assert serving(stack, midnight + L) == "gen-1"

        backfill(stack, midnight + L, midnight + 2 * L)
        eventually(
            lambda: bool(replaying(stack)), within_seconds=RUN_SECONDS, what="a replay's process"
        )
        family = [pid for pids in stack.pids().values() for pid in pids]
        stack.stop()
        assert not [pid for pid in family if psutil.pid_exists(pid)]
    finally:
        stack.kill()


def replaying(stack: Stack) -> list[int]:
    """Processes of replays under way."""
    found = []
    for pid in stack.pids().get("dagster-code", []):
        try:
            if "beam_pipelines.replay" in psutil.Process(pid).cmdline():
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_replay_that_was_asked_for_by_command_is_published_for_its_property(
    tmp_path: Path, midnight: int
) -> None:
    stack = Stack(tmp_path / "stack", "--flush-seconds=1", "--no-sealing", dagster=True)
    record_a_day(stack)
    [owner] = json.loads((stack.data / "rules" / "properties.json").read_text())["properties"]
    hours = f"{hour_text(midnight + L)[:-1]}..{hour_text(midnight + 2 * L)[:-1]}"
    of_it = ("--property", str(owner["property_id"]), "--config-url", stack.config_url)
    key = ("--key-file", str(stack.data / "rules" / "owner_key"), "--json")
    stack.start()
    try:
        stack.run("rules", "replay", hours, "--publish", *of_it, *key)

        def states() -> set[str]:
            listed = stack.run("rules", "replays", *of_it, *key).stdout.splitlines()
            return {json.loads(line)["state"] for line in listed}

        eventually(
            lambda: states() == {"published"},
            within_seconds=RUN_SECONDS + 60,
            what="the replay that was asked for, published",
        )
        rows = SqliteWideRows(stack.cells_path)
        try:
            own = PointerStore(rows).held(owner["property_id"]).document.pointers
        finally:
            rows.close()
        assert own.lineage_at(midnight + L) == "gen-1"
        assert serving(stack, midnight + L) != "gen-1"
        stack.stop()
    finally:
        stack.kill()
