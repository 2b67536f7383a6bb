"""Control documents: one writer a shard, and none that knows less than what is served."""

from pathlib import Path

import polars as pl
import pytest

from beam_pipelines.control import Control, ReplacedError, ShardWriter, read_control
from stores.wide_rows.port import CELL_SCHEMA, WideRowsUnavailableError
from tallymark.cells import version_of
from tallymark.vectors import BlockMark, Vector, observe_all
from tests.beam_pipelines.worlds import World
from tests.strategies import MIDNIGHT_US, SECOND_US

HOUR_US = 3_600 * SECOND_US
FORGOTTEN_US = 50 * HOUR_US


def mark(number: int, at_us: int = 0, *, spool: str = "a", kind: str = "requests") -> BlockMark:
    at = MIDNIGHT_US + at_us
    return BlockMark(
        spool_id=spool,
        number=number,
        kind=kind,  # type: ignore[arg-type]
        frontier=at,
        published_at=at,
    )


def vector_of(*marks: BlockMark) -> Vector:
    vector = Vector()
    for each in marks:
        observe_all(vector, [each])
    return vector


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def writer_in(world: World) -> ShardWriter:
    writer = ShardWriter(world.rows, "live-1", 0, reads_from=0)  # type: ignore[arg-type]
    writer.take_up()
    return writer


def cell(value: bytes):  # type: ignore[no-untyped-def]
    def encode(lineage: str, version: int) -> list[pl.DataFrame]:
        rows = [(f"0#1#totals#20260101#{lineage}#00".encode(), "n", b"slot", version, value)]
        return [pl.DataFrame(rows, schema=CELL_SCHEMA, orient="row")]

    return encode


def test_a_control_document_survives_its_bytes() -> None:
    control = Control(3, 4, vector_of(mark(1), mark(3, 5), mark(9, 7, spool="b")))
    assert Control.decode(control.encode()) == control


def test_each_taking_up_draws_the_next_epoch(world: World) -> None:
    for epoch in (1, 2, 3):
        writer_in(world)
        control, _ = read_control(world.rows, "live-1", 0)  # type: ignore[arg-type]
        assert control is not None
        assert (control.epoch, control.flush) == (epoch, 0)


def test_a_zombie_writes_nothing(world: World) -> None:
    zombie = writer_in(world)
    zombie.write(vector_of(mark(1)), cell(b"first"))
    owner = writer_in(world)
    with pytest.raises(ReplacedError):
        zombie.write(vector_of(mark(1), mark(2)), cell(b"zombie"))
    assert list(world.cells().values()) == [b"first"]
    owner.write(vector_of(mark(1)), cell(b"second"))
    with pytest.raises(ReplacedError):
        zombie.write(vector_of(mark(1), mark(2)), cell(b"zombie"))
    assert list(world.cells().values()) == [b"second"]
    control, _ = read_control(world.rows, "live-1", 0)  # type: ignore[arg-type]
    assert control is not None
    assert (control.epoch, control.flush) == (2, 1)


def test_every_write_has_a_higher_version(world: World) -> None:
    for epoch, flushes in ((1, 3), (2, 1), (3, 2)):
        writer = writer_in(world)
        for flush in range(1, flushes + 1):
            writer.write(Vector(), cell(b"x"))
            assert world.versions() == {version_of(epoch, flush)}


def test_nothing_may_be_written_before_the_stored_vector_is_reached(world: World) -> None:
    writer_in(world).write(vector_of(mark(1), mark(2, 2), mark(4, 4)), cell(b"all"))
    writer = writer_in(world)
    own = vector_of(mark(1))
    for number, may in ((2, False), (3, False), (4, True)):
        observe_all(own, [mark(number, number)])
        assert writer.may_write(own) == may


def test_a_spool_that_is_forgotten_later_does_not_stop_the_writing(world: World) -> None:
    before = vector_of(mark(1), mark(2, 1, kind="closing"), mark(1, 2, spool="b"))
    writer_in(world).write(before, cell(b"x"))
    writer = writer_in(world)
    own = Vector.from_json(before.to_json())
    assert writer.may_write(own)
    observe_all(own, [mark(2, FORGOTTEN_US, spool="b")])
    assert "a" not in own.spools
    assert writer.may_write(own)


def test_an_answer_that_was_lost_is_no_other_owner(world: World) -> None:
    writer = writer_in(world)
    writer.write(vector_of(mark(1)), cell(b"one"))
    world.rows.loses_answers = True
    with pytest.raises(WideRowsUnavailableError):
        writer.write(vector_of(mark(1), mark(2)), cell(b"two"))
    assert list(world.cells().values()) == [b"one"]
    writer.write(vector_of(mark(1), mark(2), mark(3)), cell(b"three"))
    assert list(world.cells().values()) == [b"three"]
    assert world.versions() == {version_of(1, 3)}


def test_a_lineage_has_documents_of_its_own(world: World) -> None:
    writer_in(world)
    assert read_control(world.rows, "live-2", 0) == (None, None)  # type: ignore[arg-type]
    assert read_control(world.rows, "live-1", 1) == (None, None)  # type: ignore[arg-type]
