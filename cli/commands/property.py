"""``tallymark property``: create and list properties."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cli.config_calls import calls_of, config_options
from cli.configuration import configuration
from cli.data_folder import DataFolder
from cli.exchange_rate import ExchangeRateType


@click.group(name="property")
def property_group() -> None:
    """Create and list properties: what a merchant measures under one id."""


@property_group.command()
@click.option("--name", required=True, help="For people, up to 100 characters.")
@click.option("--time-zone", help="IANA name; days start by it  [default: UTC]")
@click.option("--currency", help="ISO 4217 code  [default: USD]")
@click.option(
    "--session-gap-seconds", type=int,
    help="A pause so long begins a new session: 300 to 14400  [default: 1800]",
)  # fmt: skip
@click.option(
    "--attribution-lookback-days", type=int,
    help="A direct session has the last source that its client came from within so many days: 1 to"
    " 90  [default: 90]",
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
@click.option("--account", metavar="accounts/ID", help="Whose  [default: the oldest, or only one]")
@config_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object for programs.")
def create(
    *,
    data: Path,
    config_url: str | None,
    key_file: Path | None,
    name: str,
    account: str | None,
    as_json: bool,
    allowed_hosts: tuple[str, ...],
    exchange_rates: tuple[dict[str, str], ...],
    **settings: Any,
) -> None:
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
    hosts = [host.lower() for host in allowed_hosts]
    given = settings | {"allowed_hosts": hosts, "exchange_rates": list(exchange_rates)}
    rules = {key: value for key, value in given.items() if value not in (None, [])}
    if config_url is None:
        shown = _created(data, name=name, rules=rules, account=account)
    else:
        from cli.remote_properties import create_remotely  # noqa: PLC0415

        with calls_of(data, config_url, key_file) as calls:
            shown = create_remotely(calls, name=name, rules=rules, account=account)
    if as_json:
        click.echo(json.dumps(shown))
        return
    for field, value in shown.items():
        click.echo(f"{field:<15} {value}")
    click.echo("Keep api_secret and read_key: they cannot be shown again.", err=True)


@property_group.command(name="list")
@config_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_properties(
    data: Path, config_url: str | None, key_file: Path | None, as_json: bool
) -> None:
    """List the properties of a data folder, or of a service.

    \b
    Example:
      tallymark property list --json
    """
    if config_url is not None:
        from cli.remote_properties import remote_rows  # noqa: PLC0415

        with calls_of(data, config_url, key_file) as calls:
            for row in remote_rows(calls):
                click.echo(json.dumps(row) if as_json else _line(row))
        return
    folder = DataFolder(data)
    if not folder.rules_path.exists() and not folder.config.database.exists():
        click.echo(f"no properties in {data}: tallymark property create makes one", err=True)
        return
    with configuration(data) as opened:
        properties = opened.properties()
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


def _created(
    data: Path, *, name: str, rules: dict[str, Any], account: str | None
) -> dict[str, Any]:
    from config_api.names import account_number  # noqa: PLC0415
    from config_api.new_property import NewProperty, create_property  # noqa: PLC0415
    from config_api.organisations import ensure_default  # noqa: PLC0415
    from config_api.transaction import Transaction  # noqa: PLC0415

    def create(work: Transaction) -> NewProperty:
        owner = ensure_default(work) if account is None else account_number(account)
        return create_property(work, owner, name=name, rules=rules)

    with configuration(data) as opened:
        return asdict(opened.write(create))


def _line(row: dict[str, Any]) -> str:
    lists = {name: ",".join(row[name]) for name in ("measurement_ids", "allowed_hosts")}
    shown = row | lists
    return "  ".join(map(str, shown.values())).rstrip()
