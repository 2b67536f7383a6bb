"""``tallymark property``: create and list properties."""

import json
import secrets
import sys
from pathlib import Path
from typing import Any

import click

from cli.data_folder import DataFolder, data_option
from cli.exchange_rate import ExchangeRateType


@click.group(name="property")
def property_group() -> None:
    """Create and list properties: what a merchant measures under one id."""


@property_group.command()
@click.option("--name", required=True, help="For people, up to 100 characters.")
@click.option("--time-zone", default="UTC", show_default=True, help="IANA name; days start by it.")
@click.option("--currency", default="USD", show_default=True, help="ISO 4217 code.")
@click.option(
    "--session-gap-seconds", type=int, default=1800, show_default=True,
    help="A pause so long begins a new session: 300 to 14400.",
)  # fmt: skip
@click.option(
    "--attribution-lookback-days", type=int, default=90, show_default=True,
    help="A direct session has the last source that its client came from within so many days: 1 to"
    " 90.",
)  # fmt: skip
@click.option(
    "--allowed-host", "allowed_hosts", multiple=True, metavar="HOST",
    help="Count pages of this host and its subdomains alone; may be given many times  [default:"
    " any]",
)  # fmt: skip
@click.option(
    "--exchange-rate", "exchange_rates", type=ExchangeRateType(), multiple=True,
    metavar="CURRENCY=RATE@DAY",
    help="What a unit of another currency is worth in the property's, from a day (UTC) on; may be "
    "given many times. Sales in a currency without a rate count without their value.",
)  # fmt: skip
@data_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object for programs.")
def create(data: Path, as_json: bool, allowed_hosts: tuple[str, ...], **settings: Any) -> None:
    """Create a property; prints its ids and, this once, its secrets.

    \b
    api_secret  lets servers send hits by the Measurement Protocol
    read_key    lets its holder read the property's reports

    \b
    Examples:
      tallymark property create --name "My shop"
      tallymark property create --name Laden --time-zone Europe/Berlin --currency EUR \\
        --exchange-rate USD=0.92@2026-01-01 --exchange-rate USD=0.95@2026-07-01
    """
    from stores.rules_cache.creation import create_property  # noqa: PLC0415
    from stores.rules_cache.problems import InvalidPropertyError  # noqa: PLC0415

    path = DataFolder(data).rules_path
    try:
        hosts = [host.lower() for host in allowed_hosts]
        new = create_property(
            path, random_bytes=secrets.token_bytes, allowed_hosts=hosts, **settings
        )
    except InvalidPropertyError as error:
        raise click.ClickException(f"the property was not created:\n{error}") from error
    shown = {
        "property_id": new.created.property_id,
        "measurement_id": new.measurement_id,
        "api_secret": new.api_secret,
        "read_key": new.read_key,
    }
    if as_json:
        click.echo(json.dumps(shown))
        return
    for name, value in shown.items():
        click.echo(f"{name:<15} {value}")
    click.echo("Keep api_secret and read_key: they cannot be shown again.", err=True)


@property_group.command(name="list")
@data_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_properties(data: Path, as_json: bool) -> None:
    """List the properties of a data folder.

    \b
    Example:
      tallymark property list --json
    """
    from stores.rules_cache.documents import decode_properties  # noqa: PLC0415
    from stores.rules_cache.problems import InvalidPropertyError  # noqa: PLC0415

    path = DataFolder(data).rules_path
    try:
        properties = decode_properties(path.read_bytes())
    except FileNotFoundError:
        click.echo(f"no properties in {data}: tallymark property create makes one", err=True)
        sys.exit(0)
    except InvalidPropertyError as error:
        raise click.ClickException(f"{path} is broken; mend it:\n{error}") from error
    for owner in properties:
        rules = owner.current.rules
        row = {
            "property_id": owner.property_id,
            "measurement_ids": list(owner.measurement_ids),
            "name": owner.name,
            "time_zone": rules.time_zone,
            "currency": rules.currency,
            "session_gap_seconds": rules.session_gap_seconds,
            "attribution_lookback_days": rules.attribution_lookback_days,
            "allowed_hosts": list(rules.allowed_hosts),
        }
        click.echo(json.dumps(row) if as_json else _line(row))


def _line(row: dict[str, Any]) -> str:
    lists = {name: ",".join(row[name]) for name in ("measurement_ids", "allowed_hosts")}
    shown = row | lists
    return "  ".join(map(str, shown.values())).rstrip()
