"""Whatever is asked of the report API, whoever asks: never a 5xx, never a traceback."""

import logging
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.dimensions import DIMENSIONS
from tallymark.metrics import METRICS
from tallymark.reports import (
    CHECK_COMPATIBILITY,
    RUN_PIVOT_REPORT,
    RUN_REALTIME_REPORT,
    RUN_REPORT,
)
from tests.report_api.conftest import Shop, client_of, fill, make_shop

NOW_US = 1_767_268_800_000_000
PATHS = (
    "/v1beta/properties/{}:runReport", "/v1beta/properties/{}:batchRunReports",
    "/v1beta/properties/{}:runPivotReport", "/v1beta/properties/{}:batchRunPivotReports",
    "/v1beta/properties/{}:runRealtimeReport", "/v1beta/properties/{}:checkCompatibility",
    "/v1beta/properties/{}/metadata",
    "/v1/properties/{}/overview", "/v1/properties/{}/hits/x-0000", "/v1/properties/{}/hits/%00",
    "/", "/static/../app.py", "/static/%2e%2e/app.py", "/static/", "/healthz", "/readyz",
    "/metrics", "/nowhere/{}",
)  # fmt: skip
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE")
TEXT = st.text(max_size=12)
NAMES = st.one_of(st.sampled_from([*DIMENSIONS, *METRICS]), TEXT)
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(), NAMES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "fieldName", "filter", "andGroup", "notExpression",
                             "stringFilter", "inListFilter", "numericFilter", "value", "values",
                             "matchType", "expressions", "operation", "int64Value"]),
            inner, max_size=3,
        ),
    ),
    max_leaves=12,
)  # fmt: skip
DAYS = st.one_of(
    st.sampled_from(["today", "yesterday", "3daysAgo", "2026-01-01", "0000-00-00", "9999-12-31",
                     "99999999999daysAgo", "-1daysAgo"]),
    ANY,
)  # fmt: skip


def listed(each: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(each, max_size=3), ANY)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects of some of these fields, or anything."""
    return st.one_of(st.fixed_dictionaries({}, optional=fields), ANY)


NUMBERS = st.one_of(st.integers(-1, 40), st.sampled_from(["5", "-1", "", 2**64, 1.5]), ANY)
VALUES = objects(int64Value=NUMBERS, doubleValue=NUMBERS)
LEAVES = objects(
    fieldName=NAMES,
    stringFilter=objects(matchType=NUMBERS, value=TEXT, caseSensitive=st.booleans()),
    inListFilter=objects(values=st.lists(TEXT, max_size=3), caseSensitive=st.booleans()),
    numericFilter=objects(operation=NUMBERS, value=VALUES),
    betweenFilter=objects(fromValue=VALUES, toValue=VALUES),
    emptyFilter=objects(),
)
FILTERS = st.recursive(
    objects(filter=LEAVES),
    lambda inner: objects(
        andGroup=objects(expressions=listed(inner)),
        orGroup=objects(expressions=listed(inner)),
        notExpression=inner,
    ),
    max_leaves=5,
)
FORMULAS = st.one_of(
    st.text("()+-*/. 0123456789", max_size=20),
    st.lists(
        st.sampled_from(["sessions", "eventCount", "(", ")", "+", "-", "*", "/", "2", "x:y"]),
        max_size=12,
    ).map("".join),
)
DERIVED = objects(
    lowerCase=objects(dimensionName=NAMES),
    upperCase=objects(dimensionName=NAMES),
    concatenate=objects(dimensionNames=listed(NAMES), delimiter=TEXT),
)
DIMENSIONS_ASKED = objects(name=NAMES, dimensionExpression=DERIVED)
METRICS_ASKED = objects(name=NAMES, expression=FORMULAS, invisible=st.booleans())
ORDERS = objects(
    metric=objects(metricName=NAMES),
    dimension=objects(dimensionName=NAMES, orderType=NUMBERS),
    pivot=objects(
        metricName=NAMES,
        pivotSelections=listed(objects(dimensionName=NAMES, dimensionValue=TEXT)),
    ),
    desc=st.booleans(),
)
AGGREGATIONS = listed(st.one_of(st.sampled_from([0, 1, 4, 5, 6, "TOTAL", "COUNT"]), ANY))
GOOD = {
    "dateRanges": [{"startDate": "2daysAgo", "endDate": "today"}],
    "dimensions": [{"name": "sessionSource"}, {"name": "date"}],
    "metrics": [{"name": "sessions"}, {"name": "totalUsers"}],
    "pivots": [{"fieldNames": ["sessionSource"], "limit": 9}, {"fieldNames": ["date"], "limit": 9}],
    "minuteRanges": [{"startMinutesAgo": 9}],
}
"""Each method takes some of it; what is drawn stands in its place."""
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "dateRanges": listed(objects(startDate=DAYS, endDate=DAYS, name=TEXT)),
        "minuteRanges": listed(
            objects(startMinutesAgo=NUMBERS, endMinutesAgo=NUMBERS, name=TEXT)
        ),
        "dimensions": listed(DIMENSIONS_ASKED),
        "metrics": listed(METRICS_ASKED),
        "dimensionFilter": FILTERS,
        "metricFilter": FILTERS,
        "orderBys": listed(ORDERS),
        "pivots": listed(
            objects(
                fieldNames=listed(NAMES), orderBys=listed(ORDERS), limit=NUMBERS, offset=NUMBERS,
                metricAggregations=AGGREGATIONS,
            )
        ),
        "comparisons": listed(objects(name=TEXT, dimensionFilter=FILTERS, comparison=TEXT)),
        "cohortSpec": ANY,
        "currencyCode": st.one_of(st.sampled_from(["EUR", "USD"]), ANY),
        "compatibilityFilter": NUMBERS,
        "property": NAMES,
        "limit": NUMBERS,
        "offset": NUMBERS,
        "keepEmptyRows": st.one_of(st.booleans(), ANY),
        "metricAggregations": AGGREGATIONS,
        "returnPropertyQuota": st.one_of(st.booleans(), ANY),
    },
)  # fmt: skip
KEPT = st.sets(st.sampled_from(list(GOOD)))
REPORTS = st.builds(lambda kept, drawn: {name: GOOD[name] for name in kept} | drawn, KEPT, PARTS)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.just(b"[" * 2_000),
    st.one_of(REPORTS, st.fixed_dictionaries({"requests": listed(REPORTS)}), ANY).map(
        lambda document: orjson.dumps(document, default=str) if fits(document) else b"{"
    ),
)


def fits(document: Any) -> bool:
    try:
        orjson.dumps(document)
    except TypeError:  # a number or text that JSON cannot hold
        return False
    return True


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, FlaskClient]]:
    shop = make_shop(tmp_path_factory.mktemp("any"), NOW_US)
    fill(shop)
    store = SqliteWideRows(shop.store_path)
    yield shop, client_of(shop, store)
    store.close()


ASKED = st.fixed_dictionaries(
    {
        "method": st.sampled_from([*METHODS[:2] * 4, *METHODS]),
        "data": BODIES,
        "query_string": st.dictionaries(
            st.sampled_from(["alt", "limit", "$.xgafv", "x"]), TEXT, max_size=2
        ),
    }
)
OWNERS = st.sampled_from(["", "", "", "0", "9" * 5_000, "\u0663", "-1", "%00", "a/b", "\U0001f600"])
"""In place of the property's own id, which is ""."""
KEYS = st.sampled_from(["own", "own", "own", "other", "none", "odd"])


