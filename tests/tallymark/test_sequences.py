"""Funnels, paths and retention against walks over one client at a time."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.hits import HIT_SCHEMA
from tallymark.reports import InvalidRequestError
from tallymark.reports.funnel_requests import FunnelRequest, parse_funnel
from tallymark.reports.funnels import funnel_counts, funnel_document
from tallymark.reports.path_reports import parse_path, path_counts, path_document
from tallymark.reports.retention_reports import (
    parse_retention,
    retention_counts,
    retention_document,
)
from tests.strategies import examples
from tests.tallymark.recorded import hit

NOON_US = 1_700_049_600_000_000  # 2023-11-15
MINUTE_US, DAY_US = 60_000_000, 86_400_000_000
ZONE = "America/New_York"
DAYS = {"dateRanges": [{"startDate": "60daysAgo", "endDate": "today"}]}


@dataclass(frozen=True)
class Sent:
    """A hit: whose, when (minutes after noon) and what."""

    client: int
    minute: int
    event: str = "page_view"
    path: str = "/"
    value: str = ""
    first: bool = False


def hits_of(*sent: Sent) -> pl.DataFrame:
    rows = [
        hit(
            hit_id=f"{number:032x}-0000", property_id=7, client_hash=one.client,
            event_at=NOON_US + one.minute * MINUTE_US, event_name=one.event, path=one.path,
            is_page_view=one.event == "page_view", is_first_visit=one.first,
            session_gap_ms=1_800_000,
            params=[{"key": "size", "text": one.value, "micros": None}] if one.value else [],
        )
        for number, one in enumerate(sent)
    ]  # fmt: skip
    return pl.concat(rows) if rows else HIT_SCHEMA.to_frame()


def event(name: str, **more: Any) -> dict[str, Any]:
    return {"filterExpression": {"funnelEventFilter": {"eventName": name}}} | more


def funnel(*steps: dict[str, Any], is_open: bool = False, **more: Any) -> FunnelRequest:
    document = DAYS | {"funnel": {"steps": [*steps], "isOpenFunnel": is_open}} | more
    return parse_funnel(document, now_us=NOON_US + DAY_US, time_zone=ZONE)


def users_of(request: FunnelRequest, hits: pl.DataFrame) -> list[tuple[int, int]]:
    """Users of each step, and those of them that go on."""
    counts = funnel_counts(hits, request)
    return [
        (int(own["users"].sum()), int(own["continued"].sum()))
        for step in range(len(request.steps))
        for own in (counts.filter(pl.col("step") == step),)
    ]


AB = (event("a"), event("b"))


@pytest.mark.parametrize(
    ("request_", "sent", "users"),
    [
        pytest.param(funnel(*AB), [(1, 0, "a"), (1, 5, "b")], [(1, 1), (1, 0)], id="in order"),
        pytest.param(funnel(*AB), [(1, 0, "b"), (1, 5, "a")], [(1, 0), (0, 0)], id="reversed"),
        pytest.param(funnel(*AB), [(1, 0, "a"), (2, 5, "b")], [(1, 0), (0, 0)], id="of another"),
        pytest.param(
            funnel(*AB), [(1, 0, "a"), (1, 1, "x"), (1, 5, "b")], [(1, 1), (1, 0)], id="by the way"
        ),
        pytest.param(
            funnel(AB[0], event("b", isDirectlyFollowedBy=True)),
            [(1, 0, "a"), (1, 1, "x"), (1, 5, "b"), (2, 0, "a"), (2, 1, "b")], [(2, 1), (1, 0)],
            id="directly",
        ),
        pytest.param(
            funnel(AB[0], event("b", withinDurationFromPriorStep="300s")),
            [(1, 0, "a"), (1, 6, "b"), (2, 0, "a"), (2, 5, "b")], [(2, 1), (1, 0)],
            id="within five minutes",
        ),
        pytest.param(
            funnel(AB[0], event("b", withinDurationFromPriorStep="300s")),
            [(1, 0, "a"), (1, 4, "a"), (1, 8, "b")], [(1, 1), (1, 0)],
            id="of the latest that may be the step before",
        ),
        pytest.param(
            funnel(event("a"), event("a")), [(1, 0, "a"), (2, 0, "a"), (2, 1, "a")],
            [(2, 1), (1, 0)], id="one hit is one step",
        ),
        pytest.param(
            funnel(*AB, is_open=True), [(1, 0, "b"), (2, 0, "a"), (2, 1, "b")],
            [(1, 1), (2, 0)], id="an open one is entered anywhere",
        ),
    ],
)  # fmt: skip
def test_a_step_is_taken_after_the_one_before(
    request_: FunnelRequest, sent: list[tuple[int, int, str]], users: list[tuple[int, int]]
) -> None:
    hits = hits_of(*(Sent(client, minute, name) for client, minute, name in sent))
    assert users_of(request_, hits) == users
    assert users_of(request_, hits.reverse()) == users


def test_filters_of_fields_and_parameters_are_put_to_hits() -> None:
    large = {"funnelParameterFilter": {
        "eventParameterName": "size",
        "numericFilter": {"operation": "GREATER_THAN", "value": {"int64Value": "40"}}}}  # fmt: skip
    bought = {"funnelEventFilter": {"eventName": "buy", "funnelParameterFilterExpression": large}}
    on_tea = {"funnelFieldFilter": {"fieldName": "pagePath", "stringFilter": {"value": "/tea"}}}
    request = funnel(
        {"name": "Tea", "filterExpression": {"orGroup": {"expressions": [on_tea]}}},
        {"name": "Large", "filterExpression": bought},
        {"filterExpression": {"notExpression": on_tea}},
    )
    hits = hits_of(
        Sent(1, 0, path="/tea"), Sent(1, 1, "buy", "/tea", value="42"), Sent(1, 2),
        Sent(2, 0, path="/tea"), Sent(2, 1, "buy", value="40"),
        Sent(3, 0, path="/tea"), Sent(3, 1, "buy"),
    )  # fmt: skip
    assert users_of(request, hits) == [(3, 1), (1, 1), (1, 0)]
    assert [step.name for step in request.steps] == ["1. Tea", "2. Large", "3. Step 3"]


def test_the_answer_has_the_shape_of_googles() -> None:
    request = funnel(*AB, funnelBreakdown={"breakdownDimension": {"name": "pagePath"}, "limit": 1})
    hits = hits_of(
        Sent(1, 0, "a", "/x"), Sent(1, 1, "b", "/y"), Sent(2, 0, "a", "/x"), Sent(3, 0, "a", "/z")
    )
    document = funnel_document(request, funnel_counts(hits, request))
    rows = [
        tuple(cell["value"] for cell in (*row["dimensionValues"], *row["metricValues"]))
        for row in document["funnelTable"]["rows"]
    ]
    assert rows == [
        ("1. Step 1", "RESERVED_TOTAL", "3", "0.333333333333333", "2", "0.666666666666667"),
        ("1. Step 1", "/x", "2", "0.5", "1", "0.5"),
        ("2. Step 2", "RESERVED_TOTAL", "1", "0", "0", "0"),
        ("2. Step 2", "/x", "1", "0", "0", "0"),
    ]
    headers = document["funnelTable"]["dimensionHeaders"]
    assert [header["name"] for header in headers] == ["funnelStepName", "pagePath"]
    assert len(document["funnelVisualization"]["rows"]) == 2
    trended = funnel(*AB, funnelVisualizationType="TRENDED_FUNNEL")
    days = funnel_document(trended, funnel_counts(hits, trended))["funnelVisualization"]
    assert [row["dimensionValues"] for row in days["rows"]] == [
        [{"value": "1. Step 1"}, {"value": "20231115"}],
        [{"value": "2. Step 2"}, {"value": "20231115"}],
    ]


FIELDS = st.builds(
    Sent,
    client=st.integers(0, 3),
    minute=st.integers(-40, 40).map(lambda minute: minute * 3),
    event=st.sampled_from(["a", "b", "c", "page_view"]),
    path=st.sampled_from(["/", "/x", "/y"]),
    first=st.booleans(),
)
STEPS = st.builds(
    lambda name, direct, within: event(name, isDirectlyFollowedBy=direct) | within,
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([False, False, True]),
    st.sampled_from([{}, {}, {"withinDurationFromPriorStep": "600s"}]),
)


def by_client(sent: list[Sent]) -> list[list[Sent]]:
    """The hits of each client in order; of one instant as they were sent."""
    clients = defaultdict(list)
    for one in sorted(sent, key=lambda each: each.minute):
        clients[one.client].append(one)
    return [*clients.values()]


@given(
    st.lists(FIELDS, max_size=25), st.lists(STEPS, min_size=1, max_size=4), st.booleans(),
    st.randoms(),
)  # fmt: skip
@examples(120)
def test_a_funnel_is_that_of_a_walk(
    sent: list[Sent], steps: list[dict[str, Any]], is_open: bool, random: Any
) -> None:
    request = funnel(*steps, is_open=is_open)
    hits = hits_of(*sent)
    order = [*range(hits.height)]
    random.shuffle(order)
    expected = [[0, 0] for _ in steps]
    for mine in by_client(sent):
        names = [step["filterExpression"]["funnelEventFilter"]["eventName"] for step in steps]
        reached: list[set[int]] = []
        for number, step in enumerate(steps):
            passing = {place for place, one in enumerate(mine) if one.event == names[number]}
            after = {
                place
                for place in passing
                if number and any(may_follow(mine, before, place, step)
                                  for before in reached[number - 1])
            }  # fmt: skip
            reached.append(passing if number == 0 or is_open else after)
            expected[number][0] += bool(reached[number])
            if number:
                expected[number - 1][1] += bool(after)
    assert users_of(request, hits[order]) == [tuple(one) for one in expected]


def may_follow(mine: list[Sent], before: int, place: int, step: dict[str, Any]) -> bool:
    if place <= before or (step["isDirectlyFollowedBy"] and place != before + 1):
        return False
    within = float(step.get("withinDurationFromPriorStep", "1e9s").removesuffix("s"))
    return (mine[place].minute - mine[before].minute) * 60 <= within


def visits(mine: list[Sent]) -> Iterator[list[str]]:
    """The pages of each visit of a client, what is repeated once."""
    visit: list[str] = []
    last = None
    for one in mine:
        if last is not None and one.minute - last >= 30:
            yield visit
            visit = []
        last = one.minute
        if one.event == "page_view" and visit[-1:] != [one.path]:
            visit.append(one.path)
    yield visit


@given(
    st.lists(FIELDS, max_size=25),
    st.sampled_from([{}, {"startingPoint": "/x"}, {"endingPoint": "/y"}]),
    st.integers(1, 3),
)
@examples(120)
def test_paths_are_those_of_a_walk(sent: list[Sent], point: dict[str, str], steps: int) -> None:
    request = parse_path(DAYS | point | {"steps": steps}, now_us=NOON_US + DAY_US, time_zone=ZONE)
    expected: Counter[tuple[int, str, str | None]] = Counter()
    wanted = "".join(point.values())
    for mine in by_client(sent):
        for visit in visits(mine):
            walked = visit[::-1] if "endingPoint" in point else visit
            if wanted and wanted not in walked:
                continue
            from_there = walked[walked.index(wanted) :] if wanted else walked
            for step, node in enumerate(from_there[: steps + 1]):
                ahead = from_there[step + 1 : step + 2] if step < steps else []
                expected[step, node, ahead[0] if ahead else None] += 1
    found = path_counts(hits_of(*sent), request)
    assert {row[:3]: row[3] for row in found.iter_rows()} == expected


def test_nodes_beyond_the_most_visited_stand_together() -> None:
    sent = [Sent(client, minute, path=path) for client in range(3)
            for minute, path in ((0, "/"), (1, f"/{client % 2}"), (2, "/z"))]  # fmt: skip
    request = parse_path(
        DAYS | {"steps": 2, "nodesPerStep": 1}, now_us=NOON_US + DAY_US, time_zone=ZONE
    )
    document = path_document(request, path_counts(hits_of(*sent), request))
    assert document["nodes"] == [
        {"step": 0, "name": "/", "visits": 3, "ended": 0},
        {"step": 1, "name": "/0", "visits": 2, "ended": 0},
        {"step": 1, "name": "(other)", "visits": 1, "ended": 0},
        {"step": 2, "name": "/z", "visits": 3, "ended": 3},
    ]
    assert document["links"] == [
        {"step": 0, "from": "/", "to": "/0", "visits": 2},
        {"step": 0, "from": "/", "to": "(other)", "visits": 1},
        {"step": 1, "from": "/0", "to": "/z", "visits": 2},
        {"step": 1, "from": "(other)", "to": "/z", "visits": 1},
    ]


@given(
    st.lists(FIELDS, max_size=20), st.lists(st.integers(0, 70), min_size=20, max_size=20),
    st.sampled_from(["day", "week", "month"]),
)  # fmt: skip
@examples(80)
def test_retention_is_that_of_a_walk(sent: list[Sent], days: list[int], period: str) -> None:
    spread = [
        Sent(one.client, one.minute - day * 24 * 60, first=one.first)
        for one, day in zip(sent, days, strict=False)
    ]
    request = parse_retention(DAYS | {"period": period}, now_us=NOON_US + DAY_US, time_zone=ZONE)
    there: dict[int, set[Any]] = defaultdict(set)
    came: dict[int, Any] = {}
    for one in spread:
        start = start_of(one, period)
        there[one.client].add(start)
        if one.first:
            came[one.client] = min(start, came.get(one.client, start))
    expected: Counter[tuple[Any, int]] = Counter()
    for client, first in came.items():
        for start in there[client]:
            if start >= first:
                expected[first, apart(first, start, period)] += 1
    found = retention_counts(hits_of(*spread), request)
    assert {row[:2]: row[2] for row in found.iter_rows()} == expected
    for row in retention_document(request, found)["rows"]:
        assert row["size"] == row["users"][0] >= max(row["users"])
        assert row["shares"][0] == 1.0


def start_of(one: Sent, period: str) -> Any:
    at = datetime.fromtimestamp((NOON_US + one.minute * MINUTE_US) / 1e6, UTC)
    day = at.astimezone(ZoneInfo(ZONE)).date()
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "month" else day


def apart(first: Any, other: Any, period: str) -> int:
    if period == "month":
        return (other.year - first.year) * 12 + other.month - first.month
    return (other - first).days // (7 if period == "week" else 1)


STEP = event("a")


@pytest.mark.parametrize(
    ("parse", "document", "said"),
    [
        (parse_funnel, DAYS, "funnel: expected steps"),
        (parse_funnel, DAYS | {"funnel": {"steps": []}}, "steps: expected 1 to 10, got 0"),
        (parse_funnel, {"funnel": {"steps": [STEP]}}, "A dateRange is required"),
        (parse_funnel, DAYS | {"funnel": {"steps": [{}]}}, "filterExpression: expected one"),
        (parse_funnel, DAYS | {"funnel": {"steps": [STEP]}, "segments": [{}]}, "segments is not"),
        (
            parse_funnel,
            DAYS | {"funnel": {"steps": [event("a", withinDurationFromPriorStep="5 min")]}},
            "expected seconds as 300s, got '5 min'",
        ),
        (
            parse_funnel,
            DAYS | {"funnel": {"steps": [{"filterExpression": {"funnelFieldFilter": {
                "fieldName": "sessionSource", "stringFilter": {"value": "a"}}}}]}},
            "expected a field of eventName, .* got 'sessionSource'",
        ),
        (
            parse_funnel,
            DAYS | {"funnel": {"steps": [{"filterExpression": {"x": {}}}]}},
            "expected exactly one of andGroup",
        ),
        (
            parse_funnel,
            DAYS | {"funnel": {"steps": [STEP]},
                    "funnelBreakdown": {"breakdownDimension": {"name": "date"}, "limit": 99}},
            "(?s)breakdownDimension: expected a field.*limit: expected 1 to 15",
        ),
        (parse_path, DAYS | {"node": "date"}, "node: expected one of pagePath, "),
        (parse_path, DAYS | {"startingPoint": "/", "endingPoint": "/"}, "got both"),
        (parse_path, DAYS | {"steps": 11, "nodesPerStep": 0}, "(?s)steps: .*nodesPerStep: "),
        (parse_retention, DAYS | {"period": "hour"}, "period: expected one of day, week, month"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(parse: Any, document: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        parse(document, now_us=NOON_US, time_zone=ZONE)
