"""``tallymark rollback``: serve again what was served before."""

import json
from typing import Any

import click

from cli.places import (
    explained,
    json_option,
    place_options,
    places_of,
    property_id_of,
    property_option,
)
from cli.who import who


@click.command()
@place_options
@property_option
@click.option("--to", type=click.IntRange(min=0), metavar="VERSION",
              help="Serve exactly this version again; lineages --history lists them.")  # fmt: skip
@click.option("--why", default="", help="For the history.")
@json_option
def rollback(*, owner: str | None, to: int | None, why: str, as_json: bool, **where: Any) -> None:
    """Take the last publication back; called again, the one before it.

    It is one write. Hours that were sealed since stay sealed, unless --to names a version. What
    was published for one property alone is rolled back with --property.

    \b
    Examples:
      tallymark rollback --why "wrong channel"
      tallymark rollback --property G-ABCDE12345
      tallymark rollback --to 7
    """
    with explained():
        places = places_of(**where)
        property_id = property_id_of(places, owner)
        document = places.publisher(who()).rollback(property_id=property_id, to=to, why=why)
    change = document.change
    restored = change.restored if change else 0
    if as_json:
        click.echo(json.dumps({"version": document.version, "restored": restored}))
        return
    click.echo(f"version {document.version} serves what version {restored} served")
