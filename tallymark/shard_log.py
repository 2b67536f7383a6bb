"""The log of a shard: its entries, and their bytes."""

from dataclasses import asdict, dataclass
from typing import Final

import orjson
import polars as pl

from tallymark.pieces import SCHEMAS, Tables
from tallymark.seen_ids import ID_SCHEMA
from tallymark.shard_frames import SHARD_HIT_SCHEMA, ipc_bytes, ipc_frame, pack, unpack
from tallymark.vectors import BlockMark, Vector

HELD_SINCE_EVER: Final = -(2**62)


@dataclass(frozen=True)
class Delta:
    """One entry of a shard's log.

    Attributes:
        vector: The whole vector as a base, or None for an entry that only adds.
        blocks: The blocks that were new.
        hits: Their hits (``SHARD_HIT_SCHEMA``) that count.
        tables: In a base, the tables of all hits before; else only ``texts``, those of ``hits``.
        ids: Ids of hits that may be sent again (``ID_SCHEMA``).
        held_from: In a base, UTC µs; hours before it have been let go.
    """

    vector: Vector | None
    blocks: tuple[BlockMark, ...]
    hits: pl.DataFrame
    tables: Tables
    ids: pl.DataFrame
    held_from: int = HELD_SINCE_EVER


def encode_delta(delta: Delta) -> bytes:
    """Bytes of a log entry; ``decode_delta`` reads them."""
    vector = None if delta.vector is None else delta.vector.to_json()
    blocks = [asdict(mark) for mark in delta.blocks]
    header = orjson.dumps({"vector": vector, "blocks": blocks, "held_from": delta.held_from})
    tables = [ipc_bytes(getattr(delta.tables, name), "lz4") for name in SCHEMAS]
    return pack([header, ipc_bytes(delta.hits, "lz4"), ipc_bytes(delta.ids), *tables])


def decode_delta(payload: bytes) -> Delta:
    """The log entry in bytes of ``encode_delta``."""
    header, hits, ids, *tables = unpack(payload)
    document = orjson.loads(header)
    return Delta(
        vector=None if document["vector"] is None else Vector.from_json(document["vector"]),
        blocks=tuple(BlockMark(**mark) for mark in document["blocks"]),
        hits=ipc_frame(hits, SHARD_HIT_SCHEMA),
        tables=Tables(
            **{
                name: ipc_frame(part, schema)
                for (name, schema), part in zip(SCHEMAS.items(), tables, strict=True)
            }
        ),
        ids=ipc_frame(ids, ID_SCHEMA),
        held_from=document["held_from"],
    )
