"""A shard in a worker: paced flushes, kept state, snapshots, and no report that goes backwards."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from beam_pipelines import shard_keeper
from beam_pipelines.control import ReplacedError, read_control
from beam_pipelines.flushes import (
    LOOK_SECONDS,
    MAX_FLUSH_SHARE,
    PROGRESS_SECONDS,
    RETRY_SECONDS,
    Submit,
    Written,
)
from beam_pipelines.shard_keeper import ShardKeeper
from stores.wide_rows.port import WideRowsUnavailableError
from tallymark.cells import version_of
from tallymark.shard_frames import ShardFrame
from tests.beam_pipelines.worlds import World, without_lineage
from tests.strategies import MIDNIGHT_US, MINUTE_US, SentBlock, Visit, frame_of, hits_of
from tests.tallymark.test_shards import block, cells_at_once, visit

GAP_US = 30 * MINUTE_US


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def minute_blocks(count: int, *, first: int = 1) -> list[SentBlock]:
    """A block a minute with three hits of three clients; number 1 comes first."""
    return [
        block(
            number,
            number * MINUTE_US,
            [
                visit((number - 1) * MINUTE_US + client, client=client, look=number * 7 + client)
                for client in range(3)
            ],
        )
        for number in range(first, first + count)
    ]


def frames(*blocks: SentBlock) -> list[ShardFrame]:
    return [frame_of([each]) for each in blocks]


def started(world: World, *, submit: Submit | None = None, **changes: object) -> ShardKeeper:
    """A keeper whose runner has no state."""
    keeper = world.keeper(submit=submit, **changes)
    keeper.resume(None, [])
    keeper.commit()
    return keeper


def expected(blocks: list[SentBlock]) -> dict[tuple[bytes, str, bytes], bytes]:
    import polars as pl

    cells = cells_at_once(pl.concat([each.hits for each in blocks]))
    return {
        name: value for cell, value in cells.items() if (name := without_lineage(cell, "live-1"))
    }


def test_a_flush_comes_when_the_oldest_unwritten_hit_has_waited(world: World) -> None:
    keeper = started(world, flush_seconds=5.0)
    blocks = minute_blocks(2)
    assert keeper.flush_when_due() is None
    keeper.take(frame_of([blocks[0]]))
    assert keeper.flush_when_due() == pytest.approx(5.0)
    world.clock.seconds += 3
    keeper.take(frame_of([blocks[1]]))
    assert keeper.flush_when_due() == pytest.approx(2.0)
    assert world.cells() == {}
    world.clock.seconds += 2
    assert keeper.flush_when_due() is None
    assert world.cells() == expected(blocks)
    assert keeper.flushes.counts.flushes == 1


def test_blocks_without_hits_make_no_flush(world: World) -> None:
    keeper = started(world)
    keeper.take(frame_of([block(1, MINUTE_US)]))
    assert keeper.flush_when_due() is None
    assert keeper.flushes.counts.flushes == 0


def test_a_costly_flush_puts_the_next_one_off(world: World) -> None:
    keeper = started(world, flush_seconds=1.0)
    one, two = minute_blocks(2)
    keeper.take(frame_of([one]))
    world.clock.seconds += 1
    real = world.rows.rows.write

    def slow(cells):  # type: ignore[no-untyped-def]
        world.clock.seconds += 15  # reports, then touches
        real(cells)

    world.rows.rows.write = slow  # type: ignore[method-assign]
    assert keeper.flush_when_due() is None
    keeper.take(frame_of([two]))
    wait = keeper.flush_when_due()
    assert wait == pytest.approx(30 * (1 / MAX_FLUSH_SHARE - 1))


def test_a_store_that_is_away_costs_no_hit(world: World) -> None:
    keeper = started(world, flush_seconds=1.0)
    blocks = minute_blocks(3)
    world.rows.is_away = True
    for frame in frames(*blocks):
        keeper.take(frame)
        world.clock.seconds += 5
        assert keeper.flush_when_due() == RETRY_SECONDS
    assert keeper.flushes.counts.failed_flushes == 3
    world.rows.is_away = False
    assert keeper.flush_when_due() == pytest.approx(RETRY_SECONDS)
    world.clock.seconds += RETRY_SECONDS
    assert keeper.flush_when_due() is None
    assert world.cells() == expected(blocks)


class _Later:
    """Keeps flushes until somebody writes them."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Written], Future[Written]]] = []

    def __call__(self, work: Callable[[], Written]) -> Future[Written]:
        future: Future[Written] = Future()
        self.waiting.append((work, future))
        return future

    def write(self) -> None:
        work, future = self.waiting.pop()
        try:
            future.set_result(work())
        except WideRowsUnavailableError as error:
            future.set_exception(error)


