"""What reports of one day to one year cost, beside DuckDB and ClickHouse over the same hits.

No result is cached; requests vary in shape, days, names and filters. *Cold* is the first report of
a new application with new connections; the machine's page cache is warm for all of them. DuckDB and
chdb (ClickHouse in the process; where it is installed, it is 0.5 GB) get a Parquet file with the
sessions of hits worked out already, sorted by property and time, and count users approximately.

Run: python -m benchmarks.report_ranges [--hits 1000 100000] [--requests 60]
"""

import argparse
import importlib.util
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from benchmarks.report import (
    caller,
    check_agreement,
    fill,
    hits_of,
    now_of,
    percentile,
    serve,
    varied_request,
)
from report_api.app import create_app
from report_api.compaction import Compaction
from stores.rules_cache.file import FileRulesCache
from stores.wide_rows.sqlite import SqliteWideRows
from tests.property_files import create_property

DAYS = 366
LENGTHS = (1, 7, 30, 90, 365)
COLD = 8
Run = Callable[[str], Any]


def engines(parquet: Path, owner: int) -> dict[str, Run]:
    """What runs a query, by name."""
    connection = duckdb.connect()
    found: dict[str, Run] = {
        "DuckDB": lambda sql: connection.execute(
            sql.format(parquet=parquet, owner=owner)
        ).fetchall()
    }
    if importlib.util.find_spec("chdb"):
        import chdb  # noqa: PLC0415  half a gigabyte that no other part needs

        session = chdb.session.Session()
        found["chdb"] = lambda sql: session.query(_clickhouse(sql, parquet, owner), "CSV").bytes()
    return found


def _clickhouse(sql: str, parquet: Path, owner: int) -> str:
    """The same in ClickHouse's words."""
    words = sql.replace("'{parquet}'", f"file('{parquet}', Parquet)").format(owner=owner)
    for ours, theirs in (
        ("approx_count_distinct(", "uniq("),
        (
            "strftime(make_timestamp(event_at), '%Y%m%d')",
            "formatDateTime(fromUnixTimestamp64Micro(event_at, 'UTC'), '%Y%m%d')",
        ),
        ("contains(", "position("),
    ):
        words = words.replace(ours, theirs)
    return words.replace("position(source, ", "0 < position(source, ").replace(
        "position(path, ", "0 < position(path, "
    )


def timed_ms(call: Callable[[], object]) -> float:
    """Milliseconds that a call took."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def measured(folder: Path, hits: int, count: int) -> None:
    """Print a line a range of a property of so many hits in 30 days."""
    rng = np.random.default_rng(7)
    owner = create_property(folder / "properties.json", name="Shop", random_bytes=rng.bytes)
    every = hits_of(owner.created.property_id, hits * DAYS // 30, rng, DAYS).sort(
        "property_id", "event_at"
    )
    every.write_parquet(folder / "hits.parquet", row_group_size=100_000)
    store = SqliteWideRows(folder / "wide_rows.sqlite")
    fill(store, every)
    serve(store)
    cache = FileRulesCache(folder / "properties.json", clock=time.time)
    Compaction(store, cache, lambda: now_of(DAYS)).run_once()
    others = engines(folder / "hits.parquet", owner.created.property_id)

    def application() -> Callable[[dict[str, Any]], bytes]:
        opened = SqliteWideRows(folder / "wide_rows.sqlite")
        app = create_app(wide_rows=opened, rules_cache=cache, now_us=lambda: now_of(DAYS))
        return caller(app.wsgi_app, owner)

    call = application()
    check_agreement(call, others["DuckDB"])
    print(f"{hits:,} hits in 30 days, {every.height:,} in {DAYS} days; ms (load {_load()})")
    for length in LENGTHS:
        asked = [varied_request(random.Random(seed), length, DAYS) for seed in range(count)]
        cold = [_cold(application(), request) for request, _ in asked[:COLD]]
        for request, _ in asked[:10]:
            call(request)
        warm = [timed_ms(lambda each=request: call(each)) for request, _ in asked]
        line = (
            f"  {length:3} days  p50 {percentile(warm, 0.5):6.1f}"
            f"  p95 {percentile(warm, 0.95):6.1f}  p99 {percentile(warm, 0.99):6.1f}"
            f"  cold {statistics.median(cold):6.1f}"
        )
        for name, run in others.items():
            run(asked[0][1])
            theirs = [timed_ms(partial(run, sql)) for _, sql in asked[: count // 2]]
            ratio = statistics.median(t / u for t, u in zip(theirs, warm, strict=False))
            line += f"  {name} p50 {percentile(theirs, 0.5):6.1f} ({ratio:.1f} x)"
        print(line, flush=True)
    store.close()


def _cold(call: Callable[[dict[str, Any]], bytes], request: dict[str, Any]) -> float:
    return timed_ms(lambda: call(request))


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hits", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--requests", type=int, default=60)
    arguments = parser.parse_args()
    for hits in arguments.hits:
        with tempfile.TemporaryDirectory() as name:
            measured(Path(name), hits, arguments.requests)


if __name__ == "__main__":
    main()
