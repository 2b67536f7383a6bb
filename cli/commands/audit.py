"""``tallymark audit``: which sealed hours are not what was streamed, and who looked at them."""

import json
from typing import Any

import click

from cli.hour_range import HourRange
from cli.places import explained, json_option, place_options, places_of
from cli.who import who
from stores.clock import utc_us
from stores.live_audits import AuditNotes
from tallymark.audit_notes import AuditNote, alert_text
from tallymark.replays import Span, hour_text


@click.command()
@place_options
@click.option("--acknowledge", "acknowledged", type=HourRange(), metavar="RANGE",
              help="Somebody has looked at these hours: they are no alert any more.")  # fmt: skip
@click.option("--why", default="", help="What it was; kept with the hours.")
@json_option
def audit(*, acknowledged: Span | None, why: str, as_json: bool, **where: Any) -> None:
    """List the sealed hours that differ from what was streamed, beyond late hits.

    When an hour is sealed it is computed again, from the recorded requests, and held against what
    the stream had counted. What follows from hits that came late is no alert; whatever else
    differs is. What is served is what was computed again.

    \b
    Examples:
      tallymark audit
      tallymark audit --acknowledge 2026-01-31T08..2026-01-31T12 --why "the stream's disk was full"
    """
    with explained():
        notes = AuditNotes(places_of(**where).wide_rows, utc_us)
        if acknowledged is None:
            found = notes.all()
        else:
            found = notes.acknowledge(
                acknowledged.start_us, acknowledged.end_us, who=who(), why=why
            )
    if as_json:
        for note in found:
            click.echo(json.dumps(note.to_json()))
        return
    for note in found:
        click.echo(_line(note))
    if acknowledged is not None:
        click.echo(f"{len(found)} acknowledged", err=True)
    else:
        alerts = [note for note in found if note.is_alert]
        click.echo(alert_text(alerts) or "nothing is to be looked at", err=True)


def _line(note: AuditNote) -> str:
    looked = f"; {note.acknowledged_by} has looked at it: {note.why}".rstrip(": ")
    examples = "".join(f"\n    {text}" for text in note.examples)
    return (
        f"{hour_text(note.hour_us)}  {note.numbers:,} numbers of "
        f"{', '.join(map(str, note.properties)) or 'no property'}"
        f"{looked if note.acknowledged_by else ''}{examples}"
    )
