"""``tallymark lineages``: who computed what, what serves, and what served before."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from cli.places import (
    explained,
    json_option,
    place_options,
    places_of,
    property_id_of,
    property_option,
)
from cli.span_text import span_text
from stores.clock import utc_us
from stores.lineages import LineageRegister
from stores.pointers import PointerStore
from tallymark.lineages import Lineage
from tallymark.publication import PointerDocument, Signature
from tallymark.sweeping import GRACE_US, reasons_to_stay

_WIDTH = 200
"""Columns of a table that goes to a file or a pipe."""


@click.command()
@place_options
@property_option
@click.option("--history", is_flag=True, help="What served before, by version, newest first.")
@json_option
def lineages(*, owner: str | None, history: bool, as_json: bool, **where: Any) -> None:
    """List the lineages: each computation of history, and which hours it serves.

    gen-0 is extended as hours are sealed, gen-N is a replay, live-N a streaming job. A candidate
    may be published; one that was withdrawn may be again; of one that was swept the cells are
    gone. Old ones are swept by themselves: what stays says why. With --history, the versions
    that tallymark rollback --to goes back to; with --property those of that property's own
    publications.

    \b
    Examples:
      tallymark lineages
      tallymark lineages --history --json
    """
    with explained():
        places = places_of(**where)
        property_id = property_id_of(places, owner)
        pointers = PointerStore(places.wide_rows)
        if history:
            rows = [_version(document) for document in pointers.history(property_id)]
        else:
            register = LineageRegister(places.wide_rows, utc_us).all()
            serving, now_us = _serving(pointers), utc_us()
            named = pointers.named_since(now_us - GRACE_US)
            stays = reasons_to_stay(register, named, now_us=now_us)
            rows = [
                _lineage(each, serving.get(each.name, []), stays.get(each.name))
                for each in register.values()
                if property_id is None or each.property_id in (None, property_id)
            ]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    _print(rows)


def _serving(pointers: PointerStore) -> dict[str, list[str]]:
    """The hours that each lineage serves, as people read them."""
    found: dict[str, list[str]] = {}
    for property_id, document in pointers.everyone().items():
        of = "" if property_id is None else f" of {property_id}"
        for part in document.pointers.intervals:
            span = span_text((part.start_us, part.end_us))
            found.setdefault(part.lineage, []).append(span + of)
    return found


def _lineage(lineage: Lineage, serves: Sequence[str], stays: str | None) -> dict[str, Any]:
    return {
        "name": lineage.name,
        "state": lineage.state,
        "computed": [span_text(span) for span in lineage.targets],
        "serves": list(serves),
        "stays": "" if stays is None else stays or "is swept next",
        "property": lineage.property_id,
        "rules": lineage.rules,
        "code": lineage.code_version,
        "hits": lineage.hits,
        "seconds": lineage.seconds,
        "created": _moment(lineage.created_at),
        "who": lineage.who,
        "why": lineage.why,
    }


def _version(document: PointerDocument) -> dict[str, Any]:
    change = document.change
    signature = change.signature if change else Signature(who="", at_us=0)
    return {
        "version": document.version,
        "action": change.action if change else "",
        "lineage": change.lineage if change else "",
        "hours": [span_text(span) for span in change.spans] if change else [],
        "restored": change.restored if change else 0,
        "at": _moment(signature.at_us),
        "who": signature.who,
        "why": signature.why,
    }


def _print(rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        click.echo("none yet: tallymark up makes the first lineage", err=True)
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    shown = [name for name in rows[0] if any(row[name] not in ("", None, [], 0) for row in rows)]
    table = Table(*shown, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_text(row[name]) for name in shown))
    console.print(table)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(value)
    if isinstance(value, (int, float)):
        return f"{value:,}"
    return "" if value is None else str(value)


def _moment(instant_us: int) -> str:
    return datetime.fromtimestamp(instant_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
