import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stores.archive.folder import FolderObjects
from stores.archive.manifests import BLOCK_LIST_SCHEMA
from stores.archive.raw import RAW_SCHEMA, RawArchive
from stores.archive.spool_runs import SpoolFrontier
from tallymark.blocks import Block
from tallymark.requests import REQUEST_SCHEMA
from tallymark.slots import HOUR_US, MINUTE_US
from tests.stores.archive.recorded_blocks import HOUR, block, request, spool


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path)


@pytest.fixture
def archive(objects: FolderObjects) -> RawArchive:
    return RawArchive(objects)


def ids(archive: RawArchive, hour_us: int) -> list[str]:
    frames = [frame.get_column("request_id") for frame in archive.read_hour(hour_us)]
    return sorted(one for frame in frames for one in frame)


def ids_of(blocks: Iterable[Block], hour_us: int) -> list[str]:
    of_hour = [one for one in blocks if one.received_hour == hour_us]
    return sorted(one for part in of_hour for one in part.frame().get_column("request_id"))


def test_an_empty_archive_has_nothing_and_no_complete_hour(archive: RawArchive) -> None:
    assert archive.hours() == []
    assert list(archive.read_hour(HOUR)) == list(archive.read_blocks(HOUR)) == []
    assert archive.blocks(HOUR).schema == BLOCK_LIST_SCHEMA
    assert archive.frontiers() == {}
    assert not archive.hour_is_complete(HOUR)


def test_requests_come_back_as_they_were_recorded(archive: RawArchive) -> None:
    rows = [request(f"id-{number}", HOUR + number) for number in range(3)]
    rows[1] |= {"query": "v=2&dt=%C3%A9\t\n", "body": "\x00", "do_not_track": True}
    written = block("s", 2, HOUR + 10, rows)
    archive.write([written])
    (frame,) = archive.read_hour(HOUR)
    assert frame.schema == RAW_SCHEMA
    assert frame.select(list(REQUEST_SCHEMA)).equals(written.frame())
    assert frame.select("spool_id", "number").unique().rows() == [("s", 2)]


def test_blocks_come_back_as_they_were_shipped(archive: RawArchive) -> None:
    blocks = spool("s", 50, 70)
    archive.write(blocks)
    read = [one for hour in archive.hours() for one in archive.read_blocks(hour)]
    assert [replace(one, payload=b"") for one in read] == [
        replace(one, payload=b"") for one in blocks
    ]
    assert all(one.frame().equals(was.frame()) for one, was in zip(read, blocks, strict=True))


def test_each_received_hour_has_files_of_its_own(
    archive: RawArchive, objects: FolderObjects
) -> None:
    blocks = spool("s", 30, 150)
    assert len(archive.write(blocks)) == 3
    assert archive.hours() == [HOUR, HOUR + HOUR_US, HOUR + 2 * HOUR_US]
    assert [name.split("/")[1] for name in objects.names("raw/") if name.endswith("parquet")] == [
        "received_hour=2026-01-01T00",
        "received_hour=2026-01-01T01",
        "received_hour=2026-01-01T02",
    ]
    for hour in archive.hours():
        assert ids(archive, hour) == ids_of(blocks, hour)


def test_blocks_without_requests_are_listed_and_need_no_file(
    archive: RawArchive, objects: FolderObjects
) -> None:
    archive.write([block("s", 1, HOUR + 1), block("s", 2, HOUR + 2)])
    assert [name.rpartition(".")[2] for name in objects.names("")] == ["json"]
    assert archive.blocks(HOUR).select("number", "kind", "frontier").rows() == [
        (1, "opening", HOUR + 1),
        (2, "heartbeat", HOUR + 2),
    ]
    assert list(archive.read_hour(HOUR)) == []


