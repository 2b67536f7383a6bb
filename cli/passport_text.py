"""A hit's passport as people read it, in sections; what visitors sent is made printable."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from cli.printable import printable

_INDENT = "  "


def passport_lines(passport: dict[str, Any]) -> Iterator[str]:
    """The lines of a document of ``stores.passports``."""
    request = passport["request"]
    yield f"request {request['request_id']}, received {moment(request['received_at'])}"
    yield from _received(request)
    for letter in passport["dead_letters"]:
        yield ""
        yield (
            f"dead letter in {letter['step']}: {letter['reason']}, "
            f"{letter['meaning']}; {printable(letter['detail'])}"
        )
    for hit in passport["hits"]:
        yield ""
        yield from _hit(hit)
    if not (passport["hits"] or passport["dead_letters"]):
        yield "it holds no hit"


def moment(instant_us: int) -> str:
    """UTC µs in text."""
    return f"{datetime.fromtimestamp(instant_us / 1e6, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _received(request: dict[str, Any]) -> Iterator[str]:
    copies = request["copies"]
    again = "" if copies == 1 else f"; it came {copies} times and counts once"
    yield (
        f"{_INDENT}archived in received hour {request['archived_in']}, spool "
        f"{request['spool_id']}, block {request['block_number']}{again}"
    )
    apart = {
        "request_id", "received_at", "archived_in", "spool_id", "block_number", "copies",
    }  # fmt: skip
    yield from _fields({name: value for name, value in request.items() if name not in apart})


def _hit(hit: dict[str, Any]) -> Iterator[str]:
    yield f"hit {hit['hit_id']}: {printable(hit['decoded']['event_name'])}"
    yield f"{_INDENT}{hit['why']}"
    if hit["repeats_sale"]:
        yield f"{_INDENT}its value is nothing, as it repeats a sale of the same transaction"
    if hit["repeats_key_event"]:
        yield f"{_INDENT}it is no key event, as one of its session stands for it"
    yield f"{_INDENT}happened {moment(hit['event_at'])}"
    for title in ("decoded", "enriched", "rules"):
        yield title
        yield from _fields(hit[title])
    yield from _session(hit)
    if hit["cells"]:
        yield "cells it counts in" if hit["counts"] else "cells it would count in"
    computed_by = hit["computed_by"]
    if hit["cells"] and computed_by:
        code = computed_by["code_version"] or "of no version"
        yield (
            f"{_INDENT}of {hit['lineage']}, computed by code {code} with rules "
            f"{computed_by['rules']}"
        )
    for cell in hit["cells"]:
        yield from _cell(cell)


def _session(hit: dict[str, Any]) -> Iterator[str]:
    session = hit["session"]
    if hit["excluded_by"]:
        return
    yield "session"
    if session is None:
        why = hit["session_not_told"]
        yield f"{_INDENT}not told: {why}" if why else f"{_INDENT}it belongs to none"
        return
    yield f"{_INDENT}began {moment(session['session_start'])}"
    yield from _fields(
        {
            name: value
            for name, value in session.items()
            if name not in ("session_start", "session_slot")
        }
    )


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    slot = f"{moment(cell['slot_start'])[:16]}Z, {cell['slot_minutes']} min"
    yield f"{_INDENT}{cell['rollup']}  {cell['row_key']}  slot {slot}"
    keys = cell["keys"]
    if keys is None:
        yield f"{_INDENT * 2}the row is that of its session, which is not told here"
        return
    row = " | ".join(printable(key) or "(not set)" for key in keys) or "the whole slot"
    yield f"{_INDENT * 2}row: {row}"
    if cell["is_folded"]:
        yield f"{_INDENT * 2}not stored by itself: folded into (other)"
    elif not cell["is_stored"]:
        yield f"{_INDENT * 2}not stored (yet)"
    else:
        numbers = ", ".join(f"{name} {value:,}" for name, value in cell["numbers"].items() if value)
        clients = {True: "its visitor is counted", False: "its visitor is NOT counted"}
        counted = clients.get(cell["holds_client"], "too many visitors to tell of one")
        yield f"{_INDENT * 2}stored: {numbers or 'zeros'}; {counted}"


def _fields(fields: dict[str, Any]) -> Iterator[str]:
    """One a line; what was not sent is left out."""
    for name, value in fields.items():
        if value in ("", [], None, False, 0):
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"{_INDENT}{name}: {printable(text)}"
