"""How much a block may hold and how old it may be: apart from ``blocks``, so that a collector's
worker knows it without loading Polars."""

from typing import Final, Literal

BlockKind = Literal["opening", "requests", "heartbeat", "closing"]
KINDS: Final[tuple[BlockKind, ...]] = ("opening", "requests", "heartbeat", "closing")

MAX_REQUESTS: Final = 5_000
MAX_BLOCK_BYTES: Final = 4_000_000
"""Bytes of recorded requests after which a segment is closed, whatever it counts: a block has to
fit into one Pub/Sub message (10 MB) with room to spare."""
MAX_AGE_SECONDS: Final = 1.0
HOUR_US: Final = 3_600_000_000
