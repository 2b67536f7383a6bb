"""``tallymark diff``: what reports would show, against what they show."""

import json
from typing import Any

import click

from beam_pipelines.places import Places
from beam_pipelines.reviewing import reviewed
from cli.hour_range import HourRange
from cli.places import (
    explained,
    json_option,
    place_options,
    places_of,
    property_id_of,
    property_option,
)
from cli.review_text import progress, told
from stores.clock import utc_us
from stores.lineages import LineageRegister
from tallymark.lineages import Lineage, outside
from tallymark.publication import RefusedError
from tallymark.replays import Span, hour_text


@click.command()
@click.argument("hours", type=HourRange(), metavar="RANGE")
@place_options
@property_option
@click.option(
    "--candidate",
    metavar="gen-N",
    help="Which lineage  [default: the newest that has computed some of the hours]",
)
@click.option(
    "--against",
    metavar="LINEAGE",
    default="",
    help="Compare with this one  [default: what is served]",
)
@json_option
def diff(
    hours: Span, *, owner: str | None, candidate: str | None, against: str, as_json: bool,
    **where: Any,
) -> None:  # fmt: skip
    """Show what publishing a candidate would change, and what its checks say.

    Of each property and rollup: the metrics that differ over the whole RANGE, how many hours
    differ, and the rows that appear, vanish or change. RANGE is a day, an hour, or FROM..TO in
    UTC, without TO. Nothing is changed.

    \b
    Examples:
      tallymark diff 2026-01-31
      tallymark diff 2026-01-31T08..2026-01-31T16 --property G-ABCDE12345 --candidate gen-3 --json
    """
    with explained():
        places = places_of(**where)
        property_id = property_id_of(places, owner)
        register = LineageRegister(places.wide_rows, utc_us)
        if candidate is None:
            lineage = _newest(register, hours, property_id)
        else:
            lineage = register.get(candidate)
        if against:
            register.get(against)
        if lineage.property_id is not None and property_id not in (None, lineage.property_id):
            raise RefusedError(f"{lineage.name} holds property {lineage.property_id} alone")
        with progress() as report:
            review = reviewed(
                places, lineage, _computed(lineage, hours), against=against, report=report,
                property_ids=None if property_id is None else [property_id],
            )  # fmt: skip
    if as_json:
        click.echo(json.dumps(review.to_json(), default=str))
        return
    click.echo(told(review, _names(places)))


def _newest(register: LineageRegister, hours: Span, property_id: int | None) -> Lineage:
    """The newest candidate that has computed some of the hours."""
    able = [
        each
        for each in register.all().values()
        if each.kind == "replay"
        and each.state in ("computing", "candidate", "withdrawn")
        and each.property_id in (None, property_id)
        and _overlap(each, hours)
    ]
    if not able:
        raise RefusedError(
            f"no candidate has computed hours from {hour_text(hours.start_us)} to "
            f"{hour_text(hours.end_us)}: tallymark replay makes one, tallymark lineages lists them"
        )
    return able[-1]


def _overlap(lineage: Lineage, hours: Span) -> list[tuple[int, int]]:
    """The hours that it has computed."""
    span = (hours.start_us, hours.end_us)
    missing = lineage.outside_targets(*span)
    return outside(*span, missing)


def _computed(lineage: Lineage, hours: Span) -> list[tuple[int, int]]:
    found = _overlap(lineage, hours)
    if not found:
        raise RefusedError(
            f"{lineage.name} has computed none of these hours: tallymark lineages shows which"
        )
    left = len(hours) - sum(len(Span(*span)) for span in found)
    if left:
        click.echo(f"{left} of {len(hours)} hours are not computed in {lineage.name}", err=True)
    return found


def _names(places: Places) -> dict[int, str]:
    return {owner.property_id: owner.label for owner in places.properties()}
