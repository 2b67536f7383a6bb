"""Speed of the stream on the DirectRunner: from Pub/Sub to the last written cell.

Blocks of some million hits are published to the embedded bus; then the stream is started and read
from its first hit to its last cell. A per-hit Beam pipeline on the same runner reads the first of
the same blocks (see ``benchmarks.per_hit_pipeline``).

Run alone: python -m benchmarks.streaming [--million-hits 3] [--per-hit-hits 200000]
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.recorded_blocks import Template, blocks, template
from cli.simulator.visits import Site
from stores.bus.port import HITS_TOPIC, BusUnavailableError
from stores.bus.pubsub import (
    BusAddress,
    PubSubPublisher,
    PubSubSubscriber,
    emulator_environment,
)
from tallymark.blocks import Block
from tests.e2e.stack import free_ports, tallymark

BAR_HITS_PER_SECOND = 100_000
BAR_TIMES = 20
PER_HIT_BAR_HITS_PER_SECOND = 3_000
SPAN_SECONDS = 7_200
"""Of event time that the hits lie in: few slots, with many clients in each."""
GIVE_UP_SECONDS = 600
PER_HIT = "per-hit"
"""Topic and subscription of the pipeline with an element a hit."""


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone afterwards."""
    running = subprocess.Popen(command, env=os.environ | environment)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def publish(address: BusAddress, topic: str, of: Iterable[Block]) -> int:
    """Put blocks on a topic, in order; how many."""
    publisher = PubSubPublisher(address)
    count = 0
    try:
        for count, block in enumerate(of, start=1):  # noqa: B007
            publisher.publish_patiently(
                topic, block.payload, block.attributes(), deadline_seconds=30
            )
    finally:
        publisher.close()
    return count


def create_property(data: Path, name: str) -> str:
    """A property's measurement id."""
    command = [*tallymark("property", "create"), "--name", name, "--data", str(data), "--json"]
    answer = subprocess.run(command, check=True, capture_output=True)
    return str(json.loads(answer.stdout)["measurement_id"])


def written_events(cells: Path) -> int:
    """The sum of events in all written totals."""
    if not cells.exists():
        return 0
    connection = sqlite3.connect(f"file:{cells}?mode=ro", uri=True, timeout=30)
    try:
        values = connection.execute(
            "SELECT value FROM cells WHERE family = 'n' AND CAST(row_key AS TEXT) LIKE '%#totals#%'"
        ).fetchall()
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()
    lines = [line for (value,) in values for line in value.decode().split("\n")[1:]]
    return sum(int(line.split("\t")[0]) for line in lines)


def frames(data: Path, address: BusAddress, hits: int) -> float:
    """Hits a second of the real stream, from its first look at the bus to the last cell."""
    command = [
        *tallymark("serve", "stream"), f"--data={data}", f"--bus={address.url}",
    ]  # fmt: skip
    note = data / "run" / "stream.json"
    started = time.monotonic()
    with process(*command):
        while not note.exists():
            time.sleep(0.05)
        ready = time.monotonic()
        while (written := written_events(data / "wide_rows.sqlite")) < hits:
            if time.monotonic() - ready > GIVE_UP_SECONDS:
                raise SystemExit(f"{written:,} of {hits:,} hits were written in time")
            time.sleep(0.25)
        seconds = time.monotonic() - ready
    print(f"  the stream was ready after {ready - started:.1f} s, done {seconds:.1f} s later")
    return hits / seconds


def per_hit(address: BusAddress, subscription: str, folder: Path, hits: int) -> float:
    """Hits a second of the pipeline with an element a hit."""
    progress = folder / "per-hit-progress"
    path = f"projects/{address.project}/subscriptions/{subscription}"
    command = [sys.executable, "-m", "benchmarks.per_hit_pipeline", path, str(progress)]
    with process(*command, **emulator_environment(address)):
        while not progress.exists():
            time.sleep(0.05)
        first = time.monotonic()
        while (done := int(progress.read_text() or 0)) < hits:
            if time.monotonic() - first > GIVE_UP_SECONDS:
                raise SystemExit(f"{done:,} of {hits:,} hits were counted in time")
            time.sleep(0.1)
        seconds = time.monotonic() - first
    return hits / seconds


def run(million_hits: float, per_hit_hits: int) -> bool:
    """Measure and tell; whether the bars are met."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (port,) = free_ports(1)
        address = BusAddress("tallymark-bench", f"127.0.0.1:{port}")
        of = template(Site(measurement_id=create_property(folder, "Benchmark")))
        copies, few = (max(1, round(hits / of.hits)) for hits in (million_hits * 1e6, per_hit_hits))
        with process(*tallymark("serve", "pubsub"), f"--data={folder}", f"--port={port}"):
            until_up(address)
            made = _fill(address, of, copies, few)
            print(f"{copies * of.hits:,} hits in {made} blocks, {SPAN_SECONDS} s of one property")
            plain = per_hit(address, PER_HIT, folder, few * of.hits)
            print(f"  with an element a hit: {plain:,.0f} hits/s over {few * of.hits:,} of them")
            fast = frames(folder, address, copies * of.hits)
    return _told(fast, plain)


def until_up(address: BusAddress) -> None:
    """Wait until the bus has its topic."""
    publisher = PubSubPublisher(address)
    deadline = time.monotonic() + 30
    while True:
        try:
            publisher.ensure_topic(HITS_TOPIC)
        except BusUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            publisher.close()
            return


def _fill(address: BusAddress, of: Template, copies: int, few: int) -> int:
    """Publish all blocks, and the first of them on a topic of their own."""
    end_us = time.time_ns() // 1000
    span = {"first_us": end_us - SPAN_SECONDS * 1_000_000, "end_us": end_us}
    publisher, subscriber = PubSubPublisher(address), PubSubSubscriber(address)
    publisher.ensure_topic(PER_HIT)
    subscriber.ensure_subscription(PER_HIT, PER_HIT)
    publisher.close()
    subscriber.close()
    first = blocks(of, copies=few, spool_id="benchmark", **span)
    publish(address, PER_HIT, (block for block in first if block.requests))
    return publish(address, HITS_TOPIC, blocks(of, copies=copies, spool_id="benchmark", **span))


def _told(fast: float, plain: float) -> bool:
    rows = (
        ("blocks as elements, hits/s", fast, BAR_HITS_PER_SECOND),
        ("hits as elements, hits/s", plain, PER_HIT_BAR_HITS_PER_SECOND),
        ("times as fast", fast / plain, BAR_TIMES),
    )
    for name, found, bar in rows:
        verdict = "met" if found >= bar else "MISSED"
        print(f"{name:30} {found:12,.0f}   bar {bar:9,}   {verdict}")
    return all(found >= bar for _, found, bar in rows)


def main() -> None:
    """Run from the command line; exit status 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million-hits", type=float, default=3.0)
    parser.add_argument("--per-hit-hits", type=int, default=200_000)
    arguments = parser.parse_args()
    sys.exit(0 if run(arguments.million_hits, arguments.per_hit_hits) else 1)


if __name__ == "__main__":
    main()
