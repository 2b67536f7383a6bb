"""Shard frames: whole properties to shards, and every shard told of every block."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tallymark.row_keys import shard_of
from tallymark.shard_frames import (
    counted_hits,
    decode_frame,
    encode_frame,
    ipc_bytes,
    ipc_frame,
    pack,
    split,
    unpack,
)
from tallymark.vectors import BlockMark
from tests.strategies import MINUTE_US, Visit, examples, hits_of, visits

GAP_US = 30 * MINUTE_US
hits_of_some = visits(gap_us=GAP_US, span_us=60 * MINUTE_US, properties=5, clients=5)
MARKS = [
    BlockMark(spool_id="a", number=number, kind="requests", frontier=number, published_at=number)
    for number in range(3)
]


def in_blocks(chosen: list[Visit]) -> pl.DataFrame:
    hits = hits_of(chosen, GAP_US)
    return hits.with_columns(block=pl.Series(range(hits.height), dtype=pl.UInt32) % 3)


@examples(40)
@given(chosen=hits_of_some, shards=st.integers(1, 5))
def test_every_hit_goes_to_the_shard_of_its_property(chosen: list[Visit], shards: int) -> None:
    hits = in_blocks(chosen)
    frames = split(*counted_hits(hits), MARKS, shards)
    assert len(frames) == shards
    assert all(frame.blocks == tuple(MARKS) for frame in frames)
    for shard, frame in enumerate(frames):
        owners = frame.hits.get_column("property_id").unique().to_list()
        assert {shard_of(owner, shards) for owner in owners} <= {shard}
        known = set(frame.texts.get_column("property_id").to_list())
        assert known <= set(owners)
    assert sum(frame.hits.height for frame in frames) == hits.height


@examples(30)
@given(chosen=hits_of_some, shards=st.integers(1, 3))
def test_a_frame_survives_its_bytes(chosen: list[Visit], shards: int) -> None:
    for frame in split(*counted_hits(in_blocks(chosen)), MARKS, shards):
        read = decode_frame(encode_frame(frame))
        assert read.blocks == frame.blocks
        assert_frame_equal(read.hits, frame.hits)
        assert_frame_equal(read.texts, frame.texts)


def test_what_a_filter_tagged_is_not_counted() -> None:
    chosen = [
        Visit(client=client, property_id=1, event_at=client, opens_session=True, look=0)
        for client in range(3)
    ]
    hits = in_blocks(chosen).with_columns(excluded_by=pl.Series(["", "office", ""]))
    (frame,) = split(*counted_hits(hits), MARKS, 1)
    assert frame.hits.height == 2
    assert frame.blocks == tuple(MARKS)


@examples(60)
@given(st.lists(st.binary(max_size=20), max_size=6))
def test_packed_parts_come_back(parts: list[bytes]) -> None:
    assert unpack(pack(parts)) == parts


@pytest.mark.parametrize("rows", [0, 3])
def test_a_frame_without_rows_is_no_bytes(rows: int) -> None:
    schema = pl.Schema({"a": pl.Int64, "b": pl.String})
    frame = pl.DataFrame({"a": range(rows), "b": "x"}, schema=schema)
    assert (ipc_bytes(frame) == b"") == (rows == 0)
    assert_frame_equal(ipc_frame(ipc_bytes(frame), schema), frame)
