"""Blocks to shard frames: what ``ProcessHits`` does to the blocks of a bundle, without Beam."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import orjson
import polars as pl

from beam_pipelines.cores import in_parallel, shares
from beam_pipelines.failing_requests import PropertiesOf, process_what_can_be, without_params
from tallymark.blocks import Block
from tallymark.doubts import DOUBT_SCHEMA, together
from tallymark.hits import DEAD_LETTER_SCHEMA
from tallymark.requests import REQUEST_SCHEMA, empty_requests
from tallymark.shard_frames import ShardFrame, counted_hits, split
from tallymark.vectors import BlockMark

MIN_PART_HITS: Final = 10_000
"""Fewer hits are not shared out among the cores."""


@dataclass(frozen=True)
class ProcessedBlocks:
    """What the blocks of a bundle come to.

    Attributes:
        frames: One a shard.
        dead_letters: ``DEAD_LETTER_SCHEMA``, by the block's name.
        requests: How many requests the blocks held.
        failed: How many of them made processing raise; they are among the dead letters.
        doubts: ``DOUBT_SCHEMA``: what may have been processed with the wrong version of rules.
    """

    frames: list[ShardFrame]
    dead_letters: list[tuple[str, pl.DataFrame]]
    requests: int
    failed: int
    doubts: pl.DataFrame


def process_blocks(
    blocks: Sequence[Block], properties_of: PropertiesOf, shards: int, *, valid_through: int
) -> ProcessedBlocks:
    """Decode, enrich and rule all blocks together, then split them by shard.

    Args:
        blocks: Any number; one given twice counts once, one that cannot be read becomes a dead
            letter.
        properties_of: Rules of the measurement ids it is given (``PROPERTY_SCHEMA``).
        shards: How many frames to make.
        valid_through: UTC µs through which ``properties_of`` knows all versions.

    Raises:
        BrokenProcessingError: when so many requests make processing raise that it is not theirs.
    """
    blocks = list({block.name: block for block in reversed(blocks)}.values())[::-1]
    frames, broken = _frames(blocks)
    requests = pl.concat([frame for _, frame in frames]) if frames else empty_requests()
    owners = _owners(frames)
    doubts: list[pl.DataFrame] = []
    process = partial(without_params, valid_through=valid_through, doubts=doubts)
    processed, failed = process_what_can_be(requests, properties_of, process)
    request_id = pl.col("hit_id").str.slice(0, 32)
    hits = processed.hits.with_columns(request_id=request_id).join(
        owners, on="request_id", how="left", maintain_order="left"
    )
    counting, texts = zip(*in_parallel(counted_hits, shares(hits, MIN_PART_HITS)), strict=True)
    marks = [_mark(block) for block in blocks]
    letters = processed.dead_letters.join(owners, on="request_id", how="left")
    return ProcessedBlocks(
        frames=split(pl.concat(counting), pl.concat(texts), marks, shards),
        dead_letters=broken + _by_block(letters, blocks),
        requests=requests.height,
        failed=failed,
        doubts=_doubts(doubts, owners, blocks),
    )


def _frames(
    blocks: Sequence[Block],
) -> tuple[list[tuple[int, pl.DataFrame]], list[tuple[str, pl.DataFrame]]]:
    frames, broken = [], []
    filled = [(index, block) for index, block in enumerate(blocks) if block.payload]
    for (index, block), read in zip(filled, in_parallel(_read, filled), strict=True):
        if isinstance(read, pl.DataFrame):
            frames.append((index, read))
        else:
            broken.append((block.name, _broken_block(block, read)))
    return frames, broken


def _read(numbered: tuple[int, Block]) -> pl.DataFrame | Exception:
    try:
        return numbered[1].frame().select(list(REQUEST_SCHEMA))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        return error


def _broken_block(block: Block, error: Exception) -> pl.DataFrame:
    letter = {
        "request_id": "",
        "received_at": block.frontier,
        "step": "block",
        "reason": "unreadable_block",
        "detail": f"expected an Arrow stream of requests: {error}",
        "request": orjson.dumps({"block": block.name, "attributes": block.attributes()}).decode(),
    }
    return pl.DataFrame([letter], schema=DEAD_LETTER_SCHEMA)


def _owners(frames: list[tuple[int, pl.DataFrame]]) -> pl.DataFrame:
    """Which block each request came in; a request that came twice belongs to the first."""
    schema = {"request_id": pl.String, "block": pl.UInt32}
    parts = [frame.select("request_id", block=pl.lit(index, pl.UInt32)) for index, frame in frames]
    if not parts:
        return pl.DataFrame(schema=schema)
    together = pl.concat(parts)
    return together.unique("request_id", keep="first", maintain_order=True)


def _by_block(letters: pl.DataFrame, blocks: Sequence[Block]) -> list[tuple[str, pl.DataFrame]]:
    parts = letters.partition_by("block", as_dict=True, include_key=False)
    return [
        (blocks[int(str(index))].name, part.select(list(DEAD_LETTER_SCHEMA)))
        for (index,), part in parts.items()
    ]


def _doubts(
    found: list[pl.DataFrame], owners: pl.DataFrame, blocks: Sequence[Block]
) -> pl.DataFrame:
    if not found:
        return DOUBT_SCHEMA.to_frame()
    placed = pl.concat(found).join(owners, on="request_id", how="left")
    names = pl.Series([block.name for block in blocks], dtype=pl.String)
    return together(placed.with_columns(names.gather(placed.get_column("block")).alias("block")))


def _mark(block: Block) -> BlockMark:
    return BlockMark(
        spool_id=block.spool_id,
        number=block.number,
        kind=block.kind,
        frontier=block.frontier,
        published_at=block.published_at,
    )
