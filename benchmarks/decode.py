"""Processing: hits a second of decode, enrichment and rules, against parsing hit by hit.

The baseline does one thing only, ``urllib.parse.parse_qsl`` of each query string.

    python benchmarks/decode.py --hits 50000
"""

import argparse
import random
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qsl, quote, urlencode

import orjson
import polars as pl

from tallymark.processing import enrich, process_requests
from tallymark.properties import DataStream, Property, properties_frame
from tallymark.protocols import decode
from tallymark.requests import REQUEST_SCHEMA
from tallymark.rules import claimed, judged, rewritten

PROPERTIES = 20
BROWSERS = [
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    f"Chrome/{version}.0.0.0 Safari/537.36"
    for version in range(60, 143)
]
REFERRERS = ["", "https://www.google.com/", "https://blog.example.org/best", "https://t.co/abc"]
TAGS = ["", "", "?utm_source=letter&utm_medium=email&utm_campaign=spring%20sale", "?gclid=Cj{}"]


def query(random_: random.Random) -> str:
    """A page view as a browser sends it: 24 parameters."""
    page = random_.randrange(3_000)
    tag = random_.choice(TAGS).format(random_.randrange(10**9))
    parameters = {
        "v": 2, "tid": f"G-{random_.randrange(PROPERTIES)}", "gtm": "45je4b0v9", "gcd": "13l3l3l1",
        "_p": random_.randrange(10**12), "cid": f"{random_.randrange(20_000)}.1700000000",
        "ul": "en-us", "sr": "1920x1080", "uaa": "x86", "uab": 64,
        "uafvl": "Chromium;142.0.7444.60|Not_A Brand;99.0.0.0", "uamb": 0, "uam": "",
        "uap": "Windows", "uapv": "15.0.0", "_s": random_.randrange(1, 9),
        "sid": 1_700_000_000 + random_.randrange(20_000), "sct": 3, "seg": 1,
        "dl": f"https://shop.example/category/{page}{tag}", "dr": random_.choice(REFERRERS),
        "dt": f"Schöne Schuhe {page}", "en": "page_view", "_et": random_.randrange(60_000),
    }  # fmt: skip
    return urlencode(parameters, quote_via=quote)


def requests_of(count: int) -> pl.DataFrame:
    """A frame of ``count`` requests, each with one hit."""
    random_ = random.Random(1)
    blank = {name: "" for name, dtype in REQUEST_SCHEMA.items() if dtype == pl.String}
    flags = {name: False for name, dtype in REQUEST_SCHEMA.items() if dtype == pl.Boolean}
    rows = [
        blank
        | flags
        | {
            "request_id": f"{index:032x}",
            "received_at": 1_700_000_000_000_000 + index,
            "method": "POST",
            "path": "/g/collect",
            "query": query(random_),
            "body_encoding": "utf-8",
            "user_agent": random_.choice(BROWSERS),
            "visitor_hash": "0123456789abcdef",
            "country_hint": "CH",
        }
        for index in range(count)
    ]
    return pl.DataFrame(rows, schema=REQUEST_SCHEMA)


def of_other_protocols(count: int) -> dict[str, pl.DataFrame]:
    """Frames of as many requests of the other protocols."""
    document = orjson.dumps(
        {
            "client_id": "1234567890.1767260000",
            "events": [
                {
                    "name": "purchase",
                    "params": {
                        "session_id": "1767268700", "currency": "EUR", "value": 19.9,
                        "transaction_id": "T-1", "colour": "blue",
                        "items": [{"item_id": "7", "item_name": "Shoe", "price": 19.9}],
                    },
                }
            ],
        }
    ).decode()  # fmt: skip
    payload = (
        "v=1&tid=G-1&cid=1234567890.1767260000&t=event&ec=video&ea=play&el=holiday&ev=300"
        "&dl=https%3A%2F%2Fshop.example%2Fproducts%2F42&dt=A%20product&ul=en-us&sr=1920x1080"
    )
    requests = requests_of(count)
    server = requests.with_columns(
        path=pl.lit("/mp/collect"),
        query=pl.lit("measurement_id=G-1&api_secret=*"),
        body=pl.lit(document),
        secret_verdict=pl.lit("valid"),
    )
    old = requests.with_columns(path=pl.lit("/collect"), query=pl.lit(""), body=pl.lit(payload))
    return {
        "Measurement Protocol": server,
        "Universal Analytics": old,
        "pixel": requests.with_columns(path=pl.lit("/p.gif")),
    }


def best_seconds(work: Callable[[], object], times: int = 5) -> float:
    """The least of several runs' wall time."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def main() -> None:
    """Print a line a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hits", type=int, default=50_000)
    count = parser.parse_args().hits
    requests = requests_of(count)
    properties = properties_frame(
        Property(
            property_id=number + 1,
            name=f"Shop {number}",
            data_streams=(DataStream(measurement_id=f"G-{number}"),),
        )
        for number in range(PROPERTIES)
    )
    decoded = decode(requests, with_params=False).hits
    owned = rewritten(claimed(decoded, properties).hits)
    enriched = enrich(owned)
    assert judged(enriched, properties).hits.height == count
    queries = requests.get_column("query").to_list()
    baseline = best_seconds(lambda: [dict(parse_qsl(text)) for text in queries], times=2)
    steps: dict[str, Callable[[], object]] = {
        "decode": lambda: decode(requests, with_params=False),
        "decode with parameters": lambda: decode(requests, with_params=True),
        "enrich": lambda: enrich(owned),
        "rules": lambda: (
            rewritten(claimed(decoded, properties).hits),
            judged(enriched, properties),
        ),
        "all of processing": lambda: process_requests(
            requests, lambda _: properties, with_params=False
        ),
    }
    print(f"{'parse_qsl, hit by hit':24} {count / baseline:12,.0f} hits/s")
    for name, frame in of_other_protocols(count).items():
        assert decode(frame, with_params=True).hits.height >= count
        steps[name] = partial(decode, frame, with_params=True)
    for name, work in steps.items():
        seconds = best_seconds(work)
        print(f"{name:24} {count / seconds:12,.0f} hits/s {baseline / seconds:7.1f} x parse_qsl")


if __name__ == "__main__":
    main()
