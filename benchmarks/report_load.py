"""How long reports take while 200 people look at them: a real report API, one client a person.

A person asks for a report, looks at the answer for a while (exponentially distributed, 5 s on
average, so 40 requests a second of 200 people), and asks for another one, of another shape, range
or property. Clients and report API share this machine's cores. Quotas are off, answers are not
kept. A report is timed from the request to the last byte of the answer.

Run: python -m benchmarks.report_load [--people 200] [--seconds 60] [--workers 2] [--hits 100000]
"""

import argparse
import asyncio
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import httpx
import numpy as np

from benchmarks.report import DAYS, fill, hits_of, now_of, percentile, serve, varied_request
from report_api.compaction import Compaction
from stores.rules_cache.file import FileRulesCache
from stores.wide_rows.sqlite import SqliteWideRows
from tests.property_files import CreatedProperty, create_property

LOOKING_SECONDS = 5.0
LENGTHS = (1, 7, 7, 28, 28, 30)
UNLIMITED = [
    f"--{name}=0"
    for name in (
        "tokens-per-day", "tokens-per-hour", "tokens-per-project-per-hour", "concurrent-requests",
        "answer-cache-mebibytes",
    )
]  # fmt: skip


async def person(
    client: httpx.AsyncClient, owners: list[CreatedProperty], seed: int, until: float
) -> list[float]:
    """Ask and look until the time is over; milliseconds of each report."""
    rng, took = random.Random(seed), []
    await asyncio.sleep(rng.random() * LOOKING_SECONDS)
    while time.perf_counter() < until:
        owner = rng.choice(owners)
        request, _ = varied_request(rng, rng.choice(LENGTHS))
        began = time.perf_counter()
        answer = await client.post(
            f"/v1beta/properties/{owner.created.property_id}:runReport",
            json=request,
            headers={"Authorization": f"Bearer {owner.read_key}"},
        )
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.text
        assert answer.json()["rows"], request
        await asyncio.sleep(rng.expovariate(1 / LOOKING_SECONDS))
    return took


async def looked_at(
    url: str, owners: list[CreatedProperty], people: int, seconds: float
) -> list[float]:
    """Milliseconds of all reports of everybody."""
    until = time.perf_counter() + seconds
    limits = httpx.Limits(max_connections=people, max_keepalive_connections=people)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
        found = await asyncio.gather(
            *(person(client, owners, seed, until) for seed in range(people))
        )
    return [each for took in found for each in took]


def filled(folder: Path, properties: int, hits: int) -> list[CreatedProperty]:
    """A store of cells of hours and days."""
    rng = np.random.default_rng(7)
    owners = [
        create_property(folder / "rules" / "properties.json", name=f"Shop {i}",
                        random_bytes=rng.bytes)
        for i in range(properties)
    ]  # fmt: skip
    store = SqliteWideRows(folder / "wide_rows.sqlite")
    for owner in owners:
        fill(store, hits_of(owner.created.property_id, hits * DAYS // 30, rng))
    serve(store)
    cache = FileRulesCache(folder / "rules" / "properties.json", clock=time.time)
    Compaction(store, cache, lambda: now_of(DAYS)).run_once()
    store.close()
    return owners


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--properties", type=int, default=10)
    parser.add_argument("--hits", type=int, default=100_000, help="of a property in 30 days")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        owners = filled(folder, arguments.properties, arguments.hits)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        command = [
            sys.executable, "-m", "cli.main", "serve", "reports", f"--data={folder}",
            f"--port={url.rpartition(':')[2]}", f"--workers={arguments.workers}",
            f"--wide-rows=sqlite:{folder / 'wide_rows.sqlite'}", *UNLIMITED,
        ]  # fmt: skip
        server = subprocess.Popen(command)
        try:
            _wait_until_ready(url)
            asyncio.run(looked_at(url, owners, arguments.people, 10))
            took = asyncio.run(looked_at(url, owners, arguments.people, arguments.seconds))
        finally:
            server.terminate()
            server.wait(timeout=20)
    print(
        f"{arguments.people} people, {arguments.properties} properties of {arguments.hits:,} hits "
        f"in 30 days, {arguments.workers} workers, {len(took) / arguments.seconds:.0f} reports/s, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    print("ms  " + "  ".join(f"p{100 * share:g} {percentile(took, share):.1f}"
                              for share in (0.5, 0.95, 0.99)))  # fmt: skip


def _wait_until_ready(url: str) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the report API was not ready within 30 seconds")


if __name__ == "__main__":
    main()
