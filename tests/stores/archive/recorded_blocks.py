"""Blocks as collectors would have shipped them."""

import polars as pl

from tallymark.block_limits import BlockKind
from tallymark.blocks import Block, encode_requests
from tallymark.requests import REQUEST_SCHEMA
from tallymark.slots import HOUR_US, MINUTE_US

HOUR = 1_767_225_600_000_000  # 2026-01-01T00
assert HOUR % HOUR_US == 0


def request(request_id: str, received_at: int, *, balanced: bool = False) -> dict[str, object]:
    row: dict[str, object] = {
        name: "" if kind == pl.String else False for name, kind in REQUEST_SCHEMA.items()
    }
    return row | {
        "request_id": request_id,
        "received_at": received_at,
        "has_balancer_id": balanced,
        "path": "/collect",
    }


def block(
    spool_id: str,
    number: int,
    frontier: int,
    requests: list[dict[str, object]] | None = None,
    kind: BlockKind | None = None,
) -> Block:
    """A block of ``requests``, else an opening one, a heartbeat, or what ``kind`` says."""
    rows = requests or []
    return Block(
        spool_id=spool_id,
        number=number,
        kind=kind or ("requests" if rows else "opening" if number == 1 else "heartbeat"),
        frontier=frontier,
        requests=len(rows),
        payload=encode_requests(pl.DataFrame(rows, schema=REQUEST_SCHEMA)),
        published_at=frontier + 1_000,
    )


def spool(
    spool_id: str, first_minute: int, last_minute: int, *, closes: bool = True
) -> list[Block]:
    """A spool with a request a minute, in [first, last) minutes after ``HOUR``."""
    blocks = [block(spool_id, 1, HOUR + first_minute * MINUTE_US)]
    for minute in range(first_minute, last_minute):
        at = HOUR + minute * MINUTE_US
        one = request(f"{spool_id}-{minute:04d}", at + 1)
        blocks.append(block(spool_id, len(blocks) + 1, at + MINUTE_US, [one]))
    if closes:
        end = HOUR + last_minute * MINUTE_US
        blocks.append(block(spool_id, len(blocks) + 1, end, kind="closing"))
    return blocks
