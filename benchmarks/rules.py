"""Rules of many properties: hits a second of processing where each asks something else.

Long-tail traffic (the n-th property has 1/n of the first one's hits) of ``--properties``, whose
rules are one of ``--sets``, beside the same hits where all properties have no rules, and where all
have the same. Every set has rewrites with a pattern, filters and referral exclusions of its own.

    python -m benchmarks.rules --properties 100000 --sets 5000 --hits 50000
"""

import argparse
import random
import sys
import time
from collections.abc import Callable

import polars as pl

from benchmarks.decode import best_seconds, requests_of
from tallymark.processing import process_requests
from tallymark.properties import DataStream, Property, RulesVersion, properties_frame
from tallymark.rule_documents import Rules, parse_rules

BAR = 0.5
"""Of the speed with one set of rules."""


def rules_of(number: int) -> Rules:
    """A set of rules that no other number has a rule of."""
    return parse_rules(
        {
            "rewrites": [
                {"kind": "lower_case", "field": "path"},
                {"kind": "strip_parameters", "names": ["sid", f"p{number}"]},
                {"kind": "replace", "field": "path", "pattern": f"^/lang{number}/", "with": "/"},
            ],
            "filters": [
                {
                    "name": "internal",
                    "when": {
                        "any": [
                            {"in_network": ["10.0.0.0/8"]},
                            {"field": "host", "ends_with": f".test{number}"},
                        ]
                    },
                },
                {"name": "staging", "when": {"field": "path", "starts_with": f"/stage{number}"}},
            ],
            "referral_exclusions": [f"pay{number}.test"],
        }
    )


def frame_of(count: int, rules: Callable[[int], Rules]) -> pl.DataFrame:
    """``PROPERTY_SCHEMA`` of so many properties."""
    return properties_frame(
        Property(
            property_id=number + 1,
            name="Shop",
            data_streams=(DataStream(measurement_id=f"G-{number}"),),
            versions=(RulesVersion(version=1, rules=rules(number)),),
        )
        for number in range(count)
    )


def long_tail(requests: pl.DataFrame, properties: int, random_: random.Random) -> pl.DataFrame:
    """The requests, each of a property drawn by Zipf's law."""
    weights = [1 / (number + 1) for number in range(properties)]
    drawn = random_.choices(range(properties), weights, k=requests.height)
    owner = pl.Series([f"tid=G-{number}&" for number in drawn])
    return requests.with_columns(query=owner + pl.col("query").str.replace("tid=G-[0-9]+&", ""))


def main() -> None:
    """Print a line a kind of properties."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--properties", type=int, default=100_000)
    parser.add_argument("--sets", type=int, default=5_000)
    parser.add_argument("--hits", type=int, default=50_000)
    options = parser.parse_args()
    random_ = random.Random(1)
    requests = long_tail(requests_of(options.hits), options.properties, random_)
    sets = [rules_of(number) for number in range(options.sets)]
    worlds = {
        "no rules": frame_of(options.properties, lambda _: Rules()),
        "one set": frame_of(options.properties, lambda _: sets[0]),
        "many sets": frame_of(options.properties, lambda _: random_.choice(sets)),
    }
    speeds = {}
    for name, frame in worlds.items():
        speeds[name] = options.hits / seconds_of(requests, frame)
        print(f"{name:10} {speeds[name]:10,.0f} hits/s, {frame.estimated_size('mb'):6.1f} MB")
    ratio = speeds["many sets"] / speeds["one set"]
    print(f"many sets: {ratio:.2f} of one set (bar {BAR}): {'met' if ratio >= BAR else 'MISSED'}")
    sys.exit(ratio < BAR)


def seconds_of(requests: pl.DataFrame, properties: pl.DataFrame) -> float:
    """The least wall time of several passes, and a line about the first."""

    def process() -> None:
        hits = process_requests(
            requests,
            lambda names: properties.filter(pl.col("measurement_id").is_in(names)),
            with_params=False,
        ).hits
        assert hits.height == requests.height

    begun = time.perf_counter()
    process()
    print(f"{'':10} first pass, rules read and checked: {time.perf_counter() - begun:.2f} s")
    return best_seconds(process)


if __name__ == "__main__":
    main()
