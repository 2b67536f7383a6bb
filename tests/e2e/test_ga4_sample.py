"""Three months of a real shop, imported and counted: hour by hour what DuckDB says of the file."""

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from tallymark.countries import country_codes
from tallymark.protocols import decode
from tallymark.rollups import BY_NAME
from tallymark.uniques import estimates

from .imported import FOLLOWED, Cells, DataFolder, clients, summed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SAMPLE = Path(__file__).parent.parent / "data" / "ga4_events_sampled.parquet"
SESSIONS = (
    """
    WITH paused AS (
        SELECT *, moment - lag(moment) OVER (PARTITION BY client ORDER BY number) AS pause
        FROM events),
    numbered AS (
        SELECT *, sum(CAST(pause IS NULL OR pause >= 1800000000 AS INT))
            OVER (PARTITION BY client ORDER BY number) AS session FROM paused),
    sessions AS (
        SELECT client, arg_min(hour, number) AS hour, min(moment) AS start,
               max(moment) - min(moment) AS duration,
               arg_min(source, number) FILTER (source IS NOT NULL) AS source,
               arg_min(medium, number) FILTER (source IS NOT NULL) AS medium,
               arg_min(device_category, number) AS device_category,
               arg_min(browser, number) AS browser,
               arg_min(operating_system, number) AS operating_system
        FROM numbered GROUP BY client, session)
    """
    + FOLLOWED
)
"""A session of each client's run of events without a pause of half an hour."""


def _param(key: str, kind: str = "string_value") -> str:
    return f"list_filter(event_params, lambda p: p.key = '{key}')[1].value.{kind}"


@pytest.fixture(scope="module")
def sample() -> duckdb.DuckDBPyConnection:
    """The file as a view ``events``, a row an event, in the order of time."""
    connection = duckdb.connect()
    connection.execute(f"""
        CREATE TABLE events AS
        SELECT row_number() OVER (ORDER BY event_timestamp, file_row_number) AS number,
               event_date AS date, event_timestamp AS moment,
               event_timestamp // 3600000000 AS hour, event_name AS name,
               user_pseudo_id AS client, {_param("page_location")} AS location,
               {_param("page_title")} AS title, {_param("page_referrer")} AS referrer,
               coalesce({_param("engagement_time_msec", "int_value")}, 0) AS engagement_ms,
               {_param("ga_session_id", "int_value")} AS session_id,
               {_param("source")} AS said_source, {_param("medium")} AS said_medium,
               {_param("campaign")} AS said_campaign, {_param("term")} AS term,
               coalesce({_param("value", "double_value")}, {_param("value", "int_value")},
                        ecommerce.purchase_revenue, ecommerce.refund_value) AS value,
               {_param("currency")} AS currency,
               coalesce({_param("transaction_id")},
                        CAST({_param("transaction_id", "int_value")} AS VARCHAR),
                        nullif(ecommerce.transaction_id, '(not set)')) AS transaction_id,
               nullif(geo.country, '(not set)') AS country, device.language AS language,
               device.category AS device_category, device.web_info.browser AS browser,
               device.operating_system AS operating_system, items
        FROM read_parquet('{SAMPLE}', file_row_number = true)
    """)
    # What a hit names: all three, as far as it says one; "(direct)" is no source.
    connection.execute("""
        ALTER TABLE events ADD COLUMN source VARCHAR;
        ALTER TABLE events ADD COLUMN medium VARCHAR;
        UPDATE events SET source = coalesce(said_source, '(not set)'),
                          medium = coalesce(said_medium, '(not set)')
        WHERE coalesce(said_source, said_medium, said_campaign) IS NOT NULL
          AND said_source IS DISTINCT FROM '(direct)'
    """)
    return connection


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    """A data folder into which the sample was imported."""
    made = DataFolder.make(tmp_path_factory.mktemp("sample") / "data")
    told = made.import_files("ga4-export", SAMPLE)
    assert (told["imported"], told["skipped"]) == (24_219, {})
    return made


