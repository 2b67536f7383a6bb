"""``tallymark sweep``: delete what old generations hold."""

import json
from typing import Any

import click

from cli.places import explained, json_option, place_options, places_of
from tallymark.sweeping import GRACE_US, KEPT_GENERATIONS


@click.command()
@place_options
@click.option("--keep", type=click.IntRange(min=0), default=KEPT_GENERATIONS, show_default=True,
              help="How many of the newest generations stay, serving or not.")  # fmt: skip
@click.option("--grace-seconds", type=click.IntRange(min=60), default=GRACE_US // 1_000_000,
              show_default=True, help="How long one stays that has ceased to serve.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Name them, delete nothing.")
@json_option
def sweep(*, keep: int, grace_seconds: int, dry_run: bool, as_json: bool, **where: Any) -> None:
    """Delete cells and files of generations, and of ended streams, that nothing is served from.

    Dagster does the same by itself. The newest stay, and those whose clean hits a kept one was
    computed from. One that was swept cannot be published, nor rolled back to; what it held can
    be computed again.

    \b
    Examples:
      tallymark sweep --dry-run
      tallymark sweep --keep 5
    """
    choices = {"kept": keep, "grace_us": grace_seconds * 1_000_000}
    with explained():
        places = places_of(**where)
        sweeper = places.sweeper()
        rows: list[dict[str, Any]]
        if dry_run:
            rows = [{"lineage": each.name, "state": each.state} for each in sweeper.due(**choices)]
        else:
            rows = [
                {"lineage": name, "slots": slots, "files": files}
                for name, (slots, files) in sweeper.sweep(**choices).items()
            ]
    for row in rows:
        line = "  ".join(f"{key} {value}" for key, value in row.items() if key != "lineage")
        click.echo(json.dumps(row) if as_json else f"{row['lineage']:<10} {line}")
    if not rows and not as_json:
        click.echo("nothing to sweep", err=True)
