"""Blocks of recorded requests, as a collector would have shipped them, made fast for benchmarks."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import polars as pl

from cli.simulator.requests import requests_of
from cli.simulator.visits import Habits, Site, visits
from tallymark.blocks import MAX_REQUESTS, Block, encode_requests
from tallymark.requests import REQUEST_SCHEMA

TEMPLATE_VISITS = 4_000


@dataclass(frozen=True)
class Template:
    """Requests of some thousand visits, and how many hits they hold."""

    requests: pl.DataFrame
    hits: int


def template(site: Site, *, seed: int = 1) -> Template:
    """What browsers send in the simulator's visits, in the form in which it is recorded."""
    rows, hits = [], 0
    for visit in islice(visits(seed, [site], Habits()), TEMPLATE_VISITS):
        hits += len(visit.hits)
        for request in requests_of(visit, 1, 0):
            headers = dict(request.headers)
            path, _, query = request.target.partition("?")
            rows.append(
                {
                    "method": request.method,
                    "path": path,
                    "query": query,
                    "body": request.body.decode(),
                    "body_encoding": "utf-8",
                    "user_agent": headers["User-Agent"],
                    "accept_language": headers.get("Accept-Language", ""),
                    "referer": headers.get("Referer", ""),
                    "origin": headers.get("Origin", ""),
                    "ip_network": "198.18.0.0/24",
                    "visitor_hash": f"{visit.number:016x}",
                    "country_hint": visit.client.country,
                }
            )
    nothing = {
        name: pl.lit("" if kind == pl.String else False, kind)
        for name, kind in REQUEST_SCHEMA.items()
        if kind != pl.Int64
    }
    frame = pl.DataFrame(rows)
    missing = {name: value for name, value in nothing.items() if name not in frame.columns}
    return Template(frame.with_columns(**missing), hits)


def blocks(
    of: Template, *, copies: int, first_us: int, end_us: int, spool_id: str
) -> Iterator[Block]:
    """``copies`` of the template by clients of their own, received evenly in [first, end) UTC µs.

    An opening block comes first, a closing one last. No block crosses an hour.
    """
    total = copies * of.requests.height
    yield _block(spool_id, 1, "opening", first_us, None)
    number = 1
    for copy in range(copies):
        client = pl.col("query").str.replace(r"&cid=(\d+)\.", f"&cid=${{1}}{copy:04d}.")
        at = pl.int_range(pl.len(), dtype=pl.Int64) + copy * of.requests.height
        received_at = first_us + at * (end_us - first_us) // total
        request_id = pl.concat_str(
            pl.lit(f"{copy:08x}7"), pl.int_range(pl.len()).cast(pl.String).str.zfill(23)
        )
        frame = of.requests.with_columns(
            query=client, received_at=received_at, request_id=request_id
        )
        for part in _within_hours(frame):
            number += 1
            yield _block(spool_id, number, "requests", first_us, part)
    yield _block(spool_id, number + 1, "closing", end_us, None)


def _within_hours(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    hours = frame.with_columns(hour=pl.col("received_at") // 3_600_000_000)
    for part in hours.partition_by("hour", include_key=False, maintain_order=True):
        yield from part.iter_slices(MAX_REQUESTS)


def _block(
    spool_id: str, number: int, kind: str, frontier: int, frame: pl.DataFrame | None
) -> Block:
    if frame is not None:
        frontier = int(frame.get_column("received_at").item(-1)) + 1
    return Block(
        spool_id=spool_id,
        number=number,
        kind=kind,  # type: ignore[arg-type]
        frontier=frontier,
        requests=0 if frame is None else frame.height,
        payload=b"" if frame is None else encode_requests(frame),
    )
