"""Speed of the stream where very many properties decide for themselves, each by its own rules.

Long-tail traffic of ``--properties`` (the n-th has 1/n of the first one's visits) is streamed from
Pub/Sub to wide rows, once where all have the same rules, once where each has one of ``--sets``.
The stream knows of none of them when it starts: it asks the configuration service, and keeps what
its bounds allow. Its memory is told with what the copy on disk takes.

Run alone: python -m benchmarks.ruled_streaming [--properties 100000] [--sets 5000]
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import httpx
import polars as pl
import psutil

from benchmarks.recorded_blocks import Template, blocks, template
from benchmarks.rules import BAR, rules_of
from benchmarks.streaming import GIVE_UP_SECONDS, process, publish, until_up, written_events
from cli.simulator.visits import Site
from stores.bus.port import HITS_TOPIC
from stores.bus.pubsub import BusAddress
from stores.rules_cache.documents import encode_properties
from tallymark.properties import DataStream, Property, RulesVersion
from tests.e2e.stack import free_ports, tallymark

SPAN_SECONDS = 3_600
"""Of event time that the hits lie in."""


@dataclass(frozen=True)
class Streamed:
    """What a stream did: hits a second, bytes resident at most, bytes of its copies of rules."""

    hits_per_second: float
    resident_bytes: int
    copied_bytes: int


def id_of(number: pl.Expr) -> pl.Expr:
    """The measurement id of a property."""
    return pl.format("G-{}", number.cast(pl.String).str.zfill(10))


def shops(count: int, sets: int) -> list[Property]:
    """Properties, each with one of so many sets of rules."""
    drawn, rules = random.Random(1), [rules_of(number) for number in range(sets)]
    return [
        Property(
            property_id=100_000_000 + number,
            name=f"Shop {number}",
            data_streams=(DataStream(measurement_id=f"G-{number:010d}"),),
            versions=(RulesVersion(version=1, rules=drawn.choice(rules)),),
        )
        for number in range(count)
    ]


def long_tail(of: Template, copies: int, properties: int) -> tuple[Template, int]:
    """``copies`` of the template as one, each visit of a property drawn by Zipf's law; also how
    many properties are met."""
    draw = random.Random(2)
    weights = list(accumulate(1 / (number + 1) for number in range(properties)))
    frames = []
    for copy in range(copies):
        visits = of.requests.select("visitor_hash").unique(maintain_order=True)
        owners = draw.choices(range(properties), cum_weights=weights, k=visits.height)
        owned = of.requests.join(
            visits.with_columns(owner=pl.Series(owners)), on="visitor_hash", maintain_order="left"
        )
        client = pl.col("query").str.replace(r"&cid=(\d+)\.", f"&cid=${{1}}{copy:04d}.")
        frames.append(owned.with_columns(query=client))
    requests = pl.concat(frames)
    own_id = pl.concat_str(pl.lit("tid="), id_of(pl.col("owner")))
    query = pl.col("query").str.replace(r"tid=G-[A-Z0-9]+", own_id)
    met = requests.get_column("owner").n_unique()
    ruled = replace(of, requests=requests.with_columns(query).drop("owner"), hits=copies * of.hits)
    return ruled, met


@contextmanager
def configuration(data: Path, owners: list[Property]) -> Iterator[str]:
    """A service that has taken the properties over; where workers follow it."""
    rules = data / "rules"
    rules.mkdir(parents=True)
    (rules / "properties.json").write_bytes(encode_properties(owners))
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [*tallymark("serve", "config"), f"--data={data}", f"--port={port}", "--no-publish"]
    began = time.monotonic()
    with process(*command) as service:
        while not _answers(f"{url}/readyz"):
            time.sleep(0.2)
        took = time.monotonic() - began
        print(f"  {len(owners):,} properties taken over by the service in {took:.0f} s")
        yield f"{url}?key={rules / 'feed_key'}"
        service.terminate()  # killed, it would leave its worker behind
        service.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def streamed(folder: Path, owners: list[Property], of: Template) -> Streamed:
    """Publish the requests, then start a stream and follow it to the last written cell."""
    (port,) = free_ports(1)
    address = BusAddress("tallymark-bench", f"127.0.0.1:{port}")
    end_us = time.time_ns() // 1000
    span = {"first_us": end_us - SPAN_SECONDS * 1_000_000, "end_us": end_us}
    with (
        configuration(folder, owners) as rules,
        process(*tallymark("serve", "pubsub"), f"--data={folder}", f"--port={port}"),
    ):
        until_up(address)
        publish(address, HITS_TOPIC, blocks(of, copies=1, spool_id="benchmark", **span))
        return _followed(folder, address, rules, of.hits)


def _followed(folder: Path, address: BusAddress, rules: str, hits: int) -> Streamed:
    command = [
        *tallymark("serve", "stream"), f"--data={folder}", f"--bus={address.url}",
        f"--rules={rules}&copies={folder / 'copies'}",
    ]  # fmt: skip
    note, resident, written = folder / "run" / "stream.json", 0, 0
    with process(*command) as stream:
        while not note.exists():
            time.sleep(0.05)
        ready = time.monotonic()
        while written < hits:
            if time.monotonic() - ready > GIVE_UP_SECONDS:
                raise SystemExit(f"{written:,} of {hits:,} hits were written in time")
            time.sleep(0.25)
            resident = max(resident, _resident_bytes(stream.pid))
            written = written_events(folder / "wide_rows.sqlite")
        seconds = time.monotonic() - ready
    copied = sum(path.stat().st_size for path in (folder / "copies").rglob("*") if path.is_file())
    return Streamed(hits / seconds, resident, copied)


def _resident_bytes(pid: int) -> int:
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(one.memory_info().rss for one in family)


def main() -> None:
    """Run from the command line; exit status 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--properties", type=int, default=100_000)
    parser.add_argument("--sets", type=int, default=5_000)
    parser.add_argument("--million-hits", type=float, default=0.5)
    asked = parser.parse_args()
    plain = template(Site(measurement_id="G-0000000000"))
    copies = max(1, round(asked.million_hits * 1e6 / plain.hits))
    of, met = long_tail(plain, copies, asked.properties)
    print(f"{of.hits:,} hits of {met:,} of {asked.properties:,} properties")
    speeds = []
    for sets in (1, asked.sets):
        with tempfile.TemporaryDirectory() as name:
            found = streamed(Path(name), shops(asked.properties, sets), of)
        speeds.append(found.hits_per_second)
        print(
            f"{sets:6,} sets: {found.hits_per_second:9,.0f} hits/s, "
            f"{found.resident_bytes / 1e6:,.0f} MB resident at most, "
            f"{found.copied_bytes / 1e6:,.1f} MB of rules on disk"
        )
    ratio = speeds[1] / speeds[0]
    print(
        f"{ratio:.2f} of the speed with one set (bar {BAR}): {'met' if ratio >= BAR else 'MISSED'}"
    )
    sys.exit(ratio < BAR)


if __name__ == "__main__":
    main()
