"""What a 30-day report costs inside the API, and beside DuckDB over sorted Parquet of the hits.

No result is cached; requests vary in shape, days, names and filters. A request is timed from the
WSGI environment to the bytes of the answer. DuckDB gets the same hits with their sessions worked
out already, sorted by property and time, and counts users approximately, which is faster there.

Run: python -m benchmarks.report [--hits 300000] [--properties 5] [--requests 400] [--hours-only]
"""

import argparse
import io
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
import polars as pl

from report_api.app import create_app
from report_api.compaction import Compaction
from stores.rules_cache.file import FileRulesCache
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark import pointer_map
from tallymark.cells import SLOT_COLUMNS, encode
from tallymark.pointer_map import PointerMap
from tallymark.rollups import ROLLUPS, Rollup
from tallymark.row_keys import POINTER_MAP_KEY
from tallymark.slots import DAY_US, HOUR_US
from tallymark.uniques import least_hashes
from tests.property_files import CreatedProperty, create_property

FIRST_US = 1_767_225_600_000_000  # 2026-01-01
DAYS = 45
SOURCES = [(f"source{index}", f"medium{index % 4}", f"campaign{index % 9}") for index in range(20)]


def now_of(days: int) -> int:
    """UTC µs of the last hour of so many days of hits."""
    return FIRST_US + days * DAY_US - HOUR_US


