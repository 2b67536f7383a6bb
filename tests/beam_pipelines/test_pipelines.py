"""The composites end to end on the DirectRunner: requests in, cells out, streamed or replayed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import apache_beam as beam
import polars as pl
import pytest
from apache_beam.coders import registry
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.testing import test_stream
from polars.testing import assert_frame_equal

from beam_pipelines import workers
from beam_pipelines.blocks import process_blocks
from beam_pipelines.options import ShardSettings
from beam_pipelines.replay import replay
from beam_pipelines.transforms import ProcessHits, RollUp
from stores.archive.dead_letters import DeadLetters
from tallymark import processing
from tallymark.blocks import Block, encode_requests
from tallymark.pointer_map import FOR_EVER
from tallymark.processing import process_requests
from tallymark.requests import REQUEST_SCHEMA
from tallymark.rollups import ROLLUPS
from tallymark.row_keys import shard_of
from tests.beam_pipelines.worlds import Name, World, page_view, request_blocks, without_lineage
from tests.strategies import MINUTE_US
from tests.tallymark.test_shards import cells_at_once, said


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def shops(world: World) -> list[str]:
    """Three properties, on both shards, in zones with slots of 60, 30 and 15 minutes."""
    zones = ("Europe/Zurich", "Asia/Kolkata", "Asia/Kathmandu")
    return [world.property(seed, time_zone=zone) for seed, zone in enumerate(zones, start=1)]


DEFINED = {
    "custom_dimensions": [
        {"parameter": "colour", "scope": "event"},
        {"parameter": "plan", "scope": "user"},
    ],
    "custom_metrics": [{"parameter": "wait", "scope": "event"}],
}


def stream(bundles: Sequence[Sequence[Block]], settings: ShardSettings) -> None:
    """Blocks as they arrive, each group a bundle, through the streaming form."""
    workers.forget()
    source = test_stream.TestStream()
    for bundle in bundles:
        source = source.add_elements(list(bundle))
    options = PipelineOptions()
    options.view_as(StandardOptions).streaming = True
    with beam.Pipeline("DirectRunner", options=options) as pipeline:
        _ = (
            pipeline
            | source.advance_watermark_to_infinity()
            | ProcessHits(settings)
            | RollUp(settings)
        )
    workers.forget()


def count(blocks: list[Block], world: World, settings: ShardSettings, streamed: bool) -> None:
    """The blocks in a stream, or from the archive."""
    if streamed:
        stream(shuffled(blocks, 1), settings)
    else:
        world.archive(blocks)
        replay(world.replay_request(settings.lineage))


def expected(blocks: Sequence[Block], settings: ShardSettings) -> dict[Name, bytes]:
    """The cells of all hits at once, without Beam and without shards."""
    rules = workers.rules(settings.rules_path)
    requests = pl.concat([block.frame() for block in blocks if block.payload])
    cells = cells_at_once(process_requests(requests, rules.frame, with_params=False).hits)
    return {
        name: value for cell, value in cells.items() if (name := without_lineage(cell, "live-1"))
    }


def shuffled(blocks: list[Block], seed: int) -> list[list[Block]]:
    """In another order, a third of them again, in bundles of up to five."""
    random = Random(seed)
    order = [*blocks, *random.sample(blocks, len(blocks) // 3)]
    random.shuffle(order)
    bundles = []
    while order:
        size = random.randrange(1, 6)
        bundles.append(order[:size])
        order = order[size:]
    return bundles


def test_streamed_cells_equal_replayed_cells_byte_for_byte(world: World, shops: list[str]) -> None:
    blocks = request_blocks(shops, requests=300)
    live = world.settings("live-1", shards=2, flush_seconds=0.0)
    stream(shuffled(blocks, 1), live)
    world.archive(blocks)
    replay(world.replay_request("gen-1", hits_a_pass=100))
    streamed = world.cells("live-1")
    assert streamed == expected(blocks, live)
    assert world.cells("gen-1") == streamed
    rollups = {key.split(b"#")[2].decode() for key, _, _ in streamed}
    assert rollups == {rollup.name for rollup in ROLLUPS if not rollup.within} | {"touches"}
    owners = {int(key.split(b"#")[1]) for key, _, _ in streamed}
    assert len(owners) == len(shops)


def test_what_a_property_has_defined_is_streamed_as_it_is_replayed(world: World) -> None:
    """Beside one that has defined nothing, and has no such cells."""
    shops = [world.property(1, **DEFINED), world.property(2)]
    more = ("", "&ep.colour=red&epn.wait=1.5&up.plan=gold", "&ep.colour=blue&epn.wait=-2")
    blocks = request_blocks(shops, requests=200, more=more)
    live = world.settings("live-1", shards=1, flush_seconds=0.0)
    stream(shuffled(blocks, 1), live)
    world.archive(blocks)
    replay(world.replay_request("gen-1", hits_a_pass=100))
    streamed = said(world.cells("live-1"))
    assert streamed == expected(blocks, live)
    assert said(world.cells("gen-1")) == streamed
    owners = {key.split(b"#")[2]: set[bytes]() for key, _, _ in streamed}
    for key, _, _ in streamed:
        owners[key.split(b"#")[2]].add(key.split(b"#")[1])
    for rollup in ROLLUPS:
        assert len(owners[rollup.name.encode()]) == (1 if rollup.within else 2)


def test_a_second_job_rewrites_the_same_cells(world: World, shops: list[str]) -> None:
    """Reading everything again counts nothing twice."""
    blocks = request_blocks(shops, requests=120)
    settings = world.settings(shards=1)
    stream([blocks], settings)
    first, versions = world.cells(), world.versions()
    stream([blocks, blocks], settings)
    assert world.cells() == first
    assert min(world.versions()) > max(versions)


def test_the_number_of_shards_changes_no_cell(world: World, shops: list[str]) -> None:
    blocks = request_blocks(shops, requests=120)
    for shards in (1, 3):
        stream([blocks], world.settings(f"live-{shards}", shards=shards))
    assert world.cells("live-1") == world.cells("live-3") != {}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "replayed"])
def test_what_cannot_be_counted_lies_with_the_dead_letters(
    world: World, shops: list[str], streamed: bool
) -> None:
    blocks = request_blocks([*shops, "G-NOBODY"], requests=60)
    broken = Block(
        spool_id="broken", number=1, kind="requests", frontier=blocks[0].frontier, requests=1,
        payload=b"no Arrow stream", published_at=blocks[0].published_at,
    )  # fmt: skip
    settings = world.settings(shards=2)
    count([broken, *blocks], world, settings, streamed)
    letters = DeadLetters(world.objects).read(settings.lineage)
    reasons = letters.get_column("reason").to_list()
    unknown = sum(
        "tid=G-NOBODY" in query
        for block in blocks
        if block.payload
        for query in block.frame().get_column("query")
    )
    assert unknown > 0
    assert sorted(set(reasons)) == ["unknown_measurement_id", "unreadable_block"]
    assert len(reasons) == unknown + 1
    known = [block for block in blocks if block.payload]
    assert world.cells() == expected(known, settings)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "replayed"])
def test_blocks_of_other_columns_stop_nothing(
    world: World, shops: list[str], streamed: bool
) -> None:
    def sent(frame: pl.DataFrame) -> bytes:
        return frame.write_ipc_stream(None).getvalue()

    whole = request_blocks(shops, requests=120)
    first, second, third = [at for at, block in enumerate(whole) if block.payload][:3]
    blocks = list(whole)
    # One of an older collector, one of a newer, and one of which nobody can tell what it holds.
    old, new = whole[first].frame().drop("country_hint"), whole[second].frame()
    blocks[first] = replace(whole[first], payload=sent(old))
    blocks[second] = replace(whole[second], payload=sent(new.with_columns(more=pl.lit(1))))
    blocks[third] = replace(whole[third], payload=sent(pl.DataFrame({"query": ["v=2"]})))
    settings = world.settings(shards=2)
    count(blocks, world, settings, streamed)

    letters = DeadLetters(world.objects).read(settings.lineage)
    assert letters.select("step", "reason").rows() == [("block", "unreadable_block")]
    if streamed:
        assert "it lacks request_id, received_at and has query" in letters["detail"].item()
    nothing = replace(whole[third], payload=b"", requests=0)
    kept = [nothing if at == third else block for at, block in enumerate(whole)]
    assert world.cells() == expected(kept, settings)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "replayed"])
def test_a_request_that_processing_fails_on_stops_nothing(
    world: World, shops: list[str], monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    def fault(hits: pl.DataFrame) -> pl.DataFrame:
        if (hits["path"] == "/poison").any():
            raise ValueError("a fault of the code")
        return hits

    monkeypatch.setattr(processing, "ENRICHMENTS", (*processing.ENRICHMENTS, fault))
    blocks = request_blocks(shops, requests=120)
    poison = Block(
        spool_id="poison", number=1, kind="requests", frontier=blocks[-1].frontier, requests=1,
        payload=encode_requests(_poison(shops[0])), published_at=blocks[-1].published_at,
    )  # fmt: skip
    settings = world.settings("live-1", shards=2, flush_seconds=0.0)
    count([*blocks, poison], world, settings, streamed)

    letters = DeadLetters(world.objects).read(settings.lineage)
    assert letters.select("step", "reason").rows() == [("process", "failed")]
    assert world.cells() == expected(blocks, settings)


def _poison(measurement_id: str) -> pl.DataFrame:
    view = page_view(measurement_id, "1.1", MINUTE_US, 10**6, "/poison")
    return pl.DataFrame([view], schema=REQUEST_SCHEMA)


def test_blocks_given_twice_to_one_bundle_count_once(world: World, shops: list[str]) -> None:
    blocks = request_blocks(shops, requests=60)
    rules = workers.rules(world.settings().rules_path)
    once = process_blocks(blocks, rules.frame, 2, valid_through=FOR_EVER)
    twice = process_blocks([*blocks, *blocks], rules.frame, 2, valid_through=FOR_EVER)
    assert [frame.hits.height for frame in twice.frames] == [
        frame.hits.height for frame in once.frames
    ]
    assert [frame.blocks for frame in twice.frames] == [frame.blocks for frame in once.frames]


def test_every_shard_is_told_of_every_block(world: World, shops: list[str]) -> None:
    blocks = request_blocks(shops[:1], requests=30)
    rules = workers.rules(world.settings().rules_path)
    done = process_blocks(blocks, rules.frame, 3, valid_through=FOR_EVER)
    names = {(block.spool_id, block.number) for block in blocks}
    for shard, frame in enumerate(done.frames):
        assert {(mark.spool_id, mark.number) for mark in frame.blocks} == names
        owners = frame.hits.get_column("property_id").unique().to_list()
        assert all(shard_of(owner, 3) == shard for owner in owners)
    assert sum(frame.hits.height for frame in done.frames) == 30


def test_a_runner_that_moves_shard_frames_moves_them_as_bytes(
    world: World, shops: list[str]
) -> None:
    settings = world.settings("live-1", shards=2)
    with beam.Pipeline() as pipeline:
        processed = pipeline | beam.Create([], reshuffle=False) | ProcessHits(settings)
    coder = registry.get_coder(processed.element_type)
    blocks = request_blocks(shops, requests=30)
    done = process_blocks(
        blocks, workers.rules(settings.rules_path).frame, 2, valid_through=FOR_EVER
    )

    for shard, frame in enumerate(done.frames):
        index, moved = coder.decode(coder.encode((shard, frame)))

        assert (index, moved.blocks) == (shard, frame.blocks)
        assert_frame_equal(moved.hits, frame.hits)
        assert_frame_equal(moved.texts, frame.texts)