@given(path=st.sampled_from(PATHS), owner=OWNERS, key=KEYS, request=ASKED)
@settings(suppress_health_check=list(HealthCheck))
def test_any_request_is_answered_without_a_fault_of_the_server(
    asked, caplog, *, path: str, owner: str, key: str, request: dict[str, Any]
) -> None:
    shop, client = asked
    caplog.clear()
    headers = {
        "own": {"Authorization": f"Bearer {shop.read_key}"},
        "other": {"X-Goog-Api-Key": "0" * 32},
        "odd": {"Authorization": "\xff\xfe bearer"},
        "none": {},
    }[key]
    target = path.replace("{}", owner or str(shop.property_id))
    answer = client.open(target, headers=headers, **request)
    event(f"{path} {answer.status_code}")
    is_without_archive = "/hits/" in path and answer.status_code == 501  # which it says
    assert answer.status_code < 500 or is_without_archive, answer.data
    assert b"Traceback" not in answer.data
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
    is_public = owner == "0" and path.endswith("/metadata")
    if (key != "own" or owner) and "properties" in path and request["method"] != "OPTIONS":
        if is_public and answer.status_code == 200:
            return  # what all properties have is no secret of any
        assert answer.status_code >= 400


FIELDS = {
    "runReport": RUN_REPORT.fields,
    "runPivotReport": RUN_PIVOT_REPORT.fields,
    "runRealtimeReport": RUN_REALTIME_REPORT.fields,
    "checkCompatibility": CHECK_COMPATIBILITY.fields,
}


@given(method=st.sampled_from([*FIELDS]), drawn=PARTS, taken=st.sets(st.sampled_from(sorted(GOOD))))
@settings(suppress_health_check=list(HealthCheck))
def test_a_request_that_is_almost_good_is_answered_or_refused(
    asked, caplog, *, method: str, drawn: dict[str, Any], taken: set[str]
) -> None:
    shop, client = asked
    caplog.clear()
    good = GOOD | (
        {"dimensions": [{"name": "minutesAgo"}], "metrics": [{"name": "eventCount"}]}
        if method == "runRealtimeReport"
        else {}
    )
    document = good | {name: drawn[name] for name in sorted(drawn)[: 1 + len(taken) // 3]}
    document = {name: part for name, part in document.items() if name in FIELDS[method]}
    answer = client.post(
        f"/v1beta/properties/{shop.property_id}:{method}",
        data=orjson.dumps(document) if fits(document) else b"{}",
        headers={"X-Goog-Api-Key": shop.read_key},
    )
    event(f"{method} {answer.status_code}")
    assert answer.status_code in (200, 400), answer.data
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
