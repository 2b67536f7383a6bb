"""Reports by what a property has defined: names, rows, totals, and what does not go together."""

from typing import Any

import pytest

from tallymark.report_names import names_of
from tallymark.reports import InvalidRequestError
from tallymark.reports.catalogue import metadata_document
from tallymark.rollup_choice import smallest_rollup
from tallymark.rule_documents import parse_rules
from tests.tallymark.report_cells import asks, report_of, values

RULES = parse_rules(
    {
        "custom_dimensions": [
            {"parameter": "author", "scope": "event", "title": "Author"},
            {"parameter": "plan", "scope": "user"},
            {"parameter": "cut", "scope": "item"},
        ],
        "custom_metrics": [
            {"parameter": "wait", "scope": "event", "unit": "seconds", "title": "Waited"},
            {"parameter": "size", "scope": "event"},
            {"parameter": "weight", "scope": "item"},
        ],
    }
)
NAMES = names_of(RULES)
VALUES: list[dict[str, Any]] = [
    {"custom_name": "customEvent:author", "custom_value": "Ann", "events": 5, "views": 3,
     "sessions": 2, "users": {1, 2}},
    {"custom_name": "customEvent:author", "custom_value": "", "events": 4, "sessions": 3,
     "users": {2, 3}},
    {"custom_name": "customUser:plan", "custom_value": "gold", "events": 9, "sessions": 4,
     "users": {1, 2, 3}},
]  # fmt: skip
AMOUNTS: list[dict[str, Any]] = [
    {"custom_name": "customEvent:wait", "event_name": "opened", "events": 2,
     "amount_micros": 3_500_000},
    {"custom_name": "customEvent:wait", "event_name": "closed", "events": 1,
     "amount_micros": 500_000},
    {"custom_name": "customEvent:size", "event_name": "opened", "events": 4, "amount_micros": 8},
]  # fmt: skip


def rows_of(rows: list[dict[str, Any]], *asked: Any, **others: Any) -> list[tuple[str, ...]]:
    return values(report_of(rows, asks(*asked, **others), names=NAMES)["rows"])


def test_rows_are_those_of_the_dimension_that_is_asked_for() -> None:
    assert rows_of(VALUES, "customEvent:author", "eventCount sessions totalUsers") == [
        ("Ann", "5", "2", "2"),
        ("(not set)", "4", "3", "2"),
    ]
    assert rows_of(VALUES, "customUser:plan date", "sessions screenPageViews") == [
        ("gold", "20231115", "4", "0")
    ]


def test_users_of_all_values_are_united() -> None:
    report = report_of(
        VALUES, asks("customEvent:author", "totalUsers", metricAggregations=["TOTAL"]), names=NAMES
    )
    assert values(report["totals"]) == [("RESERVED_TOTAL", "3")]


def test_values_and_event_names_go_together() -> None:
    rows = [
        {"custom_name": "customItem:cut", "custom_value": "slim", "event_name": name, "events": n}
        for name, n in (("view_item", 3), ("purchase", 1))
    ]
    named = {"fieldName": "eventName", "stringFilter": {"value": "purchase"}}
    asked = {"dimensionFilter": {"filter": named}}
    assert rows_of(rows, "customItem:cut", "eventCount", **asked) == [("slim", "1")]


def test_a_metric_is_a_sum_an_average_and_a_count() -> None:
    asked = "customEvent:wait averageCustomEvent:wait countCustomEvent:wait customEvent:size"
    assert rows_of(AMOUNTS, "", asked) == [("4", "1.3333333333333333", "3", "8e-06")]
    assert rows_of(AMOUNTS, "eventName", "customEvent:wait") == [
        ("opened", "3.5"),
        ("closed", "0.5"),
    ]
    assert rows_of(AMOUNTS, "eventName", "countCustomEvent:size") == [("opened", "4")]


