"""Rules that change under load: every hit is counted by the version in force when it came."""

import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from stores.clock import ScaledClock

from .stack import Site, Stack, eventually, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SPEED = 6
"""A version takes effect 35 s after it was saved: six seconds here."""
PAGES = ("/a", "/b")
SECOND = {
    "filters": [{"name": "b_pages", "when": {"field": "path", "is": "/b"}}],
    "rewrites": [{"kind": "rename_event", "from": "page_view", "to": "view"}],
    "key_events": ["view"],
}


def send(stack: Stack, site: Site, stopping: threading.Event) -> None:
    """Page views of both pages in turns, until told to stop."""
    with httpx.Client(base_url=stack.collector_url) as client:
        for number, page in zip(itertools.count(), itertools.cycle(PAGES), strict=False):
            if stopping.is_set():
                return
            query = {
                "v": "2", "tid": site.measurement_id, "cid": f"{number % 7}.1", "en": "page_view",
                "dl": f"https://shop.example.com{page}",
            }  # fmt: skip
            assert client.post("/g/collect", params=query).status_code == 204
            time.sleep(0.01)


def events_of(stack: Stack, site: Site) -> dict[str, tuple[int, int]]:
    """Events and key events by name, as the report API tells them."""
    answer = httpx.post(
        f"{stack.report_url}/v1beta/properties/{site.property_id}:runReport",
        headers={"Authorization": f"Bearer {site.read_key}"},
        json={
            "dateRanges": [{"startDate": "yesterday", "endDate": "today"}],
            "dimensions": [{"name": "eventName"}],
            "metrics": [{"name": "eventCount"}, {"name": "keyEvents"}],
        },
    )
    answer.raise_for_status()
    return {
        row["dimensionValues"][0]["value"]: tuple(int(x["value"]) for x in row["metricValues"])
        for row in answer.json().get("rows", [])
    }


def command(stack: Stack, site: Site, *words: str) -> list[dict[str, Any]]:
    """What a command about rules prints, a document a line."""
    done = stack.run("rules", *words, f"--property={site.measurement_id}", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def in_force(stack: Stack, version: dict[str, Any]) -> bool:
    assert stack.clock is not None
    return stack.clock.utc_us() > version["effective_at"] + 12_000_000


def test_each_hit_is_counted_by_the_rules_of_its_instant(tmp_path: Path) -> None:
    now_us = time.time_ns() // 1_000
    clock = ScaledClock(shown_us=now_us, at_us=now_us, speed=SPEED)
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(SECOND))
    with running(tmp_path / "stack", "--flush-seconds=1", clock=clock) as stack:
        site = stack.create_property("Ruled")
        stopping = threading.Event()
        sender = threading.Thread(target=send, args=(stack, site, stopping))
        sender.start()
        try:
            [*_, second] = command(stack, site, "apply", str(rules), "--yes")
            eventually(lambda: in_force(stack, second), within_seconds=60, what="version 2")
            # Nobody needs the service to count by rules that it has told of before.
            os.kill(stack.pid("config"), signal.SIGKILL)
            [*_, third] = command(stack, site, "rollback", "1", "--yes")
            eventually(lambda: in_force(stack, third), within_seconds=60, what="version 3")
        finally:
            stopping.set()
            sender.join()
        found: list[dict[str, tuple[int, int]]] = [{}]

        def settled() -> bool:
            time.sleep(2)
            found.append(events_of(stack, site))
            return found[-1] == found[-2] != {}

        eventually(settled, within_seconds=60, what="all is counted")
        versions = command(stack, site, "versions")
    expected = counted_by_hand(stack, versions)
    assert found[-1] == expected
    assert len(versions) == 3
    assert min(count for count, _ in expected.values()) > 100


def counted_by_hand(stack: Stack, versions: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """The same of what was recorded, by the version in force at each receipt."""
    archive = str(stack.data / "archive" / "raw" / "**" / "*.parquet")
    query = "SELECT DISTINCT request_id, received_at, query FROM read_parquet(?)"
    counts: Counter[str] = Counter()
    for _, received_at, sent in duckdb.execute(query, [archive]).fetchall():
        since = {v["version"]: v["effective_at"] or 0 for v in versions}
        version = max(number for number, at in since.items() if at <= received_at)
        if version != 2:
            counts["page_view"] += 1
        elif "%2Fb" not in sent:
            counts["view"] += 1
    return {name: (count, count if name == "view" else 0) for name, count in counts.items()}
