"""Previews: what a draft of rules would have changed of recorded requests."""

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from tallymark.previews import MAX_ALIKE, preview
from tallymark.properties import DataStream, Property
from tallymark.rule_documents import parse_rules
from tests.tallymark.recorded import RECEIVED_AT, SHOP, frame, version, web

MINUTE_US = 60_000_000


def owner(**rules: Any) -> Property:
    return Property(
        property_id=7,
        name="Shop",
        data_streams=(DataStream(measurement_id=SHOP),),
        versions=(version(**rules),),
    )


def view(client: int, path: str, minute: int = 0, more: str = "&en=page_view") -> dict[str, Any]:
    """A hit of a client, some minutes later."""
    query = f"v=2&tid={SHOP}&cid={client}.1&dl=https%3A%2F%2Fshop.test{path}{more}"
    return web(query, received_at=RECEIVED_AT + minute * MINUTE_US)


HISTORY = frame(
    view(1, "/A"),
    view(1, "/stage/a", 1),
    view(1, "/thanks", 2),
    view(2, "/stage/b"),
    view(2, "/stage/b", 1, "&en=purchase&epn.value=10&ep.transaction_id=T1"),
    view(3, "/a"),
    view(3, "/a", 40),
    web("v=2&tid=G-OTHER&cid=9.9&en=page_view"),
)
DRAFT = {
    "rewrites": [
        {"kind": "lower_case", "field": "path"},
        {"kind": "rename_event", "from": "unknown", "to": "known"},
        {
            "kind": "set",
            "fields": {"event_name": "sign_up"},
            "when": {"field": "path", "is": "/thanks"},
        },
    ],
    "filters": [{"name": "staging", "when": {"field": "path", "starts_with": "/stage/"}}],
    "key_events": ["sign_up", "purchase"],
}


def test_a_draft_is_held_against_what_the_reports_show() -> None:
    found = preview(HISTORY, owner(), parse_rules(DRAFT))

    assert (found.hits, found.changed_hits) == (7, 5)
    assert found.metrics == {
        "users": (3, 2),
        "sessions": (4, 3),
        "engaged_sessions": (2, 1),
        "page_views": (6, 3),
        "events": (7, 4),
        "key_events": (1, 1),
        "revenue_micros": (10_000_000, 0),
        "excluded_hits": (0, 3),
    }


def test_every_rule_tells_how_many_hits_it_applies_to() -> None:
    found = preview(HISTORY, owner(), parse_rules(DRAFT))

    assert {rule["where"]: rule["hits"] for rule in found.rules} == {
        "rewrites[0]": 1,
        "rewrites[1]": 0,
        "rewrites[2]": 1,
        "filters[0]": 3,
        "key_events[0]": 1,
        "key_events[1]": 0,
    }


def test_examples_show_what_differs_and_nothing_else() -> None:
    first, *_ = preview(HISTORY, owner(), parse_rules(DRAFT)).examples

    assert first["changes"] == {"path": {"before": "/A", "after": "/a"}}


def test_examples_are_varied_however_many_hits_change_alike() -> None:
    views = [view(client, "/stage/a") for client in range(50)]
    history = frame(*views, view(99, "/thanks"))

    examples = preview(history, owner(), parse_rules(DRAFT)).examples

    kinds = [sorted(example["changes"]) for example in examples]
    assert kinds.count(["excluded_by"]) == MAX_ALIKE
    assert kinds.count(["event_name", "is_key_event"]) == 1


def test_rules_by_parameters_and_of_an_older_version_are_held_against_each_other() -> None:
    internal = {"name": "internal", "when": {"field": "param.kind", "is": "own"}}
    history = frame(view(1, "/a", more="&en=page_view&ep.kind=own"))

    found = preview(history, owner(filters=[internal]), parse_rules({}))

    assert found.metrics["events"] == (0, 1)
    [example] = found.examples
    assert example["changes"]["excluded_by"] == {"before": "internal", "after": ""}


def test_created_events_are_counted_too() -> None:
    draft = {"created_events": [{"event": "seen", "when": {"field": "path", "is": "/thanks"}}]}

    found = preview(HISTORY, owner(), parse_rules(draft))

    assert {rule["where"]: rule["hits"] for rule in found.rules}["created_events[0]"] == 1
    assert found.metrics["events"] == (7, 8)


def test_nothing_recorded_is_no_change() -> None:
    found = preview(HISTORY[:0], owner(), parse_rules(DRAFT))

    assert (found.hits, found.changed_hits, found.examples) == (0, 0, [])
    assert set(found.metrics.values()) == {(0, 0)}


REQUESTS = [HISTORY[place : place + 1] for place in range(HISTORY.height)]


@given(st.lists(st.sampled_from(REQUESTS), max_size=8), st.sampled_from([{}, DRAFT]))
def test_the_rules_in_force_change_nothing(
    chosen: list[pl.DataFrame], rules: dict[str, Any]
) -> None:
    history = pl.concat([HISTORY[:0], *chosen]).unique("request_id", maintain_order=True)

    found = preview(history, owner(**rules), parse_rules(rules))

    assert (found.changed_hits, found.examples) == (0, [])
    assert all(before == after for before, after in found.metrics.values())


def test_hits_of_a_filter_that_is_tested_are_told_and_still_count() -> None:
    tested = [DRAFT["filters"][0] | {"state": "testing"}]  # type: ignore[operator]

    found = preview(HISTORY, owner(), parse_rules({"filters": tested}))

    assert found.rules[0] == {"where": "filters[0]", "name": "staging", "hits": 3}
    assert found.metrics["excluded_hits"] == (0, 0)
    assert found.metrics["events"] == (7, 7)
