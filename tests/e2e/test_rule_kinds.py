"""Rules of every kind, saved in each of the three ways: what they do to hits that are streamed, and
to the same hits counted again from the archive.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from beam_pipelines.replay import replay
from beam_pipelines.replay_request import ReplayRequest
from stores.clock import ScaledClock
from tallymark.rule_documents import Rules
from tests.config_api.rules_page import RulesPage

from .cells_reader import LAYOUTS, Cells, read_cells
from .chromium import chromium, needs_chromium
from .oracle import differences
from .rule_kinds import BROWSER, RULE_KINDS, SHOWN_ELSEWHERE, Rows
from .stack import Stack, eventually, running

pytestmark = [pytest.mark.slow, pytest.mark.browser, needs_chromium, pytest.mark.timeout(900)]

SPEED = 900
BEGINS = datetime(2026, 3, 1, tzinfo=UTC)
REPORTED = {"startDate": "2026-02-28", "endDate": "2026-03-31"}
HOUR_US = 3_600_000_000
ALIGNMENT_US = 4 * HOUR_US
"""New settings of sessions hold from the next multiple of this on."""
SEALED_US = 12 * HOUR_US
"""After its end a range can be replayed, once this is archived."""
LATER_SECONDS = 70 * 60
WAYS = ("api", "command", "page")
PLAIN = "no rules"


@dataclass(frozen=True)
class Owner:
    """A property without rules of its own, or whose rules of a kind were saved in some way."""

    kind: str
    way: str
    name: str
    measurement_id: str

    @property
    def property_id(self) -> int:
        return int(self.name.removeprefix("properties/"))

    def rows(self, received_at: datetime) -> Rows | None:
        """What the report of its kind has to tell."""
        kind = RULE_KINDS[self.kind]
        rows = kind.before if self.way == PLAIN else kind.after
        return rows(received_at) if callable(rows) else rows


class Service:
    """The services of a stack, asked with the first owner's key."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.owner_key = (stack.data / "rules" / "owner_key").read_text().strip()
        self.account = self.config("GET", "/v1/accounts")["accounts"][0]["name"]
        key = {"display_name": "Reports", "scopes": ["read"], "parent": self.account}
        self._read_key = self.config("POST", "/v1/keys", key)["secret"]

    def config(self, method: str, path: str, body: object = None) -> Any:
        """What the configuration service answers."""
        headers = {"Authorization": f"Bearer {self.owner_key}"}
        url = self.stack.config_url + path
        answer = httpx.request(method, url, headers=headers, json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def owner(self, kind: str, way: str) -> Owner:
        """A new property with a data stream."""
        sent = {"parent": self.account, "display_name": f"{kind} by {way}"}
        name = self.config("POST", "/v1/properties", sent)["name"]
        stream = self.config("POST", f"/v1/{name}/dataStreams", {"display_name": "Site"})
        return Owner(kind, way, name, stream["measurement_id"])

    def report(self, owner: Owner) -> Rows | None:
        """What the report of its kind tells; None where it is refused."""
        kind = RULE_KINDS[owner.kind]
        answer = httpx.post(
            f"{self.stack.report_url}/v1beta/{owner.name}:runReport",
            headers={"Authorization": f"Bearer {self._read_key}"},
            json={
                "dateRanges": [REPORTED],
                "dimensions": [{"name": name} for name in kind.dimensions],
                "metrics": [{"name": name} for name in kind.metrics],
            },
            timeout=30,
        )
        if answer.status_code == 400:
            return None
        assert answer.status_code == 200, answer.text
        return {
            tuple(value["value"] for value in row.get("dimensionValues", [])): tuple(
                float(value["value"]) for value in row["metricValues"]
            )
            for row in answer.json().get("rows", [])
        }


def test_every_part_of_a_rules_document_has_a_row_in_the_table() -> None:
    shown = {part for kind in RULE_KINDS.values() for part in kind.rules}
    assert Rules.model_fields.keys() - shown == SHOWN_ELSEWHERE


def test_rules_of_every_kind_do_the_same_however_they_are_saved_and_counted(
    tmp_path: Path,
) -> None:
    now_us = time.time_ns() // 1_000
    clock = ScaledClock(shown_us=int(BEGINS.timestamp() * 1e6), at_us=now_us, speed=SPEED)
    options = ("--flush-seconds=1", "--trusted-proxy=127.0.0.0/8")
    with running(tmp_path / "stack", *options, clock=clock) as stack:
        service = Service(stack)
        owners = [service.owner(kind, way) for kind in RULE_KINDS for way in (PLAIN, *WAYS)]
        _save(service, owners, tmp_path)
        _wait_until_in_force(service, owners, clock)
        _send(stack, clock, owners)
        received = _received(stack, len(_requests(owners)))
        expected = {owner: owner.rows(received[owner.measurement_id]) for owner in owners}

        def is_shown() -> bool:
            return all(service.report(owner) == rows for owner, rows in expected.items())

        try:
            eventually(is_shown, within_seconds=60, what="reports", pause_seconds=2)
        except AssertionError:
            shown = {owner: service.report(owner) for owner in owners}
            assert {o: rows for o, rows in shown.items() if rows != expected[o]} == {}
            raise
        _sleep_until(clock, _span(stack)[1] + SEALED_US)
    streamed = read_cells(stack.cells_path, "live-1")
    replayed = _replayed(stack, owners)
    assert differences(streamed, replayed) == []
    counted = {
        owner.property_id
        for owner in owners
        if owner.way == PLAIN or RULE_KINDS[owner.kind].after != {}
    }
    assert {slot[0] for slot in replayed["totals"]} == counted


def _save(service: Service, owners: list[Owner], folder: Path) -> None:
    """The rules of each owner in its way."""
    by_way = {way: [owner for owner in owners if owner.way == way] for way in WAYS}
    for owner in by_way["api"]:
        document = {"document": RULE_KINDS[owner.kind].rules}
        service.config("PUT", f"/v1/{owner.name}/rules", document)
    with ThreadPoolExecutor(2) as commands, chromium(folder / "profile") as browser:
        applied = [commands.submit(_apply, service.stack, each) for each in by_way["command"]]
        page = RulesPage(browser)
        page.open(service.stack.config_url, service.owner_key)
        for owner in by_way["page"]:
            page.choose(owner.name)
            page.saves(RULE_KINDS[owner.kind].rules)
        for each in applied:
            each.result()


def _apply(stack: Stack, owner: Owner) -> None:
    file = stack.folder / f"{owner.measurement_id}.json"
    file.write_text(json.dumps(RULE_KINDS[owner.kind].rules))
    to = f"--property={owner.measurement_id}"
    done = stack.run("rules", "apply", str(file), to, "--yes")
    assert done.returncode == 0, done.stderr


def _wait_until_in_force(service: Service, owners: list[Owner], clock: ScaledClock) -> None:
    """Settings of sessions take effect at the next multiple of four hours."""
    documents: dict[str, list[Any]] = {}
    latest = 0
    for owner in owners:
        version = service.config("GET", f"/v1/{owner.name}/rules")
        assert version["version"] == (1 if owner.way == PLAIN else 2)
        if owner.way != PLAIN:
            latest = max(latest, version["effective_at"])
            documents.setdefault(owner.kind, []).append(version["document"])
    for kind, said in documents.items():
        assert said[1:] == said[:-1], f"{kind}: other rules by another way"
    begins_us = -(-latest // ALIGNMENT_US) * ALIGNMENT_US + HOUR_US // 10
    _sleep_until(clock, begins_us)


def _sleep_until(clock: ScaledClock, shown_us: int) -> None:
    time.sleep(max(0.0, (shown_us - clock.utc_us()) / 1e6 / SPEED))


def _span(stack: Stack) -> tuple[int, int]:
    """The hours that hold hits, aligned as those of a replay."""
    starts = [slot[1] for slot in read_cells(stack.cells_path, "live-1")["totals"]]
    return (
        min(starts) // ALIGNMENT_US * ALIGNMENT_US,
        (max(starts) // ALIGNMENT_US + 1) * ALIGNMENT_US,
    )


def _requests(owners: list[Owner]) -> list[tuple[Owner, Any]]:
    return [(owner, sent) for owner in owners for sent in RULE_KINDS[owner.kind].sent]


def _send(stack: Stack, clock: ScaledClock, owners: list[Owner]) -> None:
    """All hits, those of a property soon after one another, but for those that come later."""
    with httpx.Client(base_url=stack.collector_url, timeout=30) as client:
        for is_later in (False, True):
            for owner, sent in _requests(owners):
                if sent.is_later == is_later:
                    url = f"/g/collect?{sent.query(owner.measurement_id)}"
                    headers = {"User-Agent": BROWSER, **sent.headers}
                    assert client.post(url, headers=headers).status_code == 204
            if not is_later:
                time.sleep(LATER_SECONDS / SPEED)


def _received(stack: Stack, count: int) -> dict[str, datetime]:
    """When the first hit of each measurement id was received, once ``count`` are archived."""
    files = str(stack.data / "archive" / "raw" / "**" / "*.parquet")
    query = "SELECT DISTINCT request_id, received_at, query FROM read_parquet(?)"
    found: list[Any] = []

    def is_there() -> bool:
        try:
            found[:] = duckdb.execute(query, [files]).fetchall()
        except duckdb.IOException:  # no file yet
            return False
        return len(found) == count

    eventually(is_there, within_seconds=90, what="all is archived", pause_seconds=1)
    first: dict[str, datetime] = {}
    for _, received_at, sent in sorted(found, key=lambda row: int(row[1])):
        measurement_id = dict(part.split("=") for part in sent.split("&"))["tid"]
        first.setdefault(measurement_id, datetime.fromtimestamp(received_at / 1e6, UTC))
    return first


def _replayed(stack: Stack, owners: list[Owner]) -> Cells:
    """The cells that a replay makes of the archive alone."""
    start_us, end_us = _span(stack)
    archive = stack.data / "archive"
    replay(
        ReplayRequest(
            lineage="gen-7",
            start_us=start_us,
            end_us=end_us,
            archive_url=f"file:{archive}",
            wide_rows_url=f"sqlite:{stack.cells_path}",
            rules_path=str(stack.data / "rules" / "properties.json"),
        )
    )
    mine = {owner.property_id for owner in owners}
    cells = read_cells(stack.cells_path, "gen-7")
    return {
        rollup: {slot: rows for slot, rows in cells[rollup].items() if slot[0] in mine}
        for rollup in LAYOUTS
    }
