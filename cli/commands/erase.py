"""``tallymark erase``: forget one client of a property."""

import json
from dataclasses import asdict
from typing import Any

import click

from cli.places import explained, json_option, place_options, places_of
from stores.archive.hours import hour_name


@click.command()
@place_options
@click.option("--property", "owner", metavar="PROPERTY", required=True,
              help="The property that knows the client, by number or measurement id.")  # fmt: skip
@click.option("--client", "client_id", metavar="ID", required=True,
              help="The client's id, as it is in its cookie and its hits.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Erase; without it, it is told what would go.")
@json_option
def erase(*, owner: str, client_id: str, yes: bool, as_json: bool, **where: Any) -> None:
    """Forget one client of a property: its requests, hits, sessions, dead letters and touches.

    Reports stay, as they are sums. What a replay computes of these hours afterwards is without the
    client. What is on its way to the archive comes after: erase again in a few minutes, once the
    client's cookie is gone. Nothing of it can be undone.

    \b
    Examples:
      tallymark erase --property G-ABCDE12345 --client 1234567890.1700000000
      tallymark erase --property G-ABCDE12345 --client 1234567890.1700000000 --yes
    """
    with explained():
        places = places_of(**where)
        erasure = places.erasure(owner, client_id)
        rows: list[dict[str, Any]]
        if yes:
            rows = [asdict(erasure.run())]
        else:
            rows = [
                {"hour": hour_name(hour), "requests": len(ids)}
                for hour, ids in erasure.found().items()
            ]
    for row in rows:
        line = "  ".join(f"{key} {value}" for key, value in row.items())
        click.echo(json.dumps(row) if as_json else line)
    if not yes:
        told = "nothing was erased: --yes does it" if rows else "no request of this client is held"
        click.echo(told, err=True)
