"""Three months of a real shop through the batch form of the pipeline: what DuckDB says of the file.

The rows of the sample are turned into the requests that GA4 would have sent, received at the time
of the event. Sources travel as campaign overrides, as the export names them; referrers stay behind.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import duckdb
import polars as pl
import pytest

from beam_pipelines import replay
from beam_pipelines.options import ShardSettings
from stores.wide_rows.opening import open_wide_rows
from tallymark.blocks import Block, encode_requests
from tallymark.decoded_cells import DecodedCells, decode
from tallymark.requests import REQUEST_SCHEMA
from tallymark.rollups import BY_NAME
from tallymark.row_keys import rollup_range
from tallymark.uniques import estimates

pytestmark = pytest.mark.slow

SAMPLE = Path(__file__).parent.parent / "data" / "ga4_events_sampled.parquet"
PROPERTY_ID = 1001
MEASUREMENT_ID = "G-SAMPLE0001"
BLOCK_REQUESTS = 5_000
DATE = pl.from_epoch("slot_start", time_unit="us").dt.strftime("%Y%m%d").alias("date")


def _param(key: str, kind: str = "string_value") -> str:
    return f"list_filter(event_params, lambda p: p.key = '{key}')[1].value.{kind}"


@pytest.fixture(scope="module")
def sample() -> duckdb.DuckDBPyConnection:
    """The file as a view ``events``, a row an event, in the order of time."""
    connection = duckdb.connect()
    source = f"nullif({_param('source')}, '(direct)')"
    connection.execute(f"""
        CREATE TABLE events AS
        SELECT row_number() OVER (ORDER BY event_timestamp, user_pseudo_id, event_name) AS number,
               event_date AS date, event_timestamp AS moment, event_name AS name,
               user_pseudo_id AS client, {_param("page_location")} AS location,
               coalesce({_param("engagement_time_msec", "int_value")}, 0) AS engagement_ms,
               {source} AS source,
               CASE WHEN {source} IS NOT NULL THEN {_param("medium")} END AS medium,
               CASE WHEN {source} IS NOT NULL THEN {_param("campaign")} END AS campaign,
               coalesce({_param("value", "double_value")},
                        {_param("value", "int_value")}) AS value,
               {_param("currency")} AS currency
        FROM '{SAMPLE}'
    """)
    return connection


def _request(event: dict[str, Any]) -> dict[str, Any]:
    fields = {
        "v": 2,
        "tid": MEASUREMENT_ID,
        "cid": event["client"],
        "en": event["name"],
        "dl": event["location"],
        "_et": event["engagement_ms"],
        "cs": event["source"],
        "cm": event["medium"],
        "cn": event["campaign"],
        "epn.value": event["value"],
        "cu": event["currency"],
    }
    nothing = {
        name: "" if kind == pl.String else False if kind == pl.Boolean else 0
        for name, kind in REQUEST_SCHEMA.items()
    }
    return nothing | {
        "request_id": f"{event['number']:032x}",
        "received_at": event["moment"],
        "method": "GET",
        "path": "/g/collect",
        "query": urlencode({key: value for key, value in fields.items() if value is not None}),
        "body_encoding": "utf-8",
    }


def _blocks(sample: duckdb.DuckDBPyConnection) -> list[Block]:
    rows = sample.execute("SELECT * FROM events ORDER BY number")
    names = [column[0] for column in rows.description]
    events = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
    blocks = []
    for first in range(0, len(events), BLOCK_REQUESTS):
        part = events[first : first + BLOCK_REQUESTS]
        frame = pl.DataFrame(list(map(_request, part)), schema=REQUEST_SCHEMA)
        blocks.append(
            Block(
                spool_id="sample",
                number=len(blocks) + 1,
                kind="requests",
                frontier=part[-1]["moment"] + 1,
                requests=len(part),
                payload=encode_requests(frame),
                published_at=part[-1]["moment"] + 1,
            )
        )
    return blocks


@pytest.fixture(scope="module")
def counted(
    sample: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, DecodedCells]:
    """The decoded cells of each rollup, written by the batch pipeline."""
    folder = tmp_path_factory.mktemp("sample")
    rules = folder / "properties.json"
    version = {
        "version": 1, "effective_at": None, "time_zone": "UTC", "currency": "USD",
        "session_gap_seconds": 1800, "engagement_threshold_seconds": 10,
        "key_events": ["purchase"],
    }  # fmt: skip
    owner = {
        "property_id": PROPERTY_ID, "name": "Sample", "measurement_id": MEASUREMENT_ID,
        "api_secret_hash": "0" * 64, "read_key_hash": "0" * 64, "versions": [version],
    }  # fmt: skip
    rules.write_text(json.dumps({"properties": [owner]}))
    settings = ShardSettings(
        lineage="gen-1",
        shards=2,
        wide_rows_url=f"sqlite:{folder / 'wide_rows.sqlite'}",
        archive_url=f"file:{folder / 'archive'}",
        rules_path=str(rules),
        snapshot_seconds=0,
        late_us=replay.EVERY_LATENESS_US,
    )
    replay.run(_blocks(sample), settings)
    store = open_wide_rows(settings.wide_rows_url)
    first, end = sample.execute("SELECT min(moment), max(moment) + 1 FROM events").fetchone() or (
        0,
        0,
    )
    return {
        name: decode(rollup, store.read([rollup_range(PROPERTY_ID, name, first, end)]))
        for name, rollup in BY_NAME.items()
    }


def _rows(sample: duckdb.DuckDBPyConnection, query: str) -> set[tuple[Any, ...]]:
    return set(sample.execute(query).fetchall())


def test_events_by_name_and_date_are_those_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: dict[str, DecodedCells]
) -> None:
    found = counted["events"].numbers.group_by(DATE, "event_name").agg(pl.col("events").sum())
    expected = _rows(sample, "SELECT date, name, count(*) FROM events GROUP BY ALL")
    assert len(expected) > 900
    assert set(found.rows()) == expected


def test_users_by_date_and_in_all_are_those_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: dict[str, DecodedCells]
) -> None:
    totals = counted["totals"]
    users = totals.sets.filter(pl.col("measure") == "users")
    by_date = users.join(totals.numbers.select("row", DATE), on="row")
    found = estimates(by_date, ["date"], BY_NAME["totals"].unique_k)
    assert set(found.rows()) == _rows(
        sample, "SELECT date, count(DISTINCT client) FROM events GROUP BY ALL"
    )
    k = BY_NAME["totals"].unique_k
    (everybody,) = sample.execute("SELECT count(DISTINCT client) FROM events").fetchone() or (0,)
    (estimated,) = estimates(users, [], k).get_column("count")
    assert abs(estimated / everybody - 1) < 4 / (k - 2) ** 0.5


def test_views_by_page_are_those_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: dict[str, DecodedCells]
) -> None:
    pages = counted["pages"].numbers.group_by("host", "path").agg(pl.col("views").sum())
    expected = _rows(
        sample,
        """SELECT lower(regexp_extract(location, '://([^/?#]+)', 1)),
                  coalesce(nullif(regexp_extract(location, '://[^/?#]+([^?#]*)', 1), ''), '/'),
                  count(*)
           FROM events WHERE name = 'page_view' GROUP BY ALL""",
    )
    assert len(expected) > 200
    assert set(pages.filter(pl.col("views") > 0).rows()) == expected


def test_revenue_by_date_is_that_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: dict[str, DecodedCells]
) -> None:
    found = counted["totals"].numbers.group_by(DATE).agg(pl.col("value_micros").sum())
    expected = _rows(
        sample,
        """SELECT date, CAST(round(sum(value) * 1000000) AS BIGINT) FROM events
           WHERE name = 'purchase' AND value IS NOT NULL GROUP BY ALL""",
    )
    assert len(expected) > 50
    assert set(found.filter(pl.col("value_micros") != 0).rows()) == expected


def test_sessions_by_source_and_date_are_those_of_the_file(
    sample: duckdb.DuckDBPyConnection, counted: dict[str, DecodedCells]
) -> None:
    sessions = """
        WITH paused AS (
            SELECT *, moment - lag(moment) OVER (PARTITION BY client ORDER BY number) AS pause
            FROM events),
        numbered AS (
            SELECT *, sum(CAST(pause IS NULL OR pause >= 1800000000 AS INT))
                OVER (PARTITION BY client ORDER BY number) AS session FROM paused),
        sessions AS (
            SELECT arg_min(date, number) AS date, max(moment) - min(moment) AS duration,
                   arg_min(source, number) FILTER (source IS NOT NULL) AS source,
                   arg_min(medium, number) FILTER (source IS NOT NULL) AS medium
            FROM numbered GROUP BY client, session)
    """
    (longest,) = sample.execute(f"{sessions} SELECT max(duration) FROM sessions").fetchone() or (0,)
    assert longest < 4 * 3_600_000_000, "a session that is cut would need another oracle"
    expected = _rows(
        sample,
        f"""{sessions} SELECT date, coalesce(source, '(direct)'), coalesce(medium, '(none)'),
            count(*) FROM sessions GROUP BY ALL""",
    )
    found = (
        counted["acquisition"]
        .numbers.group_by(DATE, "source", "medium")
        .agg(pl.col("sessions").sum())
        .filter(pl.col("sessions") > 0)
    )
    assert len(expected) > 500
    assert set(found.rows()) == expected
