"""``tallymark hit``: the passport of one hit."""

import json
from typing import Any, Final

import click

from cli.passport_text import passport_lines
from cli.places import explained, json_option, place_options, places_of
from stores.clock import utc_us
from stores.passports import HitNotFoundError, Passports
from stores.rules_cache.opening import open_rules_cache
from tallymark.hit_names import HitName

MOST_REQUESTS: Final = 5_000_000
"""How many recorded requests may be read to tell the hit's session."""


@click.command()
@click.argument("hit_id", metavar="ID")
@place_options
@json_option
def hit(hit_id: str, *, as_json: bool, **where: Any) -> None:
    """Tell all of a hit: what was received, how it was understood, and where it counts.

    ID is the id of a request, or of one hit in it. The request is looked for in the archive, is
    understood anew by the installed code and the rules in force when it was received, and is held
    against the cells that are stored now. Nothing is changed.

    \b
    Examples:
      tallymark hit 019a3b7c5d0e7123a4b5c6d7e8f90123
      tallymark hit 019a3b7c5d0e7123a4b5c6d7e8f90123-0000 --json
    """
    with explained():
        places = places_of(**where)
        name = HitName.parse(hit_id)
        passports = Passports(
            places.objects,
            places.wide_rows,
            open_rules_cache(places.rules_path, role="list"),
            utc_us,
            places.late_us,
            most_requests=MOST_REQUESTS,
        )
        try:
            passport = passports.passport(name)
        except HitNotFoundError as error:
            raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(passport))
        return
    for line in passport_lines(passport):
        click.echo(line)
