"""Spools: numbers without holes, frontiers that hold, nothing lost to a death at any moment."""

import errno
import json
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import segment_files
from collector.recovery import recover_spool
from collector.request_ids import RequestIds
from collector.segments import BLOCK_SUFFIX, read_segment
from collector.spools import Spool, SpoolClosedError, lock_spool, new_spool_id
from tallymark.block_limits import HOUR_US, MAX_BLOCK_BYTES, MAX_REQUESTS
from tests.collector.workers import NOON_US, Clock, segments

FIELDS = b'"query":"v=2"}'


def spool_at(folder: Path, clock: Clock, *, syncs: bool = False) -> Spool:
    return Spool(
        folder,
        spool_id=new_spool_id(clock(), 4711),
        request_ids=RequestIds(4711),
        clock=clock,
        stopwatch=clock.seconds,
        syncs=syncs,
    )


def kinds(spool: Path) -> list[str]:
    return [segment.trailer.get("kind", suffix) for _, suffix, segment in segments(spool)]


def received(spool: Path) -> list[int]:
    return [
        json.loads(payload)["received_at"]
        for _, _, segment in segments(spool)
        for payload in segment.requests
    ]


def assert_blocks_keep_their_promises(spool: Path) -> None:
    """What consumers rely on: numbering, frontiers, the received hour."""
    found = segments(spool)
    assert [number for number, _, _ in found] == list(range(1, len(found) + 1))
    frontier = 0
    for number, suffix, segment in found:
        assert not segment.is_broken
        assert segment.header["number"] == number
        assert segment.header["frontier"] == frontier or number == 1
        times = [json.loads(payload)["received_at"] for payload in segment.requests]
        assert times == sorted(set(times))
        assert all(time >= frontier for time in times)
        if suffix != BLOCK_SUFFIX:
            continue
        assert len(times) == segment.trailer["requests"] <= MAX_REQUESTS
        assert all(time < segment.trailer["frontier"] for time in times)
        assert segment.trailer["frontier"] >= frontier
        frontier = segment.trailer["frontier"]
        hours = {time // HOUR_US for time in times}
        assert hours <= {(frontier - 1) // HOUR_US}
    closing = [segment.trailer.get("kind") == "closing" for _, _, segment in found]
    assert not any(closing[:-1])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 40)),
        st.tuples(st.just("move"), st.sampled_from([0, 1, 900_000, 5_000_000, 11_000_000])),
        st.tuples(st.just("move"), st.integers(-HOUR_US, 2 * HOUR_US)),
        st.tuples(st.just("tick"), st.none()),
    ),
    max_size=30,
)


def play(spool: Spool, clock: Clock, steps) -> int:
    appended = 0
    for step, argument in steps:
        if step == "append":
            for _ in range(argument):
                spool.append(FIELDS)
            appended += argument
        elif step == "move":
            clock.now += argument
        else:
            spool.tick()
    return appended


@given(STEPS, st.booleans())
def test_whatever_happens_a_closed_spool_keeps_its_promises(steps, syncs):
    with TemporaryDirectory() as folder:
        clock = Clock()
        spool = spool_at(Path(folder), clock, syncs=syncs)
        appended = play(spool, clock, steps)
        spool.close()
        assert_blocks_keep_their_promises(spool.path)
        assert len(received(spool.path)) == appended
        assert kinds(spool.path)[0] == "opening"
        assert kinds(spool.path)[-1] == "closing"


@given(STEPS, st.integers(min_value=0, max_value=60))
def test_a_dead_spool_loses_only_its_torn_record_and_keeps_its_promises(steps, torn_bytes):
    with TemporaryDirectory() as folder:
        clock = Clock()
        spool = spool_at(Path(folder), clock)
        appended = play(spool, clock, steps)
        if appended:
            clock.now += 1
            spool.append(FIELDS)
        dead = Path(folder, "dead")
        shutil.copytree(spool.path, dead)
        spool.close()
        (number, _, last) = segments(dead)[-1]
        # The last record, if there is one, was being written.
        torn = bool(last.requests) and torn_bytes > 0
        if torn:
            path = dead / f"{number:010d}.open"
            content = bytearray(path.read_bytes())
            content[last.good_bytes - torn_bytes : last.good_bytes] = bytes(torn_bytes)
            path.write_bytes(content)
        recover_spool(dead)
        assert_blocks_keep_their_promises(dead)
        assert kinds(dead)[-1] == "closing"
        assert len(received(dead)) == appended + bool(appended) - torn
        before = sorted((path.name, path.read_bytes()) for path in dead.iterdir())
        recover_spool(dead)
        assert sorted((path.name, path.read_bytes()) for path in dead.iterdir()) == before