def test_the_same_blocks_again_replace_what_was_written(
    archive: RawArchive, objects: FolderObjects
) -> None:
    blocks = spool("s", 0, 5)
    archive.write(blocks)
    before = objects.names("")
    archive.write(reversed(blocks))
    archive.write(blocks + blocks)
    assert objects.names("") == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_blocks_written_twice_in_any_packing_and_order_are_read_once(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    archive = RawArchive(FolderObjects(tmp_path_factory.mktemp("archive")))
    blocks = spool("a", 50, 65) + spool("b", 55, 70)
    deliveries = blocks + chance.sample(blocks, k=12)
    chance.shuffle(deliveries)
    while deliveries:
        size = chance.randint(1, 9)
        archive.write(deliveries[:size])
        deliveries = deliveries[size:]
    for hour in (HOUR, HOUR + HOUR_US):
        assert ids(archive, hour) == ids_of(blocks, hour)
        names = [one.name for one in archive.read_blocks(hour)]
        assert sorted(names) == sorted(one.name for one in blocks if one.received_hour == hour)
        assert archive.blocks(hour).height == len(names)
    assert archive.hour_is_complete(HOUR)


def test_a_file_without_a_manifest_is_not_there(
    archive: RawArchive, objects: FolderObjects
) -> None:
    (manifest,) = archive.write(spool("s", 0, 5)[1:])
    objects.delete(manifest)
    assert [name.rpartition(".")[2] for name in objects.names("")] == ["parquet"]
    assert archive.hours() == []
    assert list(archive.read_hour(HOUR)) == []


def test_a_request_that_a_balancer_sent_to_two_collectors_is_read_once(
    archive: RawArchive,
) -> None:
    archive.write([block("a", 2, HOUR + 9, [request("twice", HOUR + 5, balanced=True)])])
    archive.write(
        [
            block(
                "b", 2, HOUR + 9,
                [request("twice", HOUR + 4, balanced=True), request("once", HOUR + 6)],
            )
        ]
    )  # fmt: skip
    frames = pl.concat(archive.read_hour(HOUR)).select("request_id", "spool_id")
    assert sorted(frames.rows()) == [("once", "b"), ("twice", "b")]
    assert [one.requests for one in archive.read_blocks(HOUR)] == [0, 2]


def test_a_copy_in_the_hour_after_is_dropped_there(archive: RawArchive) -> None:
    end = HOUR + HOUR_US
    archive.write([block("a", 2, end, [request("twice", end - 1, balanced=True)])])
    archive.write([block("b", 2, end + 9, [request("twice", end + 1, balanced=True)])])
    assert ids(archive, HOUR) == ["twice"]
    assert ids(archive, end) == []


def test_copies_within_one_block_count_once(archive: RawArchive) -> None:
    archive.write([block("a", 2, HOUR + 9, [request("twice", HOUR + 5, balanced=True)] * 2)])
    assert ids(archive, HOUR) == ["twice"]


def test_equal_ids_that_no_balancer_gave_are_all_read(archive: RawArchive) -> None:
    archive.write([block("a", 2, HOUR + 9, [request("same", HOUR + 5)] * 2)])
    assert ids(archive, HOUR) == ["same", "same"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(
    copies=st.lists(
        st.tuples(st.integers(0, 5), st.integers(-500, 500), st.sampled_from("abc")),
        min_size=1,
        max_size=20,
    ),
    seed=st.integers(0, 2**32),
)
def test_every_balanced_request_is_in_exactly_one_hour_however_it_was_packed(
    tmp_path_factory: pytest.TempPathFactory, copies: list[tuple[int, int, str]], seed: int
) -> None:
    end = HOUR + HOUR_US
    blocks = [
        block(
            spool_id,
            number + 2,
            (end if second < 0 else end + HOUR_US),
            [request(f"id-{which}", end + second * 1_000_000, balanced=True)],
        )
        for number, (which, second, spool_id) in enumerate(copies)
    ]
    shuffled = blocks[:]
    random.Random(seed).shuffle(shuffled)
    archive = RawArchive(FolderObjects(tmp_path_factory.mktemp("archive")))
    other = RawArchive(FolderObjects(tmp_path_factory.mktemp("archive")))
    archive.write(blocks)
    for one in shuffled:
        other.write([one])
    read = [ids(archive, hour) for hour in (HOUR, end)]
    assert sorted(read[0] + read[1]) == sorted({f"id-{which}" for which, _, _ in copies})
    assert read == [ids(other, hour) for hour in (HOUR, end)]


def test_a_block_that_cannot_be_read_is_kept_as_it_came_and_hides_nothing(
    archive: RawArchive,
) -> None:
    good = block("s", 3, HOUR + 9, [request("good", HOUR + 1)])
    broken = replace(block("s", 2, HOUR + 5), kind="requests", requests=4, payload=b"no Arrow")
    archive.write([broken, good])
    assert ids(archive, HOUR) == ["good"]
    assert [one for one in archive.read_blocks(HOUR) if one.number == 2] == [broken]
    assert archive.blocks(HOUR).get_column("is_readable").to_list() == [False, True]


def test_a_block_of_older_code_reads_with_the_columns_it_lacks_empty(archive: RawArchive) -> None:
    new = block("s", 2, HOUR + 9, [request("old", HOUR + 1)])
    buffer = new.frame().drop("country_hint", "do_not_track").write_ipc_stream(None)
    archive.write([replace(new, payload=buffer.getvalue())])
    (frame,) = archive.read_hour(HOUR)
    assert frame.select("country_hint", "do_not_track").rows() == [("", False)]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ([], SpoolFrontier(7, HOUR + 5 * MINUTE_US, True)),
        ([7], SpoolFrontier(6, HOUR + 5 * MINUTE_US, False)),
        ([4], SpoolFrontier(3, HOUR + 2 * MINUTE_US, False)),
        ([1], SpoolFrontier(7, HOUR + 5 * MINUTE_US, True)),
    ],
)
def test_a_frontier_stands_before_the_first_hole(
    archive: RawArchive, missing: list[int], expected: SpoolFrontier
) -> None:
    archive.write([one for one in spool("s", 0, 5) if one.number not in missing])
    assert archive.frontiers() == {"s": expected}


