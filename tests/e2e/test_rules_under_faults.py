"""Rules under faults: their service killed, its database locked, the stream cut off, under load."""

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from stores.announcements import RULES, Announcements
from stores.clock import ScaledClock
from stores.wide_rows.opening import open_wide_rows

from .ruled import (
    HOUR_US,
    Configuration,
    RuledLoad,
    configured,
    counted,
    document,
    hour_text,
    let_all_hours_be_sealed,
    ruled_by_hand,
)
from .stack import Site, Stack, eventually, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SPEED = 6
"""A version takes effect 35 s after it was saved: six seconds here; half a minute is five."""
HITS_PER_SECOND = 300.0
WAITS_SECONDS = 3.0
"""So long a save waits for the database that has not been refused, which takes ten seconds."""
Counts = dict[str, int]


def test_whatever_happens_to_the_rules_every_hit_ends_with_the_version_of_its_instant(
    tmp_path: Path,
) -> None:
    now_us = time.time_ns() // 1_000
    clock = ScaledClock(shown_us=now_us, at_us=now_us, speed=SPEED)
    options = ("--flush-seconds=1", "--follow-rules")
    with running(tmp_path / "stack", *options, clock=clock) as stack:
        changed, other = stack.create_property("Changed"), stack.create_property("Left alone")
        ids = [changed.measurement_id, other.measurement_id]
        with configured(stack.config_url, stack.data) as configuration:
            with RuledLoad(stack.collector_port, ids, HITS_PER_SECOND) as load:
                killed_while_it_saves(stack, configuration, changed)
                locked_while_it_saves(stack, configuration, changed)
                in_force(stack, configuration, changed)
                cut_off_while_rules_change(stack, configuration, changed)
                announced = announced_hours(stack, changed)
            wrong = settled(stack, changed, other)
            versions = {site.measurement_id: configuration.versions(site.property_id)
                        for site in (changed, other)}  # fmt: skip
        assert not load.answers.refused
        assert not load.answers.unknown
        stack.stop()
        by_hand = ruled_by_hand(stack.data / "archive", versions)
        expected = [
            {name: count for (one, name), count in counted(by_hand).items() if one == owner}
            for owner in ids
        ]
        assert len(by_hand) == len(load.answers.accepted) > 5_000
        assert wrong[1] == expected[1]
        assert wrong[0] != expected[0], "nothing came while the stream was cut off"
        let_all_hours_be_sealed(stack)
        mend(stack, changed, announced)
        stack.start()
        assert [events_of(stack, site) for site in (changed, other)] == expected


def killed_while_it_saves(stack: Stack, configuration: Configuration, site: Site) -> None:
    """What was answered is saved; what was not is saved whole or not at all."""
    saved: list[int] = []

    def save() -> None:
        with configured(stack.config_url, stack.data) as mine:
            try:
                for number in range(2, 40):
                    assert mine.save(site.property_id, number).status_code == 200
                    saved.append(number)
            except httpx.TransportError:
                return

    saving = threading.Thread(target=save)
    saving.start()
    eventually(lambda: len(saved) >= 3, within_seconds=30, what="saves", pause_seconds=0.001)
    os.kill(stack.pid("config"), signal.SIGKILL)
    saving.join(timeout=60)
    eventually(lambda: is_up(stack), within_seconds=60, what="the service is back")
    found = configuration.versions(site.property_id)
    newest = max(found)
    assert newest in (saved[-1], saved[-1] + 1)
    assert [*sorted(found)] == [*range(1, newest + 1)]
    for number in (saved[-1], newest):
        told = configuration.document(site.property_id, number)
        assert told["rewrites"] == document(number)["rewrites"]
        assert len(told["filters"]) == len(document(number)["filters"])


def locked_while_it_saves(stack: Stack, configuration: Configuration, site: Site) -> None:
    """A save is refused clearly or waits; who follows the rules is answered all along."""
    newest = max(configuration.versions(site.property_id))
    position = follow(stack, 0)["position"]
    answers: dict[str, httpx.Response] = {}

    def save(name: str) -> None:
        with configured(stack.config_url, stack.data) as mine:
            answers[name] = mine.save(site.property_id, newest + 1)

    first, second = (
        threading.Thread(target=save, args=(name,)) for name in ("is refused", "waits")
    )
    with locked(stack.data / "rules" / "config.sqlite"):
        first.start()
        while first.is_alive():
            asked = time.monotonic()
            assert follow(stack, 0)["position"] == position
            assert time.monotonic() - asked < 5, "who only reads waits for nobody's lock"
            time.sleep(0.5)
        second.start()
        time.sleep(WAITS_SECONDS)
    second.join(timeout=60)
    refused, waited = answers["is refused"], answers["waits"]
    assert refused.status_code == 503, refused.text
    assert refused.json()["error"]["status"] == "UNAVAILABLE"
    assert int(refused.headers["Retry-After"]) > 0
    assert waited.status_code == 200, waited.text
    assert max(configuration.versions(site.property_id)) == newest + 1
    assert follow(stack, 0)["position"] == position + 1


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else writes into the database."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def in_force(stack: Stack, configuration: Configuration, site: Site) -> None:
    """Hits are counted under the newest version."""
    newest = max(configuration.versions(site.property_id).values())
    eventually(
        lambda: counted_until(stack) > newest + 12_000_000
        and any(shard["hits"] for shard in stack.note("stream")["shards"]),
        within_seconds=120, what="hits counted under the newest version",
    )  # fmt: skip


