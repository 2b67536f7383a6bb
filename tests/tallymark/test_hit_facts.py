"""Reports from hits say what those from rollups say, and more than rollups hold."""

from dataclasses import replace
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.dimensions import DIMENSIONS
from tallymark.hits import HIT_SCHEMA
from tallymark.metrics import METRICS
from tallymark.reports import InvalidRequestError, plan_of_hits
from tallymark.rollup_choice import missing, smallest_rollup
from tallymark.rollups import ROLLUPS, Rollup
from tallymark.slots import HOUR_US, MINUTE_US
from tests.strategies import Visit, examples, hits_of, visits
from tests.tallymark.hit_reports import NOON_US, from_cells, from_hits, parsed, whole
from tests.tallymark.recorded import item
from tests.tallymark.report_cells import asks, values

GAP_US = 30 * MINUTE_US
RANGES = (
    [{"startDate": "3daysAgo", "endDate": "today"}],
    [{"startDate": "today", "endDate": "today"}],
    [{"startDate": "yesterday", "endDate": "yesterday"}],
    [{"startDate": "yesterday", "endDate": "today"}, {"startDate": "today", "endDate": "today"}],
)
ANSWERED_ALIKE = [one for one in ROLLUPS if one.grain in ("piece", "page", "event")]
"""Not those of minutes, and of what properties define themselves: hits answer nothing of it."""
FILTERS: dict[str, dict[str, Any]] = {
    "pagePath": {"inListFilter": {"values": ["/"]}},
    "sessionSource": {"stringFilter": {"value": "google"}},
    "eventName": {"stringFilter": {"value": "p", "matchType": "BEGINS_WITH"}},
    "browser": {"stringFilter": {"value": "Chrome"}},
    "hour": {"numericFilter": {"operation": "LESS_THAN", "value": {"int64Value": "12"}}},
}


@st.composite
def requests_of(draw: st.DrawFn, rollup: Rollup) -> dict[str, Any]:
    """A request that a rollup can answer."""
    own = [name for name, one in DIMENSIONS.items() if set(one.keys) <= set(rollup.keys)]
    by = draw(st.lists(st.sampled_from(own), max_size=3, unique=True))
    filters = draw(st.sampled_from([None, *(name for name in FILTERS if name in own)]))
    filtered = [DIMENSIONS[filters]] if filters else []
    rows_by = [DIMENSIONS[name] for name in by]
    able = [name for name, one in METRICS.items() if not missing(rollup, rows_by, filtered, [one])]
    asked = draw(st.lists(st.sampled_from(able), min_size=1, max_size=6, unique=True))
    request = asks(" ".join(by), " ".join(asked), dateRanges=draw(st.sampled_from(RANGES)))
    if filters:
        request["dimensionFilter"] = {"filter": {"fieldName": filters, **FILTERS[filters]}}
    elif not (
        rollup.name == "pages" and "sessions" in str([METRICS[one].measures for one in asked])
    ):
        request["metricAggregations"] = ["TOTAL", "MAXIMUM"]
    return request


@given(data=st.data())
@examples(100)
def test_what_a_rollup_answers_hits_answer_alike(data: st.DataObject) -> None:
    gap_us = data.draw(st.sampled_from((5 * MINUTE_US, GAP_US, 240 * MINUTE_US)))
    hits = whole(hits_of(data.draw(visits(gap_us=gap_us, span_us=40 * HOUR_US)), gap_us))
    rollup = data.draw(st.sampled_from(ANSWERED_ALIKE))
    request = data.draw(requests_of(rollup))
    property_id = data.draw(st.integers(1, 2))
    asked = parsed(request, property_id)
    expected = from_cells(hits, asked, property_id)
    for clients in (1, 3):
        assert from_hits(hits, asked, property_id, clients=clients) == expected


