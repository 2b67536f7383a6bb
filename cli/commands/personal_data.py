"""``tallymark personal-data``: what looks like personal data in what was archived."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import click
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from beam_pipelines.places import Places
from cli.hour_range import HourRange
from cli.places import explained, json_option, place_options, places_of, property_option
from cli.printable import printable
from stores.archive.raw import RawArchive
from stores.archive.raw_hours import RawSlice
from tallymark.personal_data.detection import SUMMARY_SCHEMA, findings, merged, summary
from tallymark.properties import Property
from tallymark.protocols import decode
from tallymark.replays import Span
from tallymark.requests import requests_naming

_PLACES = {
    "hit": "{}",
    "page_query": "{} in the page's address",
    "referrer_query": "{} in the referrer's address",
    "param": "parameter {}",
    "user_property": "user property {}",
    "item": "{} of items",
}


@click.command("personal-data")
@click.argument("hours", type=HourRange(), metavar="RANGE")
@place_options
@property_option
@json_option
def personal_data(hours: Span, *, owner: str | None, as_json: bool, **where: Any) -> None:
    """Say where hits received in a RANGE hold what looks like personal data.

    The raw archive is read and decoded, and every text of a hit looked at: for mail addresses,
    phone numbers and card numbers that were not taken out, and for parameters that are named so.
    Told is where it stands, how often, and the shape of one value, never a value. Some of it will
    be none: look at the site. RANGE is a day, an hour, or FROM..TO in UTC, without TO. Nothing is
    changed.

    \b
    Examples:
      tallymark personal-data 2026-01-31
      tallymark personal-data 2026-01-31T08..2026-01-31T12 --property G-ABCDE12345
    """
    with explained():
        places = places_of(**where)
        owners = places.properties() if owner is None else [places.property_named(owner)]
        total = _found(places, hours, _streams(owners))
    for row in total.iter_rows(named=True):
        click.echo(json.dumps(row) if as_json else _line(row))
    if not as_json:
        click.echo(_advice(total), err=True)


def _streams(owners: Iterable[Property]) -> dict[str, Property]:
    return {stream: owner for owner in owners for stream in owner.measurement_ids}


def _found(places: Places, hours: Span, owners: dict[str, Property]) -> pl.DataFrame:
    """``SUMMARY_SCHEMA`` and the properties' numbers and names."""
    total = merged([])
    for requests in _requests(places, hours):
        named = requests_naming(requests, owners)
        hits = decode(named, with_params=True).hits
        of_owners = hits.filter(pl.col("measurement_id").is_in(list(owners)))
        total = merged([total, findings(of_owners)])
    known = [(key, one.property_id, one.name) for key, one in owners.items()]
    names = pl.DataFrame(
        known,
        schema={"measurement_id": pl.String, "property_id": pl.Int64, "property": pl.String},
        orient="row",
    )
    told = summary(total).join(names, on="measurement_id", how="left", maintain_order="left")
    return told.select("property_id", "property", *SUMMARY_SCHEMA)


def _requests(places: Places, hours: Span) -> Iterator[pl.DataFrame]:
    """A slice of an hour's file at a time, with a bar on terminals."""
    archive = RawArchive(places.objects)
    wanted = [hour for hour in archive.hours() if hours.start_us <= hour < hours.end_us]
    console = Console(stderr=True)
    columns = (
        TextColumn("reading"),
        BarColumn(),
        TextColumn("{task.completed:g}/{task.total:g} h"),
    )
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as bars:  # fmt: skip
        for hour_us in bars.track(wanted):
            hour = archive.hour(hour_us)
            parts: list[RawSlice] = hour.slices()
            for part in parts:
                yield hour.read(part).requests


def _line(row: dict[str, Any]) -> str:
    field = _PLACES[row["place"]].format(printable(row["name"]) or "(no name)")
    what = "is named so" if row["kind"] == "named" else f"looks like {row['kind']}"
    return (
        f"{printable(row['property'])} ({row['measurement_id']}): {field} {what} in "
        f"{row['hits']:,} hits, {row['values']:,} values such as {printable(row['example'])}"
    )


def _advice(total: pl.DataFrame) -> str:
    if total.is_empty():
        return "nothing in these hours looks like personal data"
    return (
        f"{total.height:,} fields. What was archived stays there; mend the sites, so that it is "
        "not sent any more"
    )