def test_a_row_that_was_folded_is_told_of_its_dimension_alone() -> None:
    folded = {"custom_name": "customUser:plan", "custom_value": "(other)", "events": 1}

    def is_told(name: str) -> bool:
        report = report_of([*VALUES, folded], asks(name, "eventCount"), names=NAMES)
        return bool(report["metadata"]["dataLossFromOtherRow"])

    assert (is_told("customUser:plan"), is_told("customEvent:author")) == (True, False)


@pytest.mark.parametrize(
    ("dimensions", "metrics", "said"),
    [
        ("customEvent:author customUser:plan", "eventCount", "Please remove customUser:plan to"),
        ("customEvent:author pagePath", "eventCount", "Please remove"),
        ("customEvent:author", "activeUsers", "Please remove"),
        ("customEvent:author eventName", "sessions", "Please remove"),
        ("customEvent:author", "customEvent:wait", "Please remove"),
        ("", "customEvent:wait eventCount", "Please remove"),
        ("customEvent:editor", "eventCount", "Did you mean customEvent:author"),
    ],
)
def test_what_does_not_go_together_is_refused(dimensions: str, metrics: str, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        rows_of(VALUES, dimensions, metrics)


def test_sessions_of_several_values_have_no_total() -> None:
    with pytest.raises(InvalidRequestError, match="Please remove sessions"):
        rows_of(VALUES, "customEvent:author", "sessions", metricAggregations=["TOTAL"])


@pytest.mark.parametrize(
    ("by", "asked"),
    [("", "eventCount"), ("eventName", "eventCount"), ("eventName", ""), ("", "sessions"),
     ("eventName", "keyEvents totalUsers"), ("date", "screenPageViews")],
)  # fmt: skip
def test_reports_that_name_nothing_of_its_own_are_answered_as_ever(by: str, asked: str) -> None:
    rollup, lacking = smallest_rollup(
        [NAMES.dimensions[name] for name in by.split()],
        [],
        [NAMES.metrics[name] for name in asked.split()],
    )
    assert (rollup.within, lacking) == ("", [])


def test_the_catalogue_says_what_is_its_own() -> None:
    document = metadata_document(1, NAMES)
    own = {
        field["apiName"]: (field["uiName"], field.get("type"))
        for field in (*document["dimensions"], *document["metrics"])
        if field.get("customDefinition")
    }
    assert list(own) == [
        "customEvent:author", "customUser:plan", "customItem:cut",
        "customEvent:wait", "averageCustomEvent:wait", "countCustomEvent:wait",
        "customEvent:size", "averageCustomEvent:size", "countCustomEvent:size",
        "customItem:weight", "averageCustomItem:weight", "countCustomItem:weight",
    ]  # fmt: skip
    assert own["customEvent:author"] == ("Author", None)
    assert own["averageCustomEvent:wait"] == ("Average Waited", "TYPE_SECONDS")


def test_values_of_events_are_known_where_key_events_have_defaults() -> None:
    rules = parse_rules({"key_events": [{"event": "sign_up", "default_value": "2"}]})
    rows: list[dict[str, Any]] = [
        {"custom_name": "eventValue", "event_name": "sign_up", "events": 2,
         "amount_micros": 4_500_000},
        {"custom_name": "customEvent:wait", "event_name": "sign_up", "events": 1,
         "amount_micros": 9},
    ]  # fmt: skip
    asked = asks("eventName", "eventValue")

    assert values(report_of(rows, asked, names=names_of(rules))["rows"]) == [("sign_up", "4.5")]
    with pytest.raises(InvalidRequestError):
        report_of(rows, asked, names=NAMES)


def test_hits_are_told_apart_by_the_filter_that_is_tested() -> None:
    rows: list[dict[str, Any]] = [
        {"custom_name": "testDataFilterName", "custom_value": "staff", "events": 5, "users": {1}},
        {"custom_name": "testDataFilterName", "custom_value": "", "events": 4, "users": {1, 2}},
        {"custom_name": "customUser:plan", "custom_value": "gold", "events": 9, "users": {3}},
    ]
    assert rows_of(rows, "testDataFilterName", "eventCount totalUsers") == [
        ("staff", "5", "1"),
        ("(not set)", "4", "2"),
    ]