def test_a_segment_is_closed_at_its_age_and_an_idle_spool_beats_its_heart(tmp_path: Path):
    clock = Clock()
    spool = spool_at(tmp_path, clock)
    spool.append(FIELDS)
    clock.now += 900_000
    spool.tick()
    assert kinds(spool.path) == ["opening", ".open"]
    clock.now += 100_000
    spool.tick()
    assert kinds(spool.path) == ["opening", "requests", ".open"]
    clock.now += 9_900_000
    spool.tick()
    assert kinds(spool.path) == ["opening", "requests", ".open"]
    clock.now += 100_000
    spool.tick()
    assert kinds(spool.path) == ["opening", "requests", "heartbeat", ".open"]
    assert segments(spool.path)[2][2].trailer["frontier"] == clock.now
    spool.close()


def test_a_segment_is_closed_when_it_is_full(tmp_path: Path):
    spool = spool_at(tmp_path, Clock())
    for _ in range(MAX_REQUESTS + 1):
        spool.append(FIELDS)
    big = b'"body":"%b"}' % (b"x" * 1_000_000)
    for _ in range(5):
        spool.append(big)
    spool.close()
    found = [segment for _, _, segment in segments(spool.path) if segment.requests]
    assert [len(segment.requests) for segment in found] == [MAX_REQUESTS, 4, 2]
    assert all(sum(map(len, segment.requests)) <= MAX_BLOCK_BYTES for segment in found)


def test_no_block_holds_requests_of_two_hours(tmp_path: Path):
    clock = Clock(NOON_US - 1)
    spool = spool_at(tmp_path, clock)
    ids = [spool.append(FIELDS) for _ in range(3)]
    assert [_received_at(one) for one in ids] == [NOON_US - 1, NOON_US, NOON_US + 1]
    spool.close()
    first, second = (segment for _, _, segment in segments(spool.path) if segment.requests)
    assert (len(first.requests), first.trailer["frontier"]) == (1, NOON_US)
    assert len(second.requests) == 2


def test_a_spool_appears_whole_with_its_lock_held_until_it_is_closed(tmp_path: Path):
    spool = spool_at(tmp_path, Clock())
    assert [path.name for path in tmp_path.iterdir()] == [spool.spool_id]
    assert lock_spool(spool.path) is None
    spool.close()
    descriptor = lock_spool(spool.path)
    assert descriptor is not None
    os.close(descriptor)
    with pytest.raises(SpoolClosedError):
        spool.append(FIELDS)


def test_a_full_disk_takes_nothing_and_does_no_harm(tmp_path: Path, monkeypatch):
    spool = spool_at(tmp_path, Clock())
    big = b'"body":"%b"}' % (b"x" * 100_000)
    spool.append(FIELDS)
    with monkeypatch.context() as patched:
        patched.setattr(segment_files.os, "posix_fallocate", refuse)
        with pytest.raises(OSError, match="No space"):
            spool.append(big)
        with pytest.raises(OSError, match="No space"):
            spool._rotate("requests")
        spool.append(FIELDS)
    spool.append(big)
    spool.close()
    assert_blocks_keep_their_promises(spool.path)
    assert len(received(spool.path)) == 3


def test_a_disk_that_cannot_close_a_segment_gets_no_further_request(tmp_path: Path, monkeypatch):
    clock = Clock()
    spool = spool_at(tmp_path, clock, syncs=True)
    spool.append(FIELDS)
    clock.now += 2_000_000
    with monkeypatch.context() as patched:
        patched.setattr(segment_files.os, "fdatasync", refuse)
        with pytest.raises(OSError, match="No space"):
            spool.tick()
    assert spool.is_closed
    with pytest.raises(SpoolClosedError):
        spool.append(FIELDS)
    with pytest.raises(SpoolClosedError):
        spool.sync()
    recover_spool(spool.path)
    assert_blocks_keep_their_promises(spool.path)
    assert len(received(spool.path)) == 1


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("damaged", [0, 1, 5, 9, 200, 400])
def test_a_damaged_byte_costs_one_record(tmp_path: Path, damaged):
    clock = Clock()
    spool = spool_at(tmp_path, clock)
    for _ in range(10):
        spool.append(FIELDS)
    spool.close()
    path = spool.path / "0000000002.block"
    content = bytearray(path.read_bytes())
    content[damaged] ^= 0xFF
    segment = read_segment(bytes(content))
    assert segment.is_broken
    assert len(segment.requests) >= 9
    assert segment.trailer["kind"] == "requests"


def _received_at(request_id: bytes) -> int:
    """The time in an id that a spool drew: milliseconds, and microseconds behind the version."""
    return int(request_id[:12], 16) * 1_000 + int(request_id[13:16], 16)