def test_hits_are_taken_in_while_a_flush_is_written_and_are_owed_to_the_next(world: World) -> None:
    later = _Later()
    keeper = started(world, flush_seconds=1.0, submit=later)
    one, two = minute_blocks(2)
    keeper.take(frame_of([one]))
    world.clock.seconds += 1
    assert keeper.flush_when_due() == LOOK_SECONDS
    keeper.take(frame_of([two]))
    world.clock.seconds += 1
    assert keeper.flush_when_due() == LOOK_SECONDS, "two flushes of a shard are on their way"
    assert orjson.loads(keeper.status())["unwritten"]
    later.write()
    assert world.cells() == expected([one])
    control, _ = read_control(world.rows, "live-1", 0)  # type: ignore[arg-type]
    assert control is not None
    assert [control.vector.has("a", number) for number in (1, 2)] == [True, False]
    assert keeper.flush_when_due() == pytest.approx(1 / MAX_FLUSH_SHARE - 1)
    world.clock.seconds += 2
    keeper.flush_when_due()
    later.write()
    assert keeper.flush_when_due() is None
    assert world.cells() == expected([one, two])
    assert not orjson.loads(keeper.status())["unwritten"]


def test_what_could_not_be_written_meanwhile_is_owed_again(world: World) -> None:
    later = _Later()
    keeper = started(world, flush_seconds=1.0, submit=later)
    one, two = minute_blocks(2)
    keeper.take(frame_of([one]))
    world.clock.seconds += 1
    keeper.flush_when_due()
    world.rows.is_away = True
    later.write()
    keeper.take(frame_of([two]))
    assert keeper.flush_when_due() == RETRY_SECONDS
    world.rows.is_away = False
    world.clock.seconds += RETRY_SECONDS
    assert keeper.flush_when_due() == LOOK_SECONDS
    later.write()
    assert keeper.flush_when_due() is None
    assert world.cells() == expected([one, two])


@pytest.mark.parametrize("is_folded_again", [False, True])
def test_who_writes_at_once_waits_for_the_flush_on_its_way(
    world: World, is_folded_again: bool
) -> None:
    """A flush that ended later would be of an epoch that is over, or go back in time."""
    with ThreadPoolExecutor(1) as thread:
        keeper = started(world, flush_seconds=0.0, submit=thread.submit)
        blocks = minute_blocks(2)
        may_write = threading.Event()
        thread.submit(may_write.wait)
        log = [keeper.take(frame) for frame in frames(blocks[0])]
        assert keeper.flush_when_due() == LOOK_SECONDS
        log += [keeper.take(frame) for frame in frames(blocks[1])]
        threading.Timer(0.2, may_write.set).start()
        if is_folded_again:
            keeper.resume(b"another token", log)
        keeper.flush_now()
        assert may_write.is_set()
        assert world.cells() == expected(blocks)
        assert world.versions() == {version_of(2, 1)} if is_folded_again else {version_of(1, 2)}


def test_late_hits_are_announced_once_a_block(world: World) -> None:
    keeper = started(world)
    late = block(1, 300 * MINUTE_US, [visit(0), visit(1)], delay_us=200 * MINUTE_US)
    keeper.take(frame_of([late]))
    stored = world.rows.rows.read([(b"~late", b"~late~")])
    assert stored.select("row_key", "qualifier").rows() == [
        (b"~late#20231115T00#3", b"a-0000000001")
    ]
    assert keeper.counts.late_hits == 1


def test_a_token_that_does_not_match_makes_the_log_be_folded_again(world: World) -> None:
    keeper = started(world)
    blocks = minute_blocks(4)
    log = [keeper.take(frame) for frame in frames(*blocks[:2])]
    token = keeper.commit()
    assert keeper.resume(token, _NeverRead()) == []
    keeper.take(frame_of([blocks[2]]))  # a bundle that failed: the runner knows nothing of it
    keeper.commit()
    assert keeper.resume(token, log) == []
    assert not keeper.shard.vector.has("a", 3)
    for frame in frames(*blocks[2:]):
        keeper.take(frame)
    keeper.flush_now()
    assert world.cells() == expected(blocks)


class _NeverRead:
    def __iter__(self):  # type: ignore[no-untyped-def]
        raise AssertionError("the log is read although the token is known")


def test_another_process_never_gives_the_same_token(world: World) -> None:
    tokens = {started(world).commit() for _ in range(3)}
    assert len(tokens) == 3


def test_a_long_log_becomes_one_entry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_keeper, "COMPACT_BYTES", 1)
    keeper = started(world)
    keeper._compact_at = 1
    blocks = minute_blocks(6)
    log = [keeper.take(frame) for frame in frames(*blocks[:5])]
    whole = keeper.compacted()
    assert whole is not None
    assert len(whole) < sum(map(len, log))
    other = world.keeper()
    other.resume(b"another token", [whole, keeper.take(frame_of([blocks[5]]))])
    other.flush_now()
    assert world.cells() == expected(blocks)


