"""A block: up to 5,000 requests of one spool, the unit that is shipped, archived, deduplicated.

A block is named by (spool id, number). Numbers start at 1 and have no holes, so a consumer that
keeps the contiguous number and the holes above it can drop what it has seen before.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from tallymark.block_limits import (
    HOUR_US,
    KINDS,
    MAX_AGE_SECONDS,
    MAX_BLOCK_BYTES,
    MAX_REQUESTS,
    BlockKind,
)
from tallymark.requests import REQUEST_SCHEMA, as_requests, empty_requests

__all__ = [
    "HOUR_US",
    "MAX_AGE_SECONDS",
    "MAX_BLOCK_BYTES",
    "MAX_REQUESTS",
    "Block",
    "BlockKind",
    "block_of_message",
    "encode_requests",
]


def block_name(spool_id: str, number: int) -> str:
    """``spool-number``, sortable and safe in a file name."""
    return f"{spool_id}-{number:010d}"


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block and what its consumers need to know without decoding it.

    Attributes:
        spool_id: The spool that numbered it; one start of one collector worker.
        number: 1 for the opening block, then ascending without holes.
        kind: ``opening`` and ``closing`` bracket a spool, ``heartbeat`` is empty.
        frontier: UTC µs; every request of this spool received before it is in this block or in
            one with a smaller number.
        requests: How many requests it holds.
        payload: Arrow IPC stream (zstd) of a request frame, or empty when there are none.
        published_at: UTC µs at which the bus took it, 0 where it has not passed the bus yet.
    """

    spool_id: str
    number: int
    kind: BlockKind
    frontier: int
    requests: int
    payload: bytes
    published_at: int = 0

    @property
    def name(self) -> str:
        """See ``block_name``."""
        return block_name(self.spool_id, self.number)

    @property
    def received_hour(self) -> int:
        """Start (UTC µs) of the received hour that all its requests lie in.

        A segment is closed at the end of a received hour, so the frontier of its block lies in
        the same hour or is exactly the end of it.
        """
        return (self.frontier - 1) // HOUR_US * HOUR_US

    def frame(self) -> pl.DataFrame:
        """The requests, columns of ``REQUEST_SCHEMA`` first; see ``as_requests``.

        Raises:
            pl.exceptions.PolarsError: when the payload is no Arrow stream.
            NoRequestsError: when it holds something else than requests.
        """
        if not self.payload:
            return empty_requests()
        return as_requests(pl.read_ipc_stream(io.BytesIO(self.payload)))

    def attributes(self) -> dict[str, str]:
        """The message attributes under which a block travels; all but payload and time."""
        return {
            "spool_id": self.spool_id,
            "number": str(self.number),
            "kind": self.kind,
            "frontier": str(self.frontier),
            "requests": str(self.requests),
        }


def encode_requests(frame: pl.DataFrame) -> bytes:
    """A block's payload from a request frame: Arrow IPC, compressed; empty for no rows."""
    if frame.is_empty():
        return b""
    buffer = io.BytesIO()
    frame.select(list(REQUEST_SCHEMA)).cast(REQUEST_SCHEMA).write_ipc_stream(
        buffer, compression="zstd"
    )
    return buffer.getvalue()


def block_of_message(payload: bytes, attributes: Mapping[str, str], published_at: int) -> Block:
    """The block in a bus message.

    Raises:
        ValueError: when an attribute is missing or no number, naming it.
    """
    try:
        return Block(
            spool_id=attributes["spool_id"],
            number=int(attributes["number"]),
            kind=_kind(attributes["kind"]),
            frontier=int(attributes["frontier"]),
            requests=int(attributes["requests"]),
            payload=payload,
            published_at=published_at,
        )
    except KeyError as error:
        raise ValueError(
            f"a block message needs the attribute {error.args[0]!r}; it has {sorted(attributes)}"
        ) from error


def _kind(text: str) -> BlockKind:
    for kind in KINDS:
        if text == kind:
            return kind
    raise ValueError(f"block kind: expected one of {', '.join(KINDS)}, got {text!r}")