QUERIES: dict[str, tuple[dict[str, Any], str]] = {
    "pages of sources, and their sessions": (
        asks("pagePath sessionSource", "eventCount screenPageViews totalUsers"),
        """SELECT path_name, session_source, count(*), sum(is_page_view::int),
                  count(DISTINCT client_hash)
           FROM placed GROUP BY ALL""",
    ),
    "sessions with an event, which no rollup counts": (
        asks("eventName", "sessions engagedSessions newUsers"),
        """SELECT event_name, count(DISTINCT session),
                  count(DISTINCT session) FILTER (is_engaged),
                  count(DISTINCT client_hash) FILTER (is_first_visit)
           FROM placed GROUP BY ALL""",
    ),
    "events of browsers by page": (
        asks("browser pagePath eventName", "eventCount sessions"),
        """SELECT session_browser, path_name, event_name, count(*), count(DISTINCT session)
           FROM placed GROUP BY ALL""",
    ),
    "sessions that viewed any of some pages, each once": (
        asks(
            "",
            "sessions averageSessionDuration",
            dimensionFilter={
                "filter": {"fieldName": "pagePath", "inListFilter": {"values": ["/", "/cart"]}}
            },
        ),
        """SELECT count(*), coalesce(sum(duration_ms)::double / 1000 / count(*), 0) FROM (
               SELECT DISTINCT session, duration_ms FROM placed
               WHERE path IN ('/', '/cart') AND is_page_view AND session IS NOT NULL)""",
    ),
    "titles and countries": (
        asks("pageTitle countryId", "eventCount totalUsers"),
        """SELECT CASE title WHEN '' THEN '(not set)' ELSE title END,
                  CASE country WHEN '' THEN '(not set)' ELSE country END,
                  count(*), count(DISTINCT client_hash)
           FROM placed GROUP BY ALL""",
    ),
    "what hits themselves name": (
        asks("sourceMedium eventName", "eventCount"),
        """SELECT CASE source WHEN '' THEN '(not set)' ELSE source END || ' / ' ||
                  CASE medium WHEN '' THEN '(not set)' ELSE medium END,
                  event_name, count(*)
           FROM placed GROUP BY ALL""",
    ),
}
"""Reports that no rollup answers, and the same in SQL over hits and plainly made sessions."""
PLACED = """
CREATE TABLE placed AS
WITH marked AS (
    SELECT *, opens_session AND coalesce(event_at - lag(event_at) OVER w >= 1800000000, true)
              AS begins
    FROM hits WINDOW w AS (PARTITION BY client_hash ORDER BY event_at, hit_id)
), numbered AS (
    SELECT *, sum(begins::int) OVER (PARTITION BY client_hash ORDER BY event_at, hit_id) AS number
    FROM marked
), sessions AS (
    SELECT client_hash, number,
           (max(event_at) - min(event_at)) // 1000 AS duration_ms,
           CASE sum(engagement_ms) WHEN 0 THEN max(event_at) // 1000 - min(event_at) // 1000
                ELSE sum(engagement_ms) END >= 10000
           OR sum(is_key_event::int) > 0 OR sum(is_page_view::int) >= 2 AS is_engaged,
           coalesce(arg_min(source, (event_at, hit_id)) FILTER (source <> ''), '') AS own_source,
           arg_min(browser, (event_at, hit_id)) AS session_browser,
           min(event_at) AS began
    FROM numbered GROUP BY ALL
), attributed AS (
    SELECT *, coalesce(
        nullif(own_source, ''),
        last_value(nullif(own_source, '') IGNORE NULLS) OVER (
            PARTITION BY client_hash ORDER BY began
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
        '(direct)') AS session_source
    FROM sessions
)
SELECT numbered.*, client_hash::text || ' ' || number AS session, duration_ms, is_engaged,
       session_source, session_browser,
       CASE path WHEN '' THEN '(not set)' ELSE path END AS path_name
FROM numbered JOIN attributed USING (client_hash, number)
"""


