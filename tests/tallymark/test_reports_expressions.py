"""Dimensions and metrics that requests derive, and what they are compared by."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.metrics import METRICS
from tallymark.reports import InvalidRequestError
from tallymark.reports.expressions import FormulaError, derived_metric
from tests.tallymark.report_cells import Row, asks, report_of, values

MEASURES = {
    name: np.array([value, 0])
    for name, value in {"sessions": 8, "events": 20, "users": 5, "active_users": 4}.items()
}
FORMULAS = [
    ("eventCount/totalUsers", 4.0, 0.0),
    ("eventCount", 20, 0),
    ("(eventCount)", 20, 0),
    ("eventCount - sessions - 2", 10.0, -2.0),
    ("eventCount-(sessions-2)", 14.0, 2.0),
    ("2 + sessions * 3", 26.0, 2.0),
    ("-sessions + eventCount", 12.0, 0.0),
    ("eventCount / sessions / totalUsers", 0.5, 0.0),
    ("eventCount * 0.5", 10.0, 0.0),
    ("1 - 1 / sessions", 0.875, 1.0),
    ("sessionsPerUser*100", 200.0, 0.0),
    ("\teventCount\n/ sessions ", 2.5, 0.0),
]


@pytest.mark.parametrize(("text", "value", "of_nothing"), FORMULAS)
def test_a_formula_is_computed_as_it_is_written(text: str, value: float, of_nothing: float) -> None:
    metric = derived_metric("x", text, METRICS.get)
    assert metric.value(MEASURES).tolist() == [value, of_nothing]


def test_a_metric_by_another_name_keeps_its_type() -> None:
    assert derived_metric("x", "sessions", METRICS.get).type == "TYPE_INTEGER"
    assert derived_metric("x", "sessions + 0", METRICS.get).type == "TYPE_FLOAT"


WRONG = [
    ("", "expected a metric, a number or (, got the end"),
    ("sessions +", "expected a metric, a number or (, got the end"),
    ("sessions sessions", "expected an operator, got sessions"),
    ("(sessions", "expected an operator or ), got the end"),
    ("sessions)", "expected an operator, got )"),
    ("sessions ** 2", "expected a metric, a number or (, got *"),
    ("sessions % 2", "expected an operator, got % 2"),
    ("2 * 3", "expected at least one metric"),
    ("nothing / 2", "Field nothing is not a valid metric"),
    ("__import__('os')", "Field __import__ is not a valid metric"),
    ("(" * 30 + "sessions" + ")" * 30, "expected at most 20 parentheses"),
    ("-" * 30 + "sessions", "expected at most 20 parentheses"),
    ("sessions" + "+1" * 400, "expected at most 500 characters"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_wrong_formula_is_refused_with_the_place(text: str, said: str) -> None:
    with pytest.raises(FormulaError) as raised:
        derived_metric("x", text, METRICS.get)
    assert said in str(raised.value)


LEAVES = st.sampled_from(["sessions", "eventCount", "totalUsers", "1", "2.5", "0"])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda left, sign, right: f"({left} {sign} {right})", inner, st.sampled_from("+-*/"), inner
    ),
    max_leaves=12,
)


@given(TREES)
def test_a_formula_says_what_python_says(text: str) -> None:
    """As long as nothing is divided by nothing."""
    text = f"eventCount + {text}"
    names = {"sessions": 8.0, "eventCount": 20.0, "totalUsers": 5.0}
    try:
        expected = eval(text, {"__builtins__": {}}, names)
    except ZeroDivisionError:
        return
    found = derived_metric("x", text, METRICS.get).value(MEASURES)
    assert found[0] == pytest.approx(expected)


def by_source(source: str, **measures: Any) -> Row:
    return {"source": source, "medium": "Email", **measures}


ROWS = [
    by_source("Letter", sessions=3, engaged_sessions=2, users={1, 2}),
    by_source("letter", sessions=1, users={2, 3}),
    by_source("shop", hour=-13, sessions=6, users={1}),
]


def derived(name: str, **expression: Any) -> dict[str, Any]:
    return {"name": name, "dimensionExpression": expression}


LOWER = derived("low", lowerCase={"dimensionName": "sessionSource"})


def test_values_that_a_derived_dimension_makes_equal_are_one_row() -> None:
    request = asks("", "sessions totalUsers", dimensions=[LOWER])
    assert values(report_of(ROWS, request)["rows"]) == [("shop", "6", "1"), ("letter", "4", "3")]


def test_dimensions_are_joined_in_upper_case_and_with_times() -> None:
    both = derived(
        "both", concatenate={"dimensionNames": ["up", "date", "sessionMedium"], "delimiter": ", "}
    )
    up = derived("up", upperCase={"dimensionName": "sessionSource"})
    request = asks("", "sessions", dimensions=[up, both])
    assert values(report_of(ROWS, request)["rows"]) == [
        ("SHOP", "SHOP, 20231114, Email", "6"),
        ("LETTER", "LETTER, 20231115, Email", "4"),
    ]


def test_what_is_derived_can_be_filtered_and_ordered_by() -> None:
    request = asks(
        "", "", dimensions=[LOWER],
        metrics=[
            {"name": "rate", "expression": "engagedSessions / asked"},
            {"name": "asked", "expression": "sessions", "invisible": True},
        ],
        dimensionFilter={"filter": {"fieldName": "low", "stringFilter": {"value": "letter",
                                                                        "caseSensitive": True}}},
        metricFilter={"filter": {"fieldName": "rate", "numericFilter": {
            "operation": "LESS_THAN", "value": {"doubleValue": 1}}}},
        orderBys=[{"metric": {"metricName": "rate"}}],
    )  # fmt: skip
    report = report_of(ROWS, request)
    assert report["metricHeaders"] == [{"name": "rate", "type": "TYPE_FLOAT"}]
    assert values(report["rows"]) == [("letter", "0.5")]


def test_a_filter_may_use_a_metric_that_is_not_asked_for() -> None:
    request = asks(
        "sessionSource", "totalUsers",
        metricFilter={"filter": {"fieldName": "sessions", "numericFilter": {
            "operation": 4, "value": {"int64Value": "2"}}}},
    )  # fmt: skip
    report = report_of(ROWS, request)
    assert values(report["rows"]) == [("Letter", "2"), ("shop", "1")]
    assert [header["name"] for header in report["metricHeaders"]] == ["totalUsers"]


def test_comparisons_are_rows_of_their_own_beside_date_ranges() -> None:
    shop = {"filter": {"fieldName": "sessionSource", "stringFilter": {"value": "shop"}}}
    request = asks(
        "", "sessions totalUsers", metricAggregations=["TOTAL", "MAXIMUM"],
        comparisons=[{"name": "shop", "dimensionFilter": shop},
                     {"dimensionFilter": {"notExpression": shop}}],
        dateRanges=[{"startDate": "today", "endDate": "today"},
                    {"startDate": "yesterday", "endDate": "today", "name": "two days"}],
        orderBys=[{"dimension": {"dimensionName": "dateRange"}, "desc": True},
                  {"dimension": {"dimensionName": "comparison"}}],
    )  # fmt: skip
    report = report_of(ROWS, request)
    assert [header["name"] for header in report["dimensionHeaders"]] == ["comparison", "dateRange"]
    assert values(report["rows"]) == [
        ("comparison_1", "two days", "4", "3"),
        ("shop", "two days", "6", "1"),
        ("comparison_1", "date_range_0", "4", "3"),
    ]
    assert values(report["totals"]) == [
        ("shop", "date_range_0", "0", "0"),
        ("shop", "two days", "6", "1"),
        ("comparison_1", "date_range_0", "4", "3"),
        ("comparison_1", "two days", "4", "3"),
    ]


def test_expressions_of_expressions_do_not_grow_without_end() -> None:
    metrics = [{"name": "m0", "expression": "+".join(["sessions"] * 9)}]
    metrics += [
        {"name": f"m{index}", "expression": "+".join([f"m{index - 1}"] * 9)}
        for index in range(1, 10)
    ]
    with pytest.raises(InvalidRequestError, match="expected at most 100 metrics, got 729"):
        report_of([], asks(metrics=metrics))
    names = [f"d{index}" for index in range(9)]
    dimensions = [
        derived(name, concatenate={"dimensionNames": [before] * 9})
        for before, name in zip(["date", *names], names, strict=False)
    ]
    with pytest.raises(InvalidRequestError, match="expected at most 100 dimensions"):
        report_of([], asks(dimensions=dimensions))


def test_expressions_may_stand_in_any_order_but_not_need_themselves() -> None:
    circle = [{"name": "a", "expression": "b+1"}, {"name": "b", "expression": "a+1"}]
    with pytest.raises(InvalidRequestError, match="Field a is not a valid metric"):
        report_of([], asks(metrics=circle))


REFUSED = [
    ([{"name": "a b", "dimensionExpression": LOWER["dimensionExpression"]}], "letters, digits"),
    ([LOWER | {"name": "dateRange"}], "no name that the API itself uses"),
    ([derived("x")], "expected exactly one of lowerCase, upperCase, concatenate"),
    ([derived("x", lowerCase={}, upperCase={})], "expected exactly one of lowerCase"),
    ([derived("x", lowerCase={"dimensionName": "nope"})], "Field nope is not a valid dimension"),
    ([derived("x", lowerCase={"dimensionName": "x"})], "Field x is not a valid dimension"),
    ([derived("x", concatenate={"dimensionNames": []})], "dimensionNames: expected at least one"),
    (
        [derived("x", concatenate={"dimensionNames": ["date"], "delimiter": "-" * 101})],
        "delimiter: expected at most 100 characters",
    ),
]


@pytest.mark.parametrize(("dimensions", "said"), REFUSED)
def test_a_wrong_expression_of_a_dimension_is_refused(dimensions: list[Any], said: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        report_of([], asks("", "sessions", dimensions=dimensions))
    assert said in str(raised.value)


def test_a_wrong_expression_of_a_metric_is_refused_with_its_place() -> None:
    request = asks("", "", metrics=[{"name": "x", "expression": "sessions/"}])
    with pytest.raises(InvalidRequestError) as raised:
        report_of([], request)
    assert "metrics[0]: expression: expected a metric, a number or (" in str(raised.value)


def test_numbers_are_written_as_protobuf_does() -> None:
    metrics = [
        {"name": "x", "expression": "sessions / 3"},
        {"name": "y", "expression": "sessions / 10"},
    ]
    report = report_of([by_source("a", sessions=7)], asks("", "", metrics=metrics))
    assert values(report["rows"]) == [("2.3333333333333335", "0.7")]


def test_an_empty_report_says_why() -> None:
    def reason(rows: list[Row], **others: Any) -> str | None:
        found: str | None = report_of(rows, asks("sessionSource", "sessions", **others))[
            "metadata"
        ].get("emptyReason")
        return found

    nothing = {"filter": {"fieldName": "sessionSource", "stringFilter": {"value": "x"}}}
    assert reason(ROWS) is None
    assert reason([]) == "NO_DATA"
    assert reason(ROWS, dimensionFilter=nothing) == "NO_MATCHING_DATA"
