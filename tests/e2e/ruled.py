"""Rules that change under load: saved over HTTP, and put by hand to what was recorded."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import duckdb
import httpx

from stores.archive.opening import open_objects
from stores.archive.raw import RawArchive
from stores.clock import ScaledClock
from tallymark.blocks import Block

from .stack import Stack
from .steady_load import SteadyLoad

HOUR_US = 3_600_000_000
PAGES = ("/a", "/b")
Versions = Mapping[str, Mapping[int, int]]
"""Of each measurement id the instants (UTC µs) at which its versions take effect, by number."""


def document(number: int) -> dict[str, Any]:
    """What a version says: every hit tells in its event's name which version it was processed with,
    unless it is of a page that even versions filter out."""
    filters = [{"name": "b_pages", "when": {"field": "path", "is": "/b"}}]
    return {
        "rewrites": [{"kind": "rename_event", "from": "page_view", "to": f"view_{number}"}],
        "filters": filters if number % 2 == 0 else [],
    }


class RuledLoad(SteadyLoad):
    """Page views of properties in turns, each of a client of its own.

    Args:
        port: Of the collector.
        measurement_ids: Of the properties.
        requests_per_second: In all.
    """

    def __init__(
        self, port: int, measurement_ids: Sequence[str], requests_per_second: float
    ) -> None:
        super().__init__(port, "", requests_per_second)
        self._measurement_ids = measurement_ids

    def _request(self, number: int) -> bytes:
        at, turn = number % len(self._measurement_ids), number // len(self._measurement_ids)
        target = (
            f"/g/collect?v=2&tid={self._measurement_ids[at]}&cid=load.{number}&en=page_view"
            f"&dl=https%3A%2F%2Fshop.example.com%2F{PAGES[turn % 2][1:]}"
        )
        return f"POST {target} HTTP/1.1\r\nHost: load\r\nContent-Length: 0\r\n\r\n".encode()


class Configuration:
    """The configuration service of a stack, asked in the name of its first owner.

    Args:
        url: Where it listens.
        data: The stack's data folder.
    """

    def __init__(self, url: str, data: Path) -> None:
        key = (data / "rules" / "owner_key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=60)

    def create(self, name: str) -> tuple[int, str]:
        """A property with a data stream: its id and its measurement id."""
        account = self._asked("GET", "/v1/accounts")["accounts"][0]["name"]
        made = self._asked("POST", "/v1/properties", {"parent": account, "display_name": name})
        streams = f"/v1/{made['name']}/dataStreams"
        stream = self._asked("POST", streams, {"display_name": name})
        return int(made["name"].split("/")[1]), stream["measurement_id"]

    def save(self, property_id: int, number: int) -> httpx.Response:
        """Save version ``number`` of a property's rules, made from the one before."""
        return self._client.put(
            f"/v1/properties/{property_id}/rules",
            json={"document": document(number)},
            headers={"If-Match": f'"{number - 1}"'},
        )

    def versions(self, property_id: int) -> dict[int, int]:
        """When each version takes effect (UTC µs); the first holds since ever."""
        told = self._asked("GET", f"/v1/properties/{property_id}/rules/versions")["versions"]
        return {row["version"]: row["effective_at"] or 0 for row in told}

    def document(self, property_id: int, number: int) -> dict[str, Any]:
        """What a version says, what it leaves at its default included."""
        found = self._asked("GET", f"/v1/properties/{property_id}/rules/versions/{number}")
        document: dict[str, Any] = found["document"]
        return document

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def _asked(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def configured(url: str, data: Path) -> Iterator[Configuration]:
    """The configuration service, for a while."""
    found = Configuration(url, data)
    try:
        yield found
    finally:
        found.close()


def let_all_hours_be_sealed(stack: Stack) -> list[int]:
    """Let a stack that has stopped live on, once all that it has received is sealed: of the
    collectors, whose spools are closed, one more has heard of nothing since.

    Returns:
        The received hours, UTC µs.
    """
    archive = RawArchive(open_objects(f"file:{stack.data / 'archive'}"))
    hours = archive.hours()
    idle = Block(
        spool_id="idle", number=1, kind="opening", requests=0, payload=b"", frontier=hours[0]
    )
    sealed_us = hours[-1] + 16 * HOUR_US
    archive.write([idle, replace(idle, number=2, kind="heartbeat", frontier=sealed_us)])
    stack.clock = ScaledClock(shown_us=sealed_us, at_us=time.time_ns() // 1_000, speed=1)
    return hours


def hour_text(instant_us: int) -> str:
    """An hour as commands take it."""
    return time.strftime("%Y-%m-%dT%H", time.gmtime(instant_us / 1e6))


class Ruled(NamedTuple):
    """What becomes of a request by the version in force when it was received."""

    measurement_id: str
    version: int
    event_name: str
    counts: bool


def ruled_by_hand(archive: Path, versions: Versions) -> dict[str, Ruled]:
    """Every recorded request, by id; each holds one hit."""
    query = "SELECT DISTINCT request_id, received_at, query FROM read_parquet(?)"
    rows = duckdb.execute(query, [str(archive / "raw" / "**" / "*.parquet")]).fetchall()
    return {one: _ruled(received_at, sent, versions) for one, received_at, sent in rows}


def _ruled(received_at: int, sent: str, versions: Versions) -> Ruled:
    told = parse_qs(sent)
    [measurement_id], [page] = told["tid"], told["dl"]
    since = versions[measurement_id]
    number = max(number for number, at in since.items() if at <= received_at)
    return Ruled(
        measurement_id,
        number,
        "page_view" if number == 1 else f"view_{number}",
        number % 2 == 1 or not page.endswith("/b"),
    )


def counted(ruled: Mapping[str, Ruled]) -> Counter[tuple[str, str]]:
    """How many hits count, by measurement id and event name."""
    return Counter((one.measurement_id, one.event_name) for one in ruled.values() if one.counts)


def clean_hits(archive: Path, lineage: str) -> dict[str, Ruled]:
    """The same as a replay has decided it."""
    rows = duckdb.execute(
        "SELECT hit_id, measurement_id, rules_version, event_name, excluded_by = ''"
        " FROM read_parquet(?)",
        [str(archive / "clean" / lineage / "**" / "*.parquet")],
    ).fetchall()
    found = {hit_id[:32]: Ruled(*facts) for hit_id, *facts in rows}
    assert len(found) == len(rows)
    return found
