"""``tallymark keys``: hand out, list, rotate and revoke keys."""

import json
import time
from typing import Any, Final

import click

from cli.config_calls import Calls, calls_of, config_options, resource_named
from cli.printable import printable

_SCOPES: Final = ("collect", "read", "configure", "replay", "feed")
_ROLES: Final = ("owner", "editor", "analyst", "viewer")
_FOR = click.option(
    "--for", "parent", metavar="WHAT",
    help="A property or a data stream, by number or measurement id, or accounts/ID, properties/ID, "
    "properties/ID/dataStreams/ID  [default: the whole deployment]",
)  # fmt: skip
_KEY = click.argument("key", metavar="KEY")
_JSON = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group(name="keys")
def keys_group() -> None:
    """Hand out, list, rotate and revoke keys.

    The commands work on the database of a data folder, whether a stack runs on it or not, or on
    a service elsewhere (--config-url, --key-file).
    """


@keys_group.command()
@click.option("--name", required=True, help="For people.")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(_SCOPES),
              help="What it opens; may be given many times.")  # fmt: skip
@_FOR
@click.option("--role", type=click.Choice(_ROLES), help="What it may do, with scope configure.")
@click.option("--days", type=click.IntRange(1, 36_500), help="It ends after so many days.")
@config_options
@_JSON
def create(
    *,
    name: str,
    scopes: tuple[str, ...],
    parent: str | None,
    role: str | None,
    days: int | None,
    as_json: bool,
    **where: Any,
) -> None:
    """Hand out a key; its secret is printed this once.

    \b
    Examples:
      tallymark keys create --name "Jane's reports" --scope read --for 123456789 --days 90
      tallymark keys create --name "Shop server" --scope collect --for G-ABCDE12345
    """
    ends = None if days is None else int((time.time() + days * 86_400) * 1_000_000)
    with calls_of(**where) as calls:
        body = {
            "display_name": name,
            "scopes": list(scopes),
            "parent": _parent(calls, parent, scopes),
            "role": role,
            "expires_at": ends,
        }
        _show_secret(calls.ask("create_key", body=body), as_json=as_json)


@keys_group.command(name="list")
@_FOR
@config_options
@_JSON
def list_keys(parent: str | None, as_json: bool, **where: Any) -> None:
    """List keys, ended ones among them; their secrets are stored nowhere.

    \b
    Example:
      tallymark keys list --for G-ABCDE12345
    """
    with calls_of(**where) as calls:
        named = None if parent is None else resource_named(calls, parent)
        found = calls.ask("list_keys", query={"parent": named})["keys"]
    for key in found:
        click.echo(json.dumps(key) if as_json else _line(key))


@keys_group.command()
@_KEY
@click.option("--overlap-seconds", type=click.IntRange(0), default=86_400, show_default=True,
              help="For so long the old one opens too.")  # fmt: skip
@config_options
@_JSON
def rotate(key: str, overlap_seconds: int, as_json: bool, **where: Any) -> None:
    """Hand out a new key beside KEY, which ends after the overlap.

    \b
    Example:
      tallymark keys rotate keys/123456789 --overlap-seconds 3600
    """
    with calls_of(**where) as calls:
        body = {"overlap_seconds": overlap_seconds}
        answer = calls.ask("rotate_key", key_id=_number(key), body=body)
    _show_secret(answer, as_json=as_json)


@keys_group.command()
@_KEY
@config_options
def revoke(key: str, **where: Any) -> None:
    """End KEY now.

    \b
    Example:
      tallymark keys revoke keys/123456789
    """
    with calls_of(**where) as calls:
        calls.ask("delete_key", key_id=_number(key))
    click.echo(f"keys/{_number(key)} opens nothing any more")


def _parent(calls: Calls, parent: str | None, scopes: tuple[str, ...]) -> str | None:
    """A measurement id names a data stream for what sends hits, and its property for the rest."""
    if parent is None:
        return None
    named = resource_named(calls, parent)
    is_whole = parent.startswith("G-") and scopes != ("collect",)
    return named.partition("/dataStreams/")[0] if is_whole else named


def _number(key: str) -> int:
    number = key.removeprefix("keys/")
    if not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise click.BadParameter(f"expected keys/NUMBER, got {key!r}", param_hint="KEY")
    return int(number)


def _show_secret(key: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(key))
        return
    click.echo(f"{'name':<15} {key['name']}")
    click.echo(f"{'secret':<15} {key['secret']}")
    click.echo("Keep the secret: it cannot be shown again.", err=True)


def _line(key: dict[str, Any]) -> str:
    state = "in force"
    if key["revoked_at"] is not None:
        state = "revoked"
    elif key["expires_at"] is not None:
        is_over = key["expires_at"] <= time.time() * 1_000_000
        day = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(key["expires_at"] / 1_000_000))
        state = "ended" if is_over else f"until {day}"
    parts = (
        key["name"], ",".join(key["scopes"]), key["role"] or key["user"] or "-",
        key["parent"] or "deployment", state, key["display_name"],
    )  # fmt: skip
    return printable("  ".join(parts))