def hits_of(
    property_id: int, count: int, rng: np.random.Generator, days: int = DAYS
) -> pl.DataFrame:
    """Hits of some days, about seven a session, whose dimensions follow a steep distribution."""
    sessions = count // 7
    session = rng.integers(0, sessions, count)
    start = rng.integers(0, days * DAY_US, sessions)
    client = rng.integers(0, 2**64, max(1, sessions // 2), dtype=np.uint64)

    def steep(names: list[str], size: int) -> pl.Series:
        place = np.minimum(rng.zipf(1.4, size) - 1, len(names) - 1)
        return pl.Series(names)[place.astype(np.uint32)]

    source = np.minimum(rng.zipf(1.4, sessions) - 1, len(SOURCES) - 1)
    of_session = pl.DataFrame(
        {
            "start": start,
            "client_hash": client[rng.integers(0, len(client), sessions)],
            **{
                name: pl.Series([row[place] for row in SOURCES])[source.astype(np.uint32)]
                for place, name in enumerate(("source", "medium", "campaign"))
            },
            "landing_page": steep([f"/landing/{index}" for index in range(60)], sessions),
            "device_category": steep(["desktop", "mobile", "tablet"], sessions),
            "browser": steep([f"Browser {index}" for index in range(12)], sessions),
            "operating_system": steep([f"System {index}" for index in range(6)], sessions),
            "engaged": rng.random(sessions) < 0.6,
        }
    )
    hits = of_session[session.astype(np.uint32)].with_columns(
        property_id=pl.lit(property_id),
        session=session,
        event_at=FIRST_US + pl.Series(start[session] + rng.integers(0, 600_000_000, count)),
        event_name=steep(["page_view", "scroll", "user_engagement", "purchase", "search"], count),
        host=pl.lit("shop.example"),
        path=steep([f"/product/{index}" for index in range(300)], count),
        value_micros=pl.Series(rng.integers(0, 99_000_000, count)),
    )
    first = pl.col("event_at") == pl.col("event_at").min().over("session")
    is_new = pl.col("start") == pl.col("start").min().over("client_hash")
    hits = hits.with_columns(channel=pl.concat_str(pl.lit("Channel of "), "medium"))
    return hits.with_columns(
        *(
            pl.col(name).sort_by("start").first().over("client_hash").name.prefix("first_")
            for name in ("source", "medium", "campaign", "channel")
        ),
        new_vs_returning=pl.when(is_new).then(pl.lit("new")).otherwise(pl.lit("returning")),
        landing_host=pl.lit("shop.example"),
        sessions=first.cast(pl.Int64),
        engaged_sessions=(first & pl.col("engaged")).cast(pl.Int64),
        views=(pl.col("event_name") == "page_view").cast(pl.Int64),
        key_events=(pl.col("event_name") == "purchase").cast(pl.Int64),
        value_micros=pl.when(pl.col("event_name") == "purchase").then("value_micros").otherwise(0),
        events=pl.lit(1, pl.Int64),
    ).drop("start", "session", "engaged")


def rows_of(rollup: Rollup, hits: pl.DataFrame) -> pl.DataFrame:
    """The rollup's rows, straight from the hits."""
    slotted = hits.with_columns(
        slot_start=pl.col("event_at") // HOUR_US * HOUR_US, slot_minutes=pl.lit(60, pl.Int32)
    )
    present = [name for name in rollup.sums if name in hits.columns]
    absent = [name for name in rollup.sums if name not in hits.columns]
    return slotted.group_by(*SLOT_COLUMNS, *rollup.keys).agg(
        pl.col(present).sum(),
        *(pl.lit(0, pl.Int64).alias(name) for name in absent),
        *(least_hashes(pl.col("client_hash"), rollup.unique_k).alias(n) for n in rollup.uniques),
    )


def fill(store: SqliteWideRows, hits: pl.DataFrame) -> None:
    """Store all cells but those of minutes and of custom definitions."""
    for rollup in ROLLUPS:
        if rollup.grain != "minute" and not rollup.within:
            rows = rows_of(rollup, hits)
            touched = rows.select(SLOT_COLUMNS).unique()
            store.write(encode(rollup, rows, touched, lineage="gen-0", version=1))


USERS = "approx_count_distinct(client_hash)"
SHAPES: list[tuple[str, str, str]] = [
    ("", "sessions screenPageViews totalUsers eventCount", "all"),
    ("date", "sessions screenPageViews activeUsers", "all"),
    ("sessionSource sessionMedium", "sessions engagementRate keyEvents totalRevenue", "all"),
    ("date sessionDefaultChannelGroup", "sessions totalRevenue", "all"),
    ("sessionCampaignName", "activeUsers sessions", "source"),
    ("pagePath", "screenPageViews eventCount", "path"),
    ("pagePath", "screenPageViews totalUsers", "all"),
    ("deviceCategory browser", "activeUsers sessions", "all"),
    ("eventName", "eventCount totalUsers", "all"),
    ("landingPage", "sessions bounceRate", "all"),
]
COLUMNS = {
    "date": "strftime(make_timestamp(event_at), '%Y%m%d')",
    "sessionSource": "source",
    "sessionMedium": "medium",
    "sessionDefaultChannelGroup": "channel",
    "sessionCampaignName": "campaign",
    "pagePath": "path",
    "deviceCategory": "device_category",
    "browser": "browser",
    "eventName": "event_name",
    "landingPage": "landing_page",
}
VALUES = {
    "sessions": "sum(sessions)",
    "screenPageViews": "sum(views)",
    "eventCount": "count(*)",
    "totalUsers": USERS,
    "activeUsers": USERS,
    "keyEvents": "sum(key_events)",
    "totalRevenue": "sum(value_micros) / 1e6",
    "engagementRate": "sum(engaged_sessions) / sum(sessions)",
    "bounceRate": "1 - sum(engaged_sessions) / sum(sessions)",
}


def varied_request(
    rng: random.Random, length: int = 30, days: int = DAYS
) -> tuple[dict[str, Any], str]:
    """A request of ``length`` days, and its SQL with ``{parquet}`` and ``{owner}`` left open."""
    dimensions, metrics, kind = rng.choice(SHAPES)
    first = rng.randrange(0, days - length + 1)
    start_us = FIRST_US + first * DAY_US
    request: dict[str, Any] = {
        "dateRanges": [
            {"startDate": _day(start_us), "endDate": _day(start_us + (length - 1) * DAY_US)}
        ],
        "dimensions": [{"name": name} for name in dimensions.split()],
        "metrics": [{"name": name} for name in metrics.split()],
        "limit": rng.choice([10, 25, 50, 100]),
    }
    where = f"event_at >= {start_us} AND event_at < {start_us + length * DAY_US}"
    if kind != "all":
        column, text = (
            ("sessionSource", f"source{rng.randrange(20)}")
            if kind == "source"
            else ("pagePath", f"/product/{rng.randrange(1, 30)}")
        )
        request["dimensionFilter"] = {
            "filter": {"fieldName": column, "stringFilter": {"matchType": 4, "value": text}}
        }
        where += f" AND contains({COLUMNS[column]}, '{text}')"
    columns = [COLUMNS[name] for name in dimensions.split()]
    values = [VALUES[name] for name in metrics.split()]
    grouping = f" GROUP BY {', '.join(columns)} ORDER BY {values[0]} DESC" if columns else ""
    sql = (
        f"SELECT {', '.join(columns + values)} FROM '{{parquet}}' "
        f"WHERE property_id = {{owner}} AND {where}{grouping} LIMIT {request['limit']}"
    )
    return request, sql


def _day(instant_us: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(instant_us / 1e6))


def caller(application: Any, owner: CreatedProperty) -> Callable[[dict[str, Any]], bytes]:
    """Sends a request through WSGI."""

    def call(request: dict[str, Any]) -> bytes:
        body = orjson.dumps(request)
        status: list[str] = []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": f"/v1beta/properties/{owner.created.property_id}:runReport",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_AUTHORIZATION": f"Bearer {owner.read_key}",
        }
        answer = b"".join(application(environ, lambda code, _headers: status.append(code)))
        assert status == ["200 OK"], answer
        return answer

    return call


def timed_ms(call: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds that one call took, and of CPU that all threads used meanwhile."""
    began, used = time.perf_counter(), time.process_time()
    call()
    return (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000


def percentile(times: Sequence[float], share: float) -> float:
    """The time that ``share`` of all calls keep to."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def check_agreement(
    call: Callable[[dict[str, Any]], bytes], run: Callable[[str], list[tuple[Any, ...]]]
) -> None:
    """Both count the same events, and sessions, of every day."""
    days = {"startDate": _day(FIRST_US), "endDate": _day(FIRST_US + 29 * DAY_US)}
    request = {
        "dateRanges": [days],
        "dimensions": [{"name": "date"}],
        "metrics": [{"name": "eventCount"}, {"name": "sessions"}],
        "orderBys": [{"dimension": {"dimensionName": "date"}}],
    }
    rows = orjson.loads(call(request))["rows"]
    ours = [tuple(int(cell["value"]) for cell in row["metricValues"]) for row in rows]
    theirs = run(
        f"SELECT count(*), sum(sessions) FROM '{{parquet}}' WHERE property_id = {{owner}} "
        f"AND event_at < {FIRST_US + 30 * DAY_US} GROUP BY {COLUMNS['date']} "
        f"ORDER BY {COLUMNS['date']}"
    )
    assert ours == theirs, (ours, theirs)


def main() -> None:
    """Print a line an engine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hits", type=int, default=300_000, help="of a property in 30 days")
    parser.add_argument("--properties", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--duckdb-requests", type=int, default=60)
    parser.add_argument("--hours-only", action="store_true", help="make no day cells")
    arguments = parser.parse_args()
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        owners = [
            create_property(folder / "properties.json", name=f"Shop {i}", random_bytes=rng.bytes)
            for i in range(arguments.properties)
        ]
        hits = pl.concat(
            hits_of(owner.created.property_id, arguments.hits * DAYS // 30, rng) for owner in owners
        ).sort("property_id", "event_at")
        parquet = folder / "hits.parquet"
        hits.write_parquet(parquet, row_group_size=100_000)
        store = SqliteWideRows(folder / "wide_rows.sqlite")
        fill(store, hits)
        serve(store)
        cache = FileRulesCache(folder / "properties.json", clock=time.time)
        if not arguments.hours_only:
            made = Compaction(store, cache, lambda: now_of(DAYS)).run_once()
            print(f"made the cells of {made} days")
        app = create_app(wide_rows=store, rules_cache=cache, now_us=lambda: now_of(DAYS))
        call = caller(app.wsgi_app, owners[0])
        connection = duckdb.connect()
        owner_id = owners[0].created.property_id

        def run(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql.format(parquet=parquet, owner=owner_id)).fetchall()

        check_agreement(call, run)
        requests = [varied_request(random.Random(seed)) for seed in range(arguments.requests)]
        for request, _ in requests[:30]:
            call(request)
        ours = [timed_ms(lambda each=request: call(each)) for request, _ in requests]
        sqls = [sql for _, sql in requests[: arguments.duckdb_requests]]
        theirs = [timed_ms(lambda each=sql: run(each)) for sql in sqls]
        _print(arguments, ours, theirs, requests)
        store.close()


def serve(store: SqliteWideRows) -> None:
    """Let the cells be served."""
    store.compare_and_set(
        POINTER_MAP_KEY,
        pointer_map.QUALIFIER,
        expected=None,
        value=PointerMap.serving("gen-0").encode(),
        version=1,
    )


def _print(
    arguments: argparse.Namespace,
    ours: list[tuple[float, float]],
    theirs: list[tuple[float, float]],
    requests: list[tuple[dict[str, Any], str]],
) -> None:
    load = os.getloadavg()[0]
    cells = "cells of hours" if arguments.hours_only else "cells of days"
    print(f"30 days of {arguments.hits:,} hits, {cells}, {len(ours)} requests, load {load:.1f}; ms")
    print(_line("report API", ours))
    print(_line("DuckDB", theirs))
    for index, kind in enumerate(("time", "CPU")):
        ratios = [
            them[index] / us[index] for us, them in zip(ours[: len(theirs)], theirs, strict=True)
        ]
        print(f"ratio of {kind:5}  p50 {statistics.median(ratios):7.2f}  (of the same requests)")
    by_shape: dict[str, list[float]] = {}
    for (request, _), (took, _) in zip(requests, ours, strict=True):
        names = [entry["name"] for field in ("dimensions", "metrics") for entry in request[field]]
        filtered = " filtered" if "dimensionFilter" in request else ""
        by_shape.setdefault(" ".join(names) + filtered, []).append(took)
    for shape, times in sorted(by_shape.items(), key=lambda entry: -statistics.median(entry[1])):
        print(f"  {statistics.median(times):7.2f}  {shape}")


def _line(engine: str, times: list[tuple[float, float]]) -> str:
    took, used = zip(*times, strict=True)
    return (
        f"{engine:10}  p50 {percentile(took, 0.5):7.2f}  p99 {percentile(took, 0.99):7.2f}"
        f"  CPU p50 {percentile(used, 0.5):7.2f}"
    )


if __name__ == "__main__":
    main()