@pytest.mark.parametrize("saves", [(), (2,), (2, 4), (1, 2, 3, 4, 5), (6,)])
def test_a_job_without_runner_state_goes_on_from_its_snapshot(
    world: World, saves: tuple[int, ...]
) -> None:
    """Base and increments; what was published after the newest is read again."""
    first = started(world)
    blocks = minute_blocks(8)
    for number, frame in enumerate(frames(*blocks[:6]), start=1):
        first.take(frame)
        if number in saves:
            first.save()
    first.flush_now()
    served = world.cells()
    second = world.keeper()
    entries = second.resume(None, [])
    assert bool(entries) == bool(saves)
    second.commit()
    second.flush_now()
    assert world.cells() == served
    again = blocks[max(0, max(saves, default=0) - 2) :]
    for frame in frames(*again):
        second.take(frame)
    second.flush_now()
    assert world.cells() == expected(blocks)


def test_a_snapshot_that_is_behind_writes_nothing_until_it_has_caught_up(world: World) -> None:
    first = started(world)
    blocks = minute_blocks(5)
    first.take(frame_of([blocks[0]]))
    first.save()
    for frame in frames(*blocks[1:4]):
        first.take(frame)
    first.flush_now()
    served = world.cells()
    second = world.keeper()
    second.resume(None, [])
    for frame in frames(blocks[1], blocks[3]):
        second.take(frame)
        assert second.flush_when_due(at_once=True) == RETRY_SECONDS
        assert world.cells() == served
    second.take(frame_of([blocks[2]]))
    assert second.flush_when_due(at_once=True) is None
    assert world.cells() == served
    first.take(frame_of([blocks[4]]))
    with pytest.raises(ReplacedError):
        first.flush_now()
    assert world.cells() == served


def test_a_snapshot_of_other_code_is_not_loaded(world: World) -> None:
    first = started(world)
    first.take(frame_of(minute_blocks(1)))
    first.save()
    assert world.keeper(code_version="code-2").resume(None, []) == []
    assert world.keeper(code_version="code-1").resume(None, []) != []


def test_the_newest_snapshot_holds_all_hits_after_many_increments(world: World) -> None:
    keeper = started(world)
    blocks = minute_blocks(shard_keeper.INCREMENTS + 5)
    for frame in frames(*blocks):
        keeper.take(frame)
        keeper.save()
    manifest = world.snapshots.manifest("live-1", 0)
    assert manifest is not None
    assert len(manifest.parts) <= shard_keeper.INCREMENTS + 1
    assert manifest.published == blocks[-1].mark.published_at
    restored = world.keeper()
    restored.resume(None, [])
    restored.flush_now()
    assert world.cells() == expected(blocks)


def test_snapshots_are_saved_by_the_clock(world: World) -> None:
    keeper = started(world, snapshot_seconds=60.0)
    keeper.take(frame_of(minute_blocks(1)))
    keeper.flush_when_due()
    assert world.snapshots.manifest("live-1", 0) is None
    world.clock.seconds += 60
    keeper.flush_when_due()
    assert world.snapshots.manifest("live-1", 0) is not None


def test_the_status_says_what_was_counted(world: World) -> None:
    keeper = started(world)
    one = minute_blocks(1)[0]
    keeper.take(frame_of([one]))
    keeper.take(frame_of([one, block(3, 3 * MINUTE_US)]))
    status = orjson.loads(keeper.status())
    assert (status["hits"], status["repeated_blocks"], status["holes"]) == (3, 1, [["a", 2]])
    assert status["clock"] == MIDNIGHT_US + MINUTE_US


def test_the_status_is_not_told_while_the_shard_is_at_work(world: World) -> None:
    keeper = started(world)
    told = threading.Event()
    asker = threading.Thread(target=lambda: (keeper.status(), told.set()))
    with keeper.lock:
        asker.start()
        assert not told.wait(0.2)
    assert told.wait(5)
    asker.join()


def test_hits_of_several_properties_lie_in_their_own_cells(world: World) -> None:
    keeper = started(world)
    visits = [
        Visit(client=0, property_id=owner, event_at=MIDNIGHT_US, opens_session=True, look=2)
        for owner in (1, 2, 3)
    ]
    keeper.take(frame_of([SentBlock(block(1, MINUTE_US).mark, hits_of(visits, GAP_US))]))
    keeper.flush_now()
    assert {key.split(b"#")[1] for key, _, _ in world.cells()} == {b"1", b"2", b"3"}


def test_a_shard_that_owes_no_cells_still_tells_which_blocks_it_includes(world: World) -> None:
    keeper = world.keeper()
    (told,) = frames(*minute_blocks(1))
    keeper.take(replace(told, hits=told.hits.clear()))
    assert keeper.flush_when_due() is None
    assert read_control(world.rows, "live-1", 0)[0] is None  # type: ignore[arg-type]
    world.clock.seconds += PROGRESS_SECONDS
    assert keeper.flush_when_due() is None
    control, _ = read_control(world.rows, "live-1", 0)  # type: ignore[arg-type]
    assert control is not None
    assert control.vector.has(told.blocks[0].spool_id, 1)
    world.clock.seconds += PROGRESS_SECONDS
    keeper.flush_when_due()
    assert keeper.flushes.counts.flushes == 1, "nothing new is not told again"
