"""Redaction: hits a second gone over, and its share of the work of a shipper on a segment.

Typical requests are those of the simulator's visits, which hold no personal data; the others have a
mail address in the address of each page, as on a site that passes one along.

    python -m benchmarks.redaction
"""

import tempfile
from pathlib import Path

import orjson
import polars as pl

from benchmarks.decode import best_seconds
from benchmarks.recorded_blocks import template
from cli.simulator.visits import Site
from collector.redactor import Redactor
from collector.segment_blocks import block_of_segment
from collector.segments import framed, header, trailer
from tallymark.blocks import MAX_REQUESTS
from tallymark.personal_data import redacted
from tallymark.requests import REQUEST_SCHEMA

SITE = Site(measurement_id="G-SHOP", api_secret="", host="shop.example")


def segment(folder: Path, requests: pl.DataFrame) -> Path:
    """The requests as a closed segment's file."""
    rows = requests.select(list(REQUEST_SCHEMA)).iter_rows(named=True)
    records = [
        header("spool", 2, 0),
        *map(orjson.dumps, rows),
        trailer("requests", 1, len(requests)),
    ]
    path = folder / "0000000002.block"
    path.write_bytes(b"".join(map(framed, records)))
    return path


def main() -> None:
    """Print a line a kind of requests."""
    made = template(SITE)
    hits_each = made.hits / made.requests.height
    blank = pl.DataFrame(schema=REQUEST_SCHEMA)
    typical = pl.concat([blank, made.requests], how="diagonal").select(list(REQUEST_SCHEMA))
    typical = typical.with_columns(
        pl.col("request_id").fill_null("0" * 32), pl.col("received_at").fill_null(0)
    ).head(MAX_REQUESTS)
    page = pl.col("query").str.replace("&dl=([^&]*)", "&dl=${1}%3Fmail%3Djane.doe%2540example.com")
    cases = {"typical": typical, "a mail address in each": typical.with_columns(query=page)}
    for name, requests in cases.items():
        hits = requests.height * hits_each
        alone = best_seconds(lambda: redacted(requests))  # noqa: B023
        with tempfile.TemporaryDirectory() as folder:
            path = segment(Path(folder), requests)
            shipped, as_recorded = (
                best_seconds(lambda: block_of_segment(path, Path(folder), Redactor(kinds)))  # noqa: B023
                for kinds in (("mail", "phone", "card"), ())
            )
        print(
            f"{name:24} {hits / alone:12,.0f} hits/s gone over; a block of {requests.height:,} "
            f"requests: {shipped * 1e3:.1f} ms, {as_recorded * 1e3:.1f} ms without "
            f"({1 - as_recorded / shipped:.0%} of it)"
        )


if __name__ == "__main__":
    main()