def cut_off_while_rules_change(stack: Stack, configuration: Configuration, site: Site) -> None:
    """The service hangs; rules are changed beside it; the stream goes on, and is killed too."""
    newest = max(configuration.versions(site.property_id))
    rules = stack.folder / "changed.json"
    rules.write_text(json.dumps(document(newest + 1)))
    with hanging(stack, "config"):
        done = stack.run("rules", "apply", str(rules), f"--property={site.measurement_id}",
                         "--yes", "--json")  # fmt: skip
        assert done.returncode == 0, done.stderr
        effective_at = json.loads(done.stdout.splitlines()[-1])["effective_at"]
        eventually(
            lambda: counted_until(stack) > effective_at + 12_000_000,
            within_seconds=120, what="hits counted past the change",
        )  # fmt: skip
        assert stack.note("stream")["rules_cut_off_seconds"] > 0
        stream, until = stack.pid("stream"), counted_until(stack)
        os.kill(stream, signal.SIGKILL)
        eventually(
            lambda: stack.note("stream").get("pid") not in (None, stream)
            and counted_until(stack) > until,
            within_seconds=120, what="another stream that counts, cut off as well",
        )  # fmt: skip
        assert status(stack)["doubtful_hours"] > 0
    eventually(lambda: is_up(stack), within_seconds=60, what="the service answers again")


def counted_until(stack: Stack) -> int:
    """UTC µs of the clock through which all shards have counted; 0 while there are none."""
    shards = stack.note("stream").get("shards", [])
    return min((shard["clock"] for shard in shards), default=0) if len(shards) > 1 else 0


@contextmanager
def hanging(stack: Stack, service: str) -> Iterator[None]:
    """A service takes connections and answers nothing."""
    parent = psutil.Process(stack.pid(service))
    family = [parent, *parent.children(recursive=True)]
    for member in family:
        member.suspend()
    try:
        yield
    finally:
        for member in family:
            member.resume()


def announced_hours(stack: Stack, site: Site) -> list[int]:
    """The hours of the property that was changed are announced, and none of the other."""
    eventually(lambda: bool(announcements(stack)), within_seconds=120, what="announcements")
    eventually(
        lambda: status(stack)["doubtful_hours"] == 0, within_seconds=120, what="no more doubts"
    )
    found = announcements(stack)
    assert {owner for owner, _ in found} == {site.property_id}
    assert status(stack)["wrong_hours"] == len(found)
    assert "processed by rules that had changed" in status(stack)["text"]
    return sorted(hour for _, hour in found)


def announcements(stack: Stack) -> dict[tuple[int, int], set[bytes]]:
    assert stack.clock is not None
    told = Announcements(open_wide_rows(f"sqlite:{stack.cells_path}"), RULES)
    now_us = stack.clock.utc_us()
    return told.outstanding(now_us - 48 * HOUR_US, now_us + HOUR_US)


def status(stack: Stack) -> dict[str, Any]:
    rules: dict[str, Any] = json.loads(stack.run("status", "--json").stdout)["rules"]
    return rules


def mend(stack: Stack, site: Site, hours: list[int]) -> None:
    """Do what ``tallymark stale`` says."""
    [told] = stale(stack)
    assert (told["property"], told["open"]) == (site.property_id, False)
    first, end = told["hours"].split("..")
    assert all(first <= hour_text(hour) < end for hour in hours)
    _, *words = told["mend"].split()
    done = stack.run(*words, "--acknowledge")
    assert done.returncode == 0, done.stderr
    assert stale(stack) == []
    assert announcements(stack) == {}


def stale(stack: Stack) -> list[dict[str, Any]]:
    announced: list[dict[str, Any]] = json.loads(stack.run("stale", "--json").stdout)["announced"]
    return announced


def settled(stack: Stack, *sites: Site) -> list[Counts]:
    """What reports say of each once all is counted."""
    found: list[list[Counts]] = [[]]

    def is_settled() -> bool:
        time.sleep(2)
        found.append([events_of(stack, site) for site in sites])
        return found[-1] == found[-2] and all(found[-1])

    eventually(is_settled, within_seconds=90, what="all is counted")
    return found[-1]


def events_of(stack: Stack, site: Site) -> Counts:
    """Events by name, as the report API tells them."""
    answer = httpx.post(
        f"{stack.report_url}/v1beta/properties/{site.property_id}:runReport",
        headers={"Authorization": f"Bearer {site.read_key}"},
        json={
            "dateRanges": [{"startDate": "2daysAgo", "endDate": "today"}],
            "dimensions": [{"name": "eventName"}],
            "metrics": [{"name": "eventCount"}],
        },
        timeout=30,
    )
    answer.raise_for_status()
    return {
        row["dimensionValues"][0]["value"]: int(row["metricValues"][0]["value"])
        for row in answer.json().get("rows", [])
    }


def follow(stack: Stack, after: int) -> dict[str, Any]:
    """What the feed answers to a worker."""
    key = (stack.data / "rules" / "feed_key").read_text().strip()
    answer = httpx.get(
        f"{stack.config_url}/v1/changes", params={"after": after, "wait": 0},
        headers={"Authorization": f"Bearer {key}"}, timeout=30,
    )  # fmt: skip
    answer.raise_for_status()
    told: dict[str, Any] = answer.json()
    return told


def is_up(stack: Stack) -> bool:
    try:
        return httpx.get(f"{stack.config_url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