@pytest.fixture(scope="module")
def counted(folder: DataFolder) -> Cells:
    """The cells that the import was counted to."""
    return folder.counted()


@pytest.fixture(scope="module")
def hits(folder: DataFolder) -> pl.DataFrame:
    """The hits that are decoded from the imported requests."""
    decoded = decode(folder.requests())
    assert decoded.dead_letters.is_empty()
    return decoded.hits


def _rows(sample: duckdb.DuckDBPyConnection, query: str) -> set[tuple[Any, ...]]:
    return set(sample.execute(query).fetchall())


def test_events_by_name_and_hour_are_those_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    expected = _rows(sample, "SELECT hour, name, count(*) FROM events GROUP BY ALL")
    assert len(expected) > 9_000
    assert summed(counted["events"], ["event_name"], "events") == expected


def test_clients_by_hour_by_event_and_in_all_are_those_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    assert clients(counted["totals"], []) == _rows(
        sample, "SELECT hour, count(DISTINCT client) FROM events GROUP BY ALL"
    )
    assert clients(counted["events"], ["event_name"]) == _rows(
        sample, "SELECT hour, name, count(DISTINCT client) FROM events GROUP BY ALL"
    )
    k = BY_NAME["totals"].unique_k
    users = counted["totals"].sets.filter(pl.col("measure") == "users")
    (everybody,) = sample.execute("SELECT count(DISTINCT client) FROM events").fetchone() or (0,)
    (estimated,) = estimates(users, [], k).get_column("count")
    assert abs(estimated / everybody - 1) < 4 / (k - 2) ** 0.5


def test_clients_of_their_first_visit_by_hour_are_those_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    expected = _rows(
        sample,
        "SELECT hour, count(DISTINCT client) FROM events WHERE name = 'first_visit' GROUP BY ALL",
    )
    assert len(expected) > 800
    assert clients(counted["totals"], [], "new_users") == expected


def test_views_by_page_and_hour_are_those_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    expected = _rows(
        sample,
        """SELECT hour, lower(regexp_extract(location, '://([^/?#]+)', 1)),
                  coalesce(nullif(regexp_extract(location, '://[^/?#]+([^?#]*)', 1), ''), '/'),
                  count(*)
           FROM events WHERE name = 'page_view' GROUP BY ALL""",
    )
    assert len(expected) > 5_000
    assert summed(counted["pages"], ["host", "path"], "views") == expected


def test_engagement_by_hour_is_that_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    expected = _rows(
        sample, "SELECT hour, sum(engagement_ms) AS ms FROM events GROUP BY ALL HAVING ms > 0"
    )
    assert len(expected) > 2_000
    assert summed(counted["totals"], [], "engagement_ms") == expected


