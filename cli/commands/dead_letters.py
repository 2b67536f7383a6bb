"""``tallymark dead-letters``: requests that could not be counted, and why."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, TextIO

import click
import polars as pl

from beam_pipelines.places import Places
from beam_pipelines.served_letters import served_letters
from cli.hour_range import HourRange
from cli.places import explained, json_option, place_options, places_of, property_option
from cli.printable import printable
from cli.span_text import span_text
from stores.clock import utc_us
from stores.lineages import LineageRegister
from tallymark.dead_letters import REASONS, summary, summed
from tallymark.properties import Property
from tallymark.replays import Span, hour_text


@click.command("dead-letters")
@click.argument("hours", type=HourRange(), metavar="RANGE")
@place_options
@property_option
@click.option("--reason", type=click.Choice(sorted(REASONS)), help="Those of this reason alone.")
@click.option(
    "--lineage", default="", help="Those of this lineage  [default: of those that serve the hours]"
)
@click.option("--show", "shown", type=click.IntRange(0), default=0, metavar="N",
              help="Print the first N requests, too.")  # fmt: skip
@click.option("--export", "export", type=click.File("w", lazy=True), metavar="FILE",
              help="Write them there, a JSON object a line, requests as recorded.")  # fmt: skip
@json_option
def dead_letters(
    hours: Span, *, owner: str | None, reason: str | None, lineage: str, shown: int,
    export: TextIO | None, as_json: bool, **where: Any,
) -> None:  # fmt: skip
    """Say which requests of a RANGE of received hours could not be counted, and why.

    They are recorded like all others. Once what was wrong is mended, a protocol, a rule or the
    code, tallymark replay decodes them again and counts what it can. RANGE is a day, an hour, or
    FROM..TO in UTC, without TO. Nothing is changed.

    \b
    Examples:
      tallymark dead-letters 2026-01-31
      tallymark dead-letters 2026-01-31T08 --reason invalid_secret --show 3
      tallymark dead-letters 2026-01-31 --property G-ABCDE12345 --export letters.jsonl
    """
    with explained(), ExitStack() as stack:
        places = places_of(**where)
        if lineage:
            LineageRegister(places.wide_rows, utc_us).get(lineage)
        found = []
        file = stack.enter_context(export) if export else None
        for letters in _letters(places, hours, owner, lineage, reason):
            found.append(summary(letters))
            for letter in letters.head(shown).iter_rows(named=True):
                click.echo(_letter_text(letter), err=as_json or file is not None)
            shown -= min(shown, letters.height)
            if file is not None:
                file.write(letters.write_ndjson())
        total = summed(found)
    if as_json:
        for row in total.iter_rows(named=True):
            click.echo(json.dumps(row))
        return
    for row in total.iter_rows(named=True):
        click.echo(_line(row), err=file is not None)
    click.echo(_advice(total, hours), err=True)


def _letters(
    places: Places, hours: Span, owner: str | None, lineage: str, reason: str | None
) -> Iterator[pl.DataFrame]:
    """Those that are asked for, an hour at a time; hours without any are passed by."""
    one = None if owner is None else places.property_named(owner)
    property_id = None if one is None else one.property_id
    for letters in served_letters(places, hours, property_id=property_id, lineage=lineage):
        wanted = letters if reason is None else letters.filter(pl.col("reason") == reason)
        wanted = wanted if one is None else wanted.filter(_names(one))
        if not wanted.is_empty():
            yield wanted


def _names(owner: Property) -> pl.Expr:
    """Whether the recorded request names the property anywhere: it may be wrong in any way."""
    return pl.col("request").str.contains_any(list(owner.measurement_ids))


def _line(row: dict[str, Any]) -> str:
    first, last = (hour_text(row[f"{edge}_received_at"]) for edge in ("first", "last"))
    span = first if first == last else f"{first} to {last}"
    return (
        f"{row['letters']:,} {row['reason']} in {row['step']}, {span}: "
        f"{REASONS.get(row['reason'], 'a reason of other code')}; the newest: "
        f"{printable(row['detail'])}"
    )


def _letter_text(letter: dict[str, Any]) -> str:
    received = datetime.fromtimestamp(letter["received_at"] / 1e6, UTC)
    return (
        f"{received:%Y-%m-%dT%H:%M:%S.%f}Z  {letter['request_id']}  {letter['reason']}: "
        f"{printable(letter['detail'])}\n    {printable(letter['request'])}"
    )


def _advice(total: pl.DataFrame, hours: Span) -> str:
    if total.is_empty():
        return "every request of these hours was understood"
    return (
        f"{total['letters'].sum():,} in all. Once what was wrong is mended, tallymark replay "
        f"{span_text((hours.start_us, hours.end_us))} decodes them again"
    )