@st.composite
def plain_visits(draw: st.DrawFn) -> pl.DataFrame:
    """Hits of one property that all open sessions, none of which is long enough to be cut."""
    found = draw(visits(gap_us=GAP_US, span_us=3 * HOUR_US, properties=1))
    opened = [replace(one, opens_session=True) for one in found]
    hits = whole(hits_of(opened, GAP_US))
    titles = draw(
        st.lists(st.sampled_from(["", "Tea"]), min_size=hits.height, max_size=hits.height)
    )
    lands = draw(st.lists(st.sampled_from(["", "IN"]), min_size=hits.height, max_size=hits.height))
    return hits.with_columns(pl.Series("title", titles), pl.Series("country", lands)).sort(
        "client_hash", "event_at", "hit_id"
    )


@given(hits=plain_visits(), name=st.sampled_from(sorted(QUERIES)))
@examples(60)
def test_what_no_rollup_holds_is_what_sql_says(hits: pl.DataFrame, name: str) -> None:
    request, query = QUERIES[name]
    asked = parsed(request, 1)
    assert smallest_rollup(asked.dimensions, asked.filter_dimensions, asked.metrics)[1]
    with duckdb.connect() as connection:
        connection.register("hits", hits.drop("items", "params", "user_properties").to_arrow())
        connection.execute(PLACED)
        expected = connection.execute(query).fetchall()
    width = len(asked.dimensions)
    found = [
        (*row[:width], *map(float, row[width:]))
        for row in values(from_hits(hits, asked, 1, clients=2)["rows"])
    ]
    said = [(*row[:width], *map(float, row[width:])) for row in expected]
    assert sorted(found) == sorted(row for row in said if any(row[width:]))


def bought(event: str, transaction: str, *items: tuple[str, int, int], **changes: object) -> dict:
    """A hit with items: name, price in micros, quantity."""
    return {
        "event_name": event,
        "transaction_id": transaction,
        "items": [
            item(item_name=name, price_micros=price, quantity=quantity)
            for name, price, quantity in items
        ],
        **changes,
    }


def test_items_are_counted_by_the_event_that_names_them_each_sale_once() -> None:
    sale = bought("purchase", "T1", ("Tea", 4_000_000, 3), ("Cup", 9_000_000, 0), currency="EUR")
    francs = {"currency": "CHF", "sent_value_micros": 8_000_000, "value_micros": 4_000_000}
    hits = [
        bought("view_item", "", ("Tea", 4_000_000, 1)),
        bought("add_to_cart", "", ("Tea", 4_000_000, 2)),
        sale,
        sale,  # the last page, loaded again
        bought("purchase", "T2", ("Tea", 8_000_000, 1), **francs),
        bought("purchase", "T3", ("Tea", 8_000_000, 1), currency="JPY"),  # of no known rate
        bought("refund", "T1", ("Tea", 4_000_000, 1), currency="EUR"),
    ]
    base = hits_of(
        [
            Visit(client=0, property_id=1, event_at=NOON_US + at, opens_session=True, look=0)
            for at in range(len(hits))
        ],
        GAP_US,
    )
    frame = whole(base).drop(*hits[4], strict=False).hstack(
        pl.DataFrame(
            [{"currency": "", "sent_value_micros": 0, "value_micros": 0} | hit for hit in hits],
            schema={name: HIT_SCHEMA[name] for name in hits[4]},
        )
    )  # fmt: skip
    told = asks("itemName", "itemsPurchased itemRevenue itemsViewed itemsAddedToCart totalUsers")
    assert values(from_hits(frame, parsed(told, 1), 1)["rows"]) == [
        ("Tea", "5", "12", "1", "2", "1"),
        ("Cup", "1", "9", "0", "0", "1"),
    ]
    whole_shop = asks("date", "itemRevenue eventCount sessions")
    (row,) = values(from_hits(frame, parsed(whole_shop, 1), 1)["rows"])
    assert row[1:] == ("21", "7", "1")


def test_items_do_not_go_with_metrics_of_events() -> None:
    with pytest.raises(InvalidRequestError, match="Please remove itemName"):
        plan_of_hits(parsed(asks("itemName", "itemsViewed eventCount"), 1), 1)
