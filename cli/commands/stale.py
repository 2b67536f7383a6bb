"""``tallymark stale``: what is served and has to be mended."""

import json
from typing import Any

import click

from beam_pipelines.announced_hours import AnnouncedSpan, announced_spans
from beam_pipelines.code_version import code_version
from beam_pipelines.stale_hours import StaleSpan, stale_spans
from cli.places import explained, json_option, place_options, places_of
from cli.span_text import span_text


@click.command()
@place_options
@json_option
def stale(*, as_json: bool, **where: Any) -> None:
    """Name the served hours that have to be counted again.

    To be asked after each deploy, for hours that other code than the installed one has computed:
    those that hits may still change are taken over by tallymark stream upgrade; sealed ones are
    mended by a replay that is published. Where routine sealing is on, it computes those that a
    streaming job serves by itself.

    And to be asked after each publication, for hours of properties that were announced: hits came
    late for them, a publication changed where their clients came from, or the stream was cut off
    from the rules while these changed. Where Dagster runs, it counts them again by itself. Nothing
    is changed.

    \b
    Examples:
      tallymark stale
      tallymark stale --json
    """
    with explained():
        places = places_of(**where)
        rows = [_row(one) for one in stale_spans(places)]
        announced = [_announced(one) for one in announced_spans(places)]
    if as_json:
        document = {"code": code_version(), "spans": rows, "announced": announced}
        click.echo(json.dumps(document))
        return
    if not rows:
        click.echo(f"all served hours were computed by this code, {code_version()}")
    for row in rows:
        owner = "" if row["property"] is None else f" of property {row['property']}"
        click.echo(f"{row['hours']}{owner}: {row['lineage']}, code {row['code']}: {row['mend']}")
    for row in announced:
        wait = ", once the hours are sealed" if row["open"] else ""
        click.echo(
            f"{row['hours']} of property {row['property']}: late hits, clients whose sources have "
            f"changed, or rules that were known too late: {row['mend']}{wait}"
        )


def _row(one: StaleSpan) -> dict[str, Any]:
    hours = span_text((one.span.start_us, one.span.end_us))
    owner = "" if one.property_id is None else f" --property {one.property_id}"
    return {
        "hours": hours,
        "property": one.property_id,
        "lineage": one.lineage,
        "code": one.code_version or "unknown",
        "open": one.is_open,
        "mend": "tallymark stream upgrade" if one.is_open else f"tallymark replay {hours}{owner}",
    }


def _announced(one: AnnouncedSpan) -> dict[str, Any]:
    hours = span_text((one.span.start_us, one.span.end_us))
    return {
        "hours": hours,
        "property": one.property_id,
        "open": one.is_open,
        "mend": f"tallymark replay {hours} --property {one.property_id} --publish",
    }