def test_revenue_by_hour_is_that_of_the_file_each_transaction_once(
    sample: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    """Some buyers of the Merchandise Store loaded the last page twice."""
    horizon_us = 4 * 3_600_000_000
    sample.execute(
        f"""CREATE OR REPLACE TEMP TABLE sales AS
        SELECT hour, value, coalesce(before >= (moment // {horizon_us} - 1) * {horizon_us}, false)
                            AND coalesce(transaction_id, '') <> '' AS is_repeat
        FROM (SELECT *, lag(moment) OVER (PARTITION BY client, transaction_id
                                          ORDER BY moment, number) AS before
              FROM events WHERE name = 'purchase')"""
    )
    expected = _rows(
        sample,
        """SELECT hour, CAST(sum(round(value * 1000000)) AS BIGINT) AS micros FROM sales
           WHERE value IS NOT NULL AND NOT is_repeat GROUP BY ALL HAVING micros <> 0""",
    )
    assert len(expected) > 300
    assert sample.execute("SELECT count(*) FROM sales WHERE is_repeat").fetchall() == [(6,)]
    assert summed(counted["totals"], [], "value_micros") == expected


def test_sessions_by_source_and_hour_are_those_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    (longest,) = sample.execute(f"{SESSIONS} SELECT max(duration) FROM sessions").fetchone() or (0,)
    assert longest < 4 * 3_600_000_000, "a session that is cut would need another oracle"
    direct = f"{SESSIONS} SELECT count(*) FROM told WHERE source IS NULL AND is_named"
    (named,) = sample.execute(direct).fetchone() or (0,)
    assert named > 200, "direct sessions are to have the source of an earlier one"
    expected = _rows(
        sample, f"{SESSIONS} SELECT hour, last_source, last_medium, count(*) FROM told GROUP BY ALL"
    )
    assert len(expected) > 4_000
    assert summed(counted["acquisition"], ["source", "medium"], "sessions") == expected


def test_sessions_by_their_clients_first_source_and_hour_are_those_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    expected = _rows(
        sample,
        f"{SESSIONS} SELECT hour, first.source, first.medium, count(*) FROM told GROUP BY ALL",
    )
    assert len(expected) > 4_000
    keys = ["first_source", "first_medium"]
    assert summed(counted["first_user"], keys, "sessions") == expected


def test_new_and_returning_sessions_by_hour_are_those_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    expected = _rows(sample, f"{SESSIONS} SELECT hour, kind, count(*) FROM told GROUP BY ALL")
    assert len(expected) > 2_500
    assert summed(counted["visitors"], ["new_vs_returning"], "sessions") == expected


def test_sessions_by_technology_and_hour_are_those_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    names = ["device_category", "browser", "operating_system"]
    expected = _rows(
        sample, f"{SESSIONS} SELECT hour, {', '.join(names)}, count(*) FROM sessions GROUP BY ALL"
    )
    assert len(expected) > 4_000
    assert summed(counted["technology"], names, "sessions") == expected


def test_what_a_hit_says_of_itself_is_what_the_file_says(
    sample: duckdb.DuckDBPyConnection, hits: pl.DataFrame
) -> None:
    texts = ("title", "term", "currency", "transaction_id", "language")
    rows = sample.execute(
        f"""SELECT moment, name, client, CAST(session_id AS VARCHAR), engagement_ms,
                   coalesce(country, ''), coalesce(said_campaign, ''),
                   {", ".join(f"coalesce({name}, '')" for name in texts)}
            FROM events"""
    ).fetchall()
    countries = pl.Series([row[5] for row in rows])
    codes = country_codes(countries)
    expected = [(*row[:5], code, *row[6:]) for row, code in zip(rows, codes, strict=True)]
    found = hits.select(
        "event_at", "event_name", "client_id", "client_session_id", "engagement_ms", "country",
        "campaign", *texts,
    )  # fmt: skip

    assert codes.n_unique() > 80
    assert set(countries.filter(codes == "")) == {""}
    assert sorted(found.rows()) == sorted(expected)


def test_items_are_those_of_the_file(sample: duckdb.DuckDBPyConnection, hits: pl.DataFrame) -> None:
    def text(name: str) -> str:
        return f"coalesce(nullif(item.{name}, '(not set)'), '')"

    names = ("item_id", "item_name", "item_brand", "item_variant", "item_category", "coupon")
    expected = sample.execute(
        f"""SELECT moment, {", ".join(f"{text(name)} AS {name}" for name in names)},
                   CAST(round(coalesce(item.price, item.price_in_usd, 0) * 1000000) AS BIGINT)
                       AS price_micros, coalesce(item.quantity, 0) AS quantity
            FROM (SELECT moment, unnest(items) AS item FROM events)"""
    ).fetchall()
    columns = [*names, "price_micros", "quantity"]
    found = (
        hits.select(pl.col("event_at").alias("moment"), "items")
        .explode("items").drop_nulls("items").unnest("items").select("moment", *columns)
    )  # fmt: skip

    # An entry of which nothing is set, or a promotion's name alone, is no item.
    nothing = ("",) * len(names) + (0, 0)
    told = sorted(row for row in expected if row[1:] != nothing)
    assert len(told) > 10_000
    assert sorted(row for row in found.rows() if row[1:] != nothing) == told
