"""``tallymark hits``: the newest hits of a property, so that one can be picked."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click
import polars as pl

from beam_pipelines.newest_hits import newest_hits
from beam_pipelines.places import Places
from cli.hour_range import HourRange
from cli.passport_text import moment
from cli.places import explained, json_option, place_options, places_of
from cli.printable import printable
from stores.pointers import PointerStore
from stores.rules_cache.opening import open_rules_cache
from tallymark.passports import verdict, with_lateness
from tallymark.properties import Property
from tallymark.replays import Span


@click.command()
@click.argument("hours", type=HourRange(), metavar="RANGE")
@place_options
@click.option("--property", "owner", metavar="PROPERTY", required=True,
              help="Of which property, by number or measurement id.")  # fmt: skip
@click.option("--client", "client_id", metavar="ID", help="Those of this client alone.")
@click.option("--last", type=click.IntRange(1, 10_000), default=20, show_default=True, metavar="N",
              help="How many at most.")  # fmt: skip
@json_option
def hits(
    hours: Span, *, owner: str, client_id: str | None, last: int, as_json: bool, **where: Any
) -> None:
    """List the newest hits of a property that were received in a RANGE of hours.

    They are read from the archive, where a hit is about a minute after it was received, and
    understood by the installed code. tallymark hit tells all of one. RANGE is a day, an hour, or
    FROM..TO in UTC, without TO. Nothing is changed.

    \b
    Examples:
      tallymark hits 2026-01-31 --property G-ABCDE12345
      tallymark hits 2026-01-31T08 --property G-ABCDE12345 --client 123.456 --last 5
    """
    with explained():
        places = places_of(**where)
        one = places.property_named(owner)
        with closing(open_rules_cache(places.rules_path, role="list")) as rules:
            found = newest_hits(
                places.objects, hours, one, rules.frame, client_id=client_id, last=last
            )
        rows = list(_rows(places, one, found))
    for row in rows:
        click.echo(json.dumps(row) if as_json else _line(row))
    if not rows:
        click.echo("no hit of the property is archived of these hours", err=True)


def _rows(places: Places, owner: Property, found: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """What is told of each hit."""
    served = PointerStore(places.wide_rows).pointers(owner.property_id).served
    told = ("hit_id", "received_at", "event_at", "client_id", "event_name", "host", "path",
            "source", "medium")  # fmt: skip
    for hit in with_lateness(found, places.late_us).iter_rows(named=True):
        counts, why = verdict(hit, served.lineage_at(hit["event_at"]))
        yield {name: hit[name] for name in told} | {"counts": counts, "why": why}


def _line(row: dict[str, Any]) -> str:
    page = printable(row["host"] + row["path"]) or "(no page)"
    source = printable(f"{row['source']} / {row['medium']}") if row["source"] else "(no source)"
    return (
        f"{row['hit_id']}  {moment(row['event_at'])}  {printable(row['event_name'])}  {page}  "
        f"{source}  {row['why']}"
    )
