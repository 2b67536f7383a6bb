"""What guards of the report API cost: an answer kept or not, and the quotas' accounting.

Reports are those of ``benchmarks.report``: 30 days of one property, of hours and of days. Each is
asked without a cache, then with one that does not know it (a miss), then again (a hit). Quotas are
measured alone, and exchanging them as the thread beside requests does it.

Run: python -m benchmarks.report_guards [--hits 300000] [--requests 100]
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import (
    DAYS,
    NOW_US,
    _serve,
    caller,
    fill,
    hits_of,
    percentile,
    timed_ms,
    varied_request,
)
from report_api.answer_cache import AnswerCache
from report_api.app import create_app
from report_api.compaction import Compaction
from report_api.quotas import Quotas
from stores.rules_cache.file import FileRulesCache
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.quotas import QuotaLimits
from tests.property_files import CreatedProperty, create_property


def report_times(
    store: SqliteWideRows, cache: FileRulesCache, owner: CreatedProperty, count: int
) -> None:
    """Print what reports take without a cache, at a miss and at a hit."""
    requests = [varied_request(random.Random(seed))[0] for seed in range(count)]
    taken: dict[str, list[float]] = {"no cache": [], "miss": [], "hit": []}
    answers = AnswerCache(64 << 20, seed=1)
    bare = caller(
        create_app(wide_rows=store, rules_cache=cache, now_us=lambda: NOW_US).wsgi_app, owner
    )
    kept = caller(
        create_app(
            wide_rows=store, rules_cache=cache, now_us=lambda: NOW_US, answer_cache=answers
        ).wsgi_app,
        owner,
    )
    for request in requests[:10]:
        bare(request)
    for request in requests:
        taken["no cache"].append(timed_ms(lambda each=request: bare(each))[0])
        known = answers.hits
        taken["miss"].append(timed_ms(lambda each=request: kept(each))[0])
        if answers.hits > known:  # drawn twice
            taken["no cache"].pop(), taken["miss"].pop()
        taken["hit"].append(timed_ms(lambda each=request: kept(each))[0])
    for name, times in taken.items():
        print(
            f"  {name:9} p50 {statistics.median(times):6.2f}  p95 {percentile(times, 0.95):6.2f} ms"
        )
    print(f"  kept: {answers.size_bytes:,} bytes")


def quota_times(folder: Path, owner: CreatedProperty, cache: FileRulesCache) -> None:
    """Print what a request pays for its accounting, and what an exchange takes."""
    path = folder / "quotas.sqlite"
    of = cache.by_property_id(owner.created.property_id)
    assert of is not None
    limits = QuotaLimits(tokens_per_day=0, tokens_per_hour=0, tokens_per_project_per_hour=0)
    here, there = (
        Quotas(limits, lambda: NOW_US, is_server_error=lambda _: False, path=path) for _ in range(2)
    )
    times = []
    for _ in range(20_000):
        began = time.perf_counter()
        with here.admitted(of, "core", owner.read_key) as admission:
            admission.charge(1)
        times.append((time.perf_counter() - began) * 1000)
    print(
        f"quotas: a request {statistics.median(times) * 1000:.1f} µs,"
        f" p99 {percentile(times, 0.99) * 1000:.0f} µs"
    )
    exchanges = []
    for _ in range(200):
        with there.admitted(of, "core", owner.read_key):
            exchanges.append(timed_ms(there.exchange)[0])
    print(f"        an exchange, beside requests, {statistics.median(exchanges):.2f} ms")


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hits", type=int, default=300_000, help="of a property in 30 days")
    parser.add_argument("--requests", type=int, default=100)
    arguments = parser.parse_args()
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rules = folder / "properties.json"
        owner = create_property(rules, name="Shop", random_bytes=rng.bytes)
        hits = hits_of(owner.created.property_id, arguments.hits * DAYS // 30, rng)
        store = SqliteWideRows(folder / "wide_rows.sqlite")
        fill(store, hits.sort("event_at"))
        _serve(store)
        cache = FileRulesCache(rules, clock=time.time)
        print(f"30 days of {arguments.hits:,} hits, load {os.getloadavg()[0]:.1f}")
        print("cells of hours:")
        report_times(store, cache, owner, arguments.requests)
        Compaction(store, cache, lambda: NOW_US).run_once()
        print("cells of days:")
        report_times(store, cache, owner, arguments.requests)
        quota_times(folder, owner, cache)
        store.close()


if __name__ == "__main__":
    main()
