"""Documents of lineages, and whose clean hits an hour was computed from."""

from dataclasses import replace
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.lineages import (
    Input,
    Lineage,
    clean_sources,
    decode,
    kind_of,
    merged_spans,
    outside,
)
from tallymark.pointer_map import FOR_EVER, SINCE_EVER, PointerMap
from tallymark.slots import HOUR_US


def lineage(name: str = "gen-1", **facts) -> Lineage:
    return Lineage(**({"state": "candidate", "created_at": 1, "changed_at": 1} | facts), name=name)


def hours(*edges: int) -> tuple[tuple[int, int], ...]:
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple((start * HOUR_US, end * HOUR_US) for start, end in pairs)


def inputs(*parts: tuple[int, int, str]) -> tuple[Input, ...]:
    return tuple(
        Input(start_us=start * HOUR_US, end_us=end * HOUR_US, lineage=name)
        for start, end, name in parts
    )


@pytest.mark.parametrize(
    ("name", "kind"), [("gen-0", "standing"), ("gen-17", "replay"), ("live-1", "live")]
)
def test_the_name_says_the_kind(name: str, kind: str) -> None:
    assert kind_of(name) == lineage(name).kind == kind


def test_a_document_comes_back_and_fields_of_newer_code_are_left_out() -> None:
    made = lineage(
        asked=hours(4, 8), targets=hours(0, 3, 4, 16), inputs=inputs((0, 4, "gen-0")), seconds=1.5
    )
    assert decode(made.encode()) == made
    newer = orjson.dumps({**orjson.loads(made.encode()), "colour": "red"})
    assert decode(newer) == made


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b'{"name":1}', b'"x"'])
def test_bytes_that_are_no_lineage_are_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        decode(document)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"name": "gen-01"}, "expected gen-N or live-N"),
        ({"name": "gen-1#"}, "expected gen-N or live-N"),
        ({"state": "done"}, "state: expected one of"),
        ({"targets": hours(3, 3)}, "targets: expected ascending"),
        ({"targets": hours(3, 5, 4, 6)}, "targets: expected ascending"),
        ({"asked": ((1, HOUR_US),)}, "asked: expected edges at full"),
        ({"inputs": inputs((4, 2, "gen-0"))}, "inputs: expected ascending"),
    ],
)
def test_an_impossible_document_is_refused(facts: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        lineage(**facts)


def test_what_a_standing_lineage_has_computed_grows_and_stays_short() -> None:
    grown = lineage("gen-0").extended(hours(0, 4)).extended(hours(8, 12)).extended(hours(4, 8))
    assert grown.targets == grown.asked == hours(0, 12)
    assert grown.outside_targets(10 * HOUR_US, 14 * HOUR_US) == [*hours(12, 14)]


def test_clean_hits_are_read_from_where_the_served_cells_were_computed_from() -> None:
    register = {
        "live-1": lineage("live-1"),
        "gen-0": lineage("gen-0").extended(hours(0, 16)),
        "gen-1": lineage(
            "gen-1",
            asked=hours(8, 12),
            targets=hours(0, 20),
            inputs=inputs((0, 8, "gen-0"), (12, 16, "gen-0")),
        ),
    }
    served = PointerMap.serving("live-1").seal(
        0, 16 * HOUR_US, "gen-0", lambda name: name == "live-1"
    )
    assert clean_sources(served, register, 0, 20 * HOUR_US) == [*inputs((0, 16, "gen-0"))]
    replayed = served.publish(0, 20 * HOUR_US, "gen-1")
    assert clean_sources(replayed, register, 0, 24 * HOUR_US) == [
        *inputs((0, 8, "gen-0"), (8, 12, "gen-1"), (12, 16, "gen-0"))
    ], "from 16 on gen-1 itself read raw hits, as live-1 served them"
    assert clean_sources(PointerMap(), register, 0, 4 * HOUR_US) == []


EDGES = st.integers(0, 12)
SPANS = st.lists(st.tuples(EDGES, EDGES).map(lambda pair: (min(pair), max(pair))), max_size=6)


@given(SPANS, EDGES, EDGES)
def test_spans_hold_the_hours_that_a_set_would(
    spans: list[tuple[int, int]], first: int, end: int
) -> None:
    held = {hour for start, stop in spans for hour in range(start, stop)}
    merged = merged_spans(spans)
    assert {hour for start, stop in merged for hour in range(start, stop)} == held
    assert all(left[1] < right[0] for left, right in pairwise(merged))
    left = [hour for start, stop in outside(first, end, merged) for hour in range(start, stop)]
    assert left == [hour for hour in range(first, end) if hour not in held]


def test_a_live_lineage_may_serve_for_ever() -> None:
    made = lineage("live-2", targets=((0, FOR_EVER),))
    assert made.outside_targets(0, FOR_EVER) == []
    assert replace(made, state="published").subscription == "stream-live-2"


def test_hours_of_a_live_lineage_keep_the_code_that_decided_them() -> None:
    made = lineage("live-1").computed_by("one", SINCE_EVER)
    assert made.code_of(SINCE_EVER, FOR_EVER) == [((SINCE_EVER, FOR_EVER), "one")]
    assert made.computed_by("one", 8 * HOUR_US) == made
    second = made.computed_by("two", 8 * HOUR_US).computed_by("three", 12 * HOUR_US)
    assert second.code_version == "three"
    assert second.code_of(0, 16 * HOUR_US) == [
        (span, version)
        for span, version in zip(hours(0, 8, 8, 12, 12, 16), ("one", "two", "three"), strict=True)
    ]
    assert decode(second.encode()) == second
    assert second.computed_by("four", SINCE_EVER).earlier_code == ()


@given(st.lists(st.tuples(EDGES, st.sampled_from("abc")), max_size=6), EDGES, EDGES)
def test_the_code_that_computed_an_hour_last_decided_it(
    computations: list[tuple[int, str]], first: int, end: int
) -> None:
    made, decided = lineage("live-1", code_version="z"), ["z"] * 12
    for hour, version in computations:
        if version != made.code_version:  # the same code goes on where it was
            decided[hour:] = [version] * len(decided[hour:])
        made = made.computed_by(version, hour * HOUR_US)
    found = [
        (hour, version)
        for (start_us, end_us), version in made.code_of(first * HOUR_US, end * HOUR_US)
        for hour in range(start_us // HOUR_US, end_us // HOUR_US)
    ]
    assert found == [(hour, decided[hour]) for hour in range(first, end)]
