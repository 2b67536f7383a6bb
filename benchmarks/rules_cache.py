"""What following the rules costs: the rules of a bundle's ids, memory and disk a property.

The figure stands beside that of building the same rows from Python objects.

Run: python -m benchmarks.rules_cache [--properties 100000] [--ids 2000]
"""

import argparse
import gc
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import polars as pl
import psutil

from stores.rules_cache.documents import decode_property, encode_properties
from stores.rules_cache.feed_messages import decode_lookup
from stores.rules_cache.ids import UnknownIds
from stores.rules_cache.known_rules import KnownRules
from stores.rules_cache.rule_memory import RuleMemory
from stores.rules_cache.rules_copy import RulesCopy
from tallymark.properties import DataStream, Property, properties_frame

A_LOOKUP = 1_000
REPEATS = 200


def shop(number: int) -> Property:
    """A property with one data stream and one version of its rules."""
    stream = DataStream(measurement_id=f"G-{number:010d}")
    return Property(property_id=100_000_000 + number, name=f"Shop {number}", data_streams=(stream,))


def answer(owners: list[Property]) -> bytes:
    """What the service says of them."""
    rows = orjson.loads(encode_properties(owners))["properties"]
    facts = {"database_id": "one", "position": 1, "answered_at": 1, "properties": rows}
    return orjson.dumps(facts)


def milliseconds(call: Callable[[], object], repeats: int) -> list[float]:
    """How long each of several calls takes."""
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1_000)
    return took


def resident() -> int:
    """Bytes."""
    gc.collect()
    return psutil.Process().memory_info().rss


def main() -> None:
    """Fill, then ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--properties", type=int, default=100_000)
    parser.add_argument("--ids", type=int, default=2_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.sqlite3"
        copy = RulesCopy(path, max_properties=asked.properties)
        known = KnownRules(
            RuleMemory(asked.properties),
            copy,
            read=decode_property,
            unknown=UnknownIds(time.monotonic, 10),
        )
        known.begin(decode_lookup(answer([]), decode_property), known.generation)
        decode_lookup(answer([shop(number) for number in range(A_LOOKUP)]), decode_property)
        before, taken = resident(), []
        for first in range(0, asked.properties, A_LOOKUP):
            owners = [shop(number) for number in range(first, first + A_LOOKUP)]
            content, ids = (
                answer(owners),
                [one for owner in owners for one in owner.measurement_ids],
            )
            taken += milliseconds(
                lambda ids=ids, content=content: known.take(
                    ids, decode_lookup(content, decode_property), known.generation
                ),
                1,
            )
        del owners, content
        memory = (resident() - before) / asked.properties
        disk = sum(one.stat().st_size for one in path.parent.iterdir()) / asked.properties
        print(f"a property: {memory:,.0f} bytes resident, {disk:,.0f} on disk")
        print(f"an answer of {A_LOOKUP:,}: {statistics.median(taken):.0f} ms to decode and keep")
        _ask(known, asked.properties, asked.ids)
        known.close()


def _ask(known: KnownRules[Property, pl.DataFrame], properties: int, count: int) -> None:
    draw = random.Random(1)
    bundles = [
        [f"G-{number:010d}" for number in draw.sample(range(properties), count)] for _ in range(20)
    ]
    owners = [shop(number) for number in range(count)]
    gathered = milliseconds(lambda: known.find(draw.choice(bundles)), REPEATS)
    built = milliseconds(lambda: properties_frame(owners), 20)
    most = sorted(gathered)[int(0.99 * len(gathered))]
    middle, other = statistics.median(gathered), statistics.median(built)
    print(
        f"rules of {count:,} of {properties:,}: p50 {middle:.2f} ms, p99 {most:.2f} ms; "
        f"built from objects {other:.1f} ms, {other / middle:.1f} times as long"
    )


if __name__ == "__main__":
    main()
