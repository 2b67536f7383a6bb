"""The truth of a simulation: what its script meant, what its log says was answered, and what the
raw archive holds, brought together with DuckDB and without the project's own readers."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import duckdb

from .oracle import CHANNELS, OracleHit
from .stack import Simulation, Site

Key = tuple[str, str, int]
"""Measurement id, client id, number of the request in the script: names a request in every file."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A request in the raw archive; ``balanced_at`` is the time (UTC µs) a balancer gave it."""

    request_id: str
    received_at: int
    path: str
    query: str
    body: str
    balanced_at: int | None = None

    @property
    def happened_at(self) -> int:
        """UTC µs, where the hit says none: a balancer's time if it came through one."""
        return self.received_at if self.balanced_at is None else self.balanced_at


@dataclass
class Truth:
    """What should be counted, and what is wrong already.

    Attributes:
        hits: Of every request that is in the archive, as the script means them.
        problems: Requests that are in the archive too often, or not, or should not be.
        outcomes: How many requests were answered how.
    """

    hits: list[OracleHit] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


def archived(archive: Path) -> list[Recorded]:
    """All requests in the raw archive. A block that was archived twice counts once, and of the
    copies that a balancer made of a request the one received first.

    Raises:
        AssertionError: when two different requests have one id.
    """
    files = [str(path) for path in archive.glob("raw/**/*.parquet")]
    if not files:
        return []
    rows = duckdb.execute(
        """
        WITH recorded AS (
            SELECT DISTINCT request_id, received_at, path, query, body, body_encoding,
                   has_balancer_id
            FROM read_parquet(?))
        SELECT * FROM recorded
        QUALIFY NOT has_balancer_id
             OR row_number() OVER (PARTITION BY request_id ORDER BY received_at) = 1
        ORDER BY received_at, request_id
        """,
        [files],
    ).fetchall()
    assert len({row[0] for row in rows}) == len(rows), "two requests with one id in the archive"
    return [
        Recorded(
            request_id=request_id, received_at=received_at, path=path, query=query, body=body,
            balanced_at=int(request_id[:12], 16) * 1_000 if is_balanced else None,
        )
        for request_id, received_at, path, query, body, encoding, is_balanced in rows
        if encoding == "utf-8"
    ]  # fmt: skip


def truth_of(simulations: Iterable[Simulation], sites: list[Site], archive: Path) -> Truth:
    """Hold scripts and logs of ``simulations`` against the archive."""
    by_key: dict[Key, list[Recorded]] = {}
    for request in archived(archive):
        by_key.setdefault(_key(request), []).append(request)
    properties = {site.measurement_id: site.property_id for site in sites}
    truth = Truth()
    for simulation in simulations:
        answers = _answers(simulation)
        truth.outcomes.update(answers.values())
        for line in simulation.script_path.read_text().splitlines():
            visit = json.loads(line)
            _judge_visit(truth, visit, answers, by_key, properties[visit["measurement_id"]])
    truth.problems += [f"in the archive, not in the script: {key}" for key in by_key]
    return truth


def _answers(simulation: Simulation) -> dict[int, str]:
    """The outcome of every request that was sent; no request is sent twice here."""
    rows = duckdb.execute(
        "SELECT request, any_value(outcome), count(*) FROM read_json(?, format='nd')"
        " GROUP BY request",
        [str(simulation.log_path)],
    ).fetchall()
    assert all(count == 1 for _, _, count in rows), "the simulator sent a request twice"
    return {request: outcome for request, outcome, _ in rows}


def _key(request: Recorded) -> Key:
    query = {name: values[0] for name, values in parse_qs(request.query).items()}
    if request.path == "/mp/collect":
        document = json.loads(request.body)
        number = document["events"][0]["params"]["request_number"]
        return query["measurement_id"], document["client_id"], number
    visit = int(query["_p"]) // 1_000_000
    return query["tid"], query["cid"], -(visit * 1_000 + int(query["_s"]))


def _judge_visit(
    truth: Truth,
    visit: dict[str, Any],
    answers: dict[int, str],
    by_key: dict[Key, list[Recorded]],
    property_id: int,
) -> None:
    first = visit["hits"][0]["request"]
    for number in dict.fromkeys(hit["request"] for hit in visit["hits"]):
        if number not in answers:
            continue  # the simulation was stopped before
        meant = [
            (index, hit) for index, hit in enumerate(visit["hits"]) if hit["request"] == number
        ]
        is_web = meant[0][1]["protocol"] == "web"
        mark = -(visit["visit"] * 1_000 + number - first + 1) if is_web else number
        found = by_key.pop((visit["measurement_id"], visit["client_id"], mark), [])
        outcome = answers[number]
        allowed = {"accepted": (1,), "unknown": (0, 1)}.get(outcome, (0,))
        if len(found) not in allowed:
            truth.problems.append(
                f"request {number} of visit {visit['visit']} was {outcome} and is"
                f" {len(found)} times in the archive: {[one.request_id for one in found]}"
            )
        for request in found[:1]:
            truth.hits += [
                _hit(visit, index, request, place=place, property_id=property_id)
                for place, (index, _) in enumerate(meant)
            ]


def _hit(
    visit: dict[str, Any], index: int, request: Recorded, *, place: int, property_id: int
) -> OracleHit:
    hit = visit["hits"][index]
    is_web = hit["protocol"] == "web"
    event_at = request.happened_at
    if not is_web:
        event_at = json.loads(request.body).get("timestamp_micros", event_at)
    device = (visit["device_category"], visit["browser"], visit["operating_system"])
    return OracleHit(
        hit_id=f"{request.request_id}-{place:04d}",
        property_id=property_id,
        client_id=visit["client_id"],
        received_at=request.received_at,
        event_at=min(event_at, request.received_at),
        event_name=hit["event_name"],
        opens_session=is_web or hit["names_session"],
        host=hit["host"],
        path=hit["path"],
        source=_source(visit, index) if hit["path"] else None,
        engagement_ms=hit["engagement_ms"],
        is_first_visit=hit["first_visit"],
        device=device if is_web else ("", "", ""),
        value_micros=round(hit["value"] * 1e6) if hit["event_name"] == "purchase" else 0,
        transaction_id=hit["transaction_id"],
    )


def _source(visit: dict[str, Any], index: int) -> tuple[str, str, str, str] | None:
    """What a hit names: the visit's origin as long as its first page is the one looked at."""
    views = [place for place, hit in enumerate(visit["hits"]) if hit["event_name"] == "page_view"]
    if visit["source"] == "(direct)" or (len(views) > 1 and index >= views[1]):
        return None
    named = (visit["source"], visit["medium"])
    return (*named, visit["campaign"], CHANNELS[named])
