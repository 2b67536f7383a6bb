"""Shard frames: the hits of some blocks for one shard, with the names of all those blocks.

Every shard is told of every block, with no hits if need be, so every shard knows the frontiers.
"""

import io
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson
import polars as pl

from tallymark.narrow_hits import NARROW_SCHEMA, narrow
from tallymark.row_keys import shard_of
from tallymark.texts import TEXT_SCHEMA
from tallymark.vectors import BlockMark

SHARD_HIT_SCHEMA: Final = pl.Schema([("block", pl.UInt32()), *NARROW_SCHEMA.items()])
"""Narrow hits and which of the frame's blocks each came in."""
_LENGTH: Final = struct.Struct("<Q")


@dataclass(frozen=True)
class ShardFrame:
    """Blocks, the hits in them that one shard counts (``SHARD_HIT_SCHEMA``), and their texts."""

    blocks: tuple[BlockMark, ...]
    hits: pl.DataFrame
    texts: pl.DataFrame


def counted_hits(hits: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hits as shards count them (``SHARD_HIT_SCHEMA``), and their texts (``TEXT_SCHEMA``).

    What a filter tagged is not counted and stays behind.

    Args:
        hits: ``HIT_SCHEMA``, and the ``block`` each came in.
    """
    numbered, texts = narrow(hits.filter(pl.col("excluded_by") == ""))
    return numbered.select(list(SHARD_HIT_SCHEMA)).cast(SHARD_HIT_SCHEMA), texts


def split(
    hits: pl.DataFrame, texts: pl.DataFrame, blocks: Sequence[BlockMark], shards: int
) -> list[ShardFrame]:
    """One frame a shard of what ``counted_hits`` gives; texts may be there several times."""
    texts = texts.unique(["property_id", "text_id"])
    if shards == 1:
        return [ShardFrame(tuple(blocks), hits, texts)]
    hits_of = _by_shard(hits, shards)
    texts_of = _by_shard(texts, shards)
    return [
        ShardFrame(
            tuple(blocks), hits_of.get(index, hits.clear()), texts_of.get(index, texts.clear())
        )
        for index in range(shards)
    ]


def _by_shard(rows: pl.DataFrame, shards: int) -> dict[int, pl.DataFrame]:
    owners = rows.get_column("property_id").unique().to_list()
    shard = pl.DataFrame(
        {"property_id": owners, "shard": [shard_of(owner, shards) for owner in owners]},
        schema={"property_id": pl.Int64, "shard": pl.Int64},
    )
    placed = rows.join(shard, on="property_id", how="left", maintain_order="left")
    parts = placed.partition_by("shard", as_dict=True, include_key=False)
    return {int(str(index)): part for (index,), part in parts.items()}


def encode_frame(frame: ShardFrame) -> bytes:
    """Bytes of a shard frame; ``decode_frame`` reads them."""
    header = orjson.dumps([asdict(mark) for mark in frame.blocks])
    return pack([header, ipc_bytes(frame.hits), ipc_bytes(frame.texts)])


def decode_frame(payload: bytes) -> ShardFrame:
    """The shard frame in bytes of ``encode_frame``."""
    header, hits, texts = unpack(payload)
    blocks = tuple(BlockMark(**mark) for mark in orjson.loads(header))
    return ShardFrame(blocks, ipc_frame(hits, SHARD_HIT_SCHEMA), ipc_frame(texts, TEXT_SCHEMA))


def ipc_bytes(frame: pl.DataFrame, compression: Any = "uncompressed") -> bytes:
    """A frame as an Arrow IPC stream; nothing for no rows."""
    if frame.is_empty():
        return b""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression=compression)
    return buffer.getvalue()


def ipc_frame(payload: bytes, schema: pl.Schema) -> pl.DataFrame:
    """The frame in bytes of ``ipc_bytes``."""
    return pl.read_ipc_stream(io.BytesIO(payload)) if payload else pl.DataFrame(schema=schema)


def pack(parts: Sequence[bytes]) -> bytes:
    """Several byte strings as one."""
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def unpack(payload: bytes) -> list[bytes]:
    """The byte strings in bytes of ``pack``.

    Raises:
        ValueError: when they are cut off.
    """
    parts, at = [], 0
    while at < len(payload):
        head = payload[at : at + _LENGTH.size]
        at += _LENGTH.size
        end = at + (_LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else _LENGTH.size)
        if end > len(payload):
            raise ValueError(f"expected at least {end} bytes, got {len(payload)}: they are cut off")
        parts.append(payload[at:end])
        at = end
    return parts
