"""Properties of a Data Configuration service: made and told by its calls, as a folder's are."""

from collections.abc import Iterator
from typing import Any

import click

from cli.config_calls import Calls, Document, all_properties


def create_remotely(calls: Calls, *, name: str, rules: Document, account: str | None) -> Document:
    """A property with a data stream, a secret and a read key; what ``property create`` shows.

    Raises:
        click.ClickException: when it is refused; what was made before that stays.
    """
    owner = calls.ask(
        "create_property",
        body={"parent": account or _only_account(calls), "display_name": name, "rules": rules},
    )
    property_id = int(owner["name"].split("/")[1])
    stream = calls.ask("create_data_stream", property_id=property_id, body={"display_name": name})
    secret = _key(calls, "first API secret", "collect", stream["name"])
    read_key = _key(calls, "first read key", "read", owner["name"])
    return {
        "property_id": property_id,
        "measurement_id": stream["measurement_id"],
        "api_secret": secret,
        "read_key": read_key,
    }


def remote_rows(calls: Calls) -> Iterator[Document]:
    """What ``property list`` shows, of every property that the key may see."""
    for owner in all_properties(calls):
        property_id = int(owner["name"].split("/")[1])
        streams = calls.ask("list_data_streams", property_id=property_id)["data_streams"]
        rules = calls.ask("get_rules", property_id=property_id)["document"]
        shown = ("time_zone", "currency", "session_gap_seconds", "attribution_lookback_days",
                 "allowed_hosts")  # fmt: skip
        yield {
            "property_id": property_id,
            "measurement_ids": [stream["measurement_id"] for stream in streams],
            "name": owner["display_name"],
        } | {name: rules[name] for name in shown}


def _only_account(calls: Calls) -> str:
    accounts: list[Any] = calls.ask("list_accounts")["accounts"]
    if len(accounts) != 1:
        known = ", ".join(f"{each['name']} ({each['display_name']})" for each in accounts[:5])
        raise click.ClickException(
            f"--account: expected which of {len(accounts)} accounts, got nothing: {known or 'none'}"
        )
    return str(accounts[0]["name"])


def _key(calls: Calls, name: str, scope: str, parent: str) -> str:
    body = {"display_name": name, "scopes": [scope], "parent": parent}
    return str(calls.ask("create_key", body=body)["secret"])
