"""``tallymark retention``: take out hits that are not to be kept any longer."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from cli.places import explained, json_option, place_options, places_of
from stores.archive.hours import hour_name
from stores.retention import RetentionSweep


@click.command()
@place_options
@click.option("--max-days", "retention_days", type=click.IntRange(7, 36_600), metavar="DAYS",
              help="Keep no hit for longer, whatever its property's rules say.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Name what would go, change nothing.")
@json_option
def retention(*, dry_run: bool, as_json: bool, **where: Any) -> None:
    """Take out hits that are older than their property's retention_days, or the deployment's limit.

    Recorded requests, clean hits, sessions, dead letters and the touches of clients go; reports
    stay. Dagster does the same by itself, once a day. What has gone cannot be computed again.

    \b
    Examples:
      tallymark retention --dry-run
      tallymark retention --max-days 800 --dry-run
    """
    with explained():
        sweep = places_of(**where).retention()
        rows = list(_due(sweep)) if dry_run else [asdict(sweep.run())]
    for row in rows:
        line = "  ".join(f"{key} {value}" for key, value in row.items())
        click.echo(json.dumps(row) if as_json else line)
    if not rows and not as_json:
        click.echo("nothing is due", err=True)


def _due(sweep: RetentionSweep) -> Iterator[dict[str, Any]]:
    for hour_us in sweep.whole_hours():
        yield {"hour": hour_name(hour_us), "property": "all", "requests": "all"}
    for one in sweep.due_hours():
        for name, count in sorted(one.requests.items()):
            yield {"hour": hour_name(one.hour_us), "property": name, "requests": count}