def test_a_hole_that_is_filled_lets_the_frontier_go_on(archive: RawArchive) -> None:
    blocks = spool("s", 0, 5)
    archive.write(blocks[:3] + blocks[4:])
    assert archive.frontiers()["s"].number == 3
    archive.write([blocks[3]])
    assert archive.frontiers()["s"] == SpoolFrontier(7, HOUR + 5 * MINUTE_US, True)


ALIVE = spool("alive", 0, 130, closes=False)


@pytest.mark.parametrize(
    ("what", "blocks", "is_complete"),
    [
        ("all passed it", ALIVE, True),
        ("nothing has passed it", spool("s", 0, 59), False),
        ("a spool ended before the hour was over", ALIVE + spool("s", 0, 20), True),
        ("a spool is silent since", ALIVE + spool("s", 0, 20, closes=False), False),
        ("a spool is silent since long", ALIVE + spool("s", -90, -61, closes=False), False),
        ("a spool ended in the hour before", ALIVE + spool("s", -90, -61), True),
        ("a spool began in the hour after", ALIVE + spool("s", 70, 80, closes=False), True),
        ("a hole in the hour", [one for one in ALIVE if one.number != 30], False),
        ("a hole in the hour after", [one for one in ALIVE if one.number != 100], True),
        ("the beginning is missing", ALIVE[5:], False),
        (
            "a hole in the hour before",
            ALIVE + [one for one in spool("s", -90, 70) if one.number != 3],
            True,
        ),
        (
            "a hole before the closing block",
            ALIVE + [one for one in spool("s", 0, 20) if one.number != 21],
            False,
        ),
        ("the last block of the hour is missing", [b for b in ALIVE if b.number != 61], False),
    ],
)  # fmt: skip
def test_an_hour_is_complete_when_every_spool_has_passed_it(
    archive: RawArchive, what: str, blocks: list[Block], is_complete: bool
) -> None:
    archive.write(blocks)
    assert archive.hour_is_complete(HOUR) is is_complete, what


def test_an_hour_becomes_complete_with_what_arrives(archive: RawArchive) -> None:
    archive.write(ALIVE[:40])
    assert not archive.hour_is_complete(HOUR)
    archive.write(ALIVE[41:])
    assert not archive.hour_is_complete(HOUR)
    archive.write(ALIVE[40:41])
    assert archive.hour_is_complete(HOUR)
    assert not archive.hour_is_complete(HOUR + 2 * HOUR_US)


def test_missing_blocks_of_a_closed_spool_hold_its_hours_up_and_not_the_clock(
    archive: RawArchive,
) -> None:
    past = [one for one in spool("import", -300, -200) if one.number != 50]
    archive.write(ALIVE + past)

    assert archive.clock() == ALIVE[-1].frontier
    assert archive.incomplete([HOUR - 5 * HOUR_US, HOUR]).keys() == {HOUR - 5 * HOUR_US}


def test_missing_blocks_of_an_open_spool_hold_the_clock_up(archive: RawArchive) -> None:
    archive.write(ALIVE + [one for one in spool("s", 0, 50, closes=False) if one.number != 20])
    assert archive.clock() == HOUR + 18 * MINUTE_US
