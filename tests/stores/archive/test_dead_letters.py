from pathlib import Path

import polars as pl
import pytest

from stores.archive.dead_letters import DeadLetters
from stores.archive.folder import FolderObjects
from tallymark.hits import DEAD_LETTER_SCHEMA
from tallymark.slots import HOUR_US
from tests.stores.archive.recorded_blocks import HOUR


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path)


@pytest.fixture
def dead_letters(objects: FolderObjects) -> DeadLetters:
    return DeadLetters(objects)


def letters(*received_at: int, reason: str = "unknown_property") -> pl.DataFrame:
    rows = [(f"id-{at}", at, "decode", reason, "expected, got", "{}") for at in received_at]
    return pl.DataFrame(rows, schema=DEAD_LETTER_SCHEMA, orient="row")


def test_letters_lie_under_lineage_hour_and_block(
    dead_letters: DeadLetters, objects: FolderObjects
) -> None:
    dead_letters.write("live-1", "spool-0000000002", letters(HOUR, HOUR + 1))
    assert objects.names("") == ["dead_letters/live-1/2026-01-01T00/spool-0000000002.parquet"]
    assert dead_letters.read("live-1").equals(letters(HOUR, HOUR + 1))


def test_the_same_block_again_replaces_its_letters(dead_letters: DeadLetters) -> None:
    dead_letters.write("live-1", "b", letters(HOUR))
    dead_letters.write("live-1", "b", letters(HOUR))
    assert dead_letters.count("live-1") == 1


def test_lineages_do_not_meet(dead_letters: DeadLetters) -> None:
    dead_letters.write("live-1", "b", letters(HOUR))
    dead_letters.write("live-10", "b", letters(HOUR, HOUR + 1))
    assert [dead_letters.count(one) for one in ("live-1", "live-10", "gen-1")] == [1, 2, 0]


def test_letters_are_read_by_hour(dead_letters: DeadLetters) -> None:
    for hour in range(4):
        dead_letters.write("live-1", "b", letters(HOUR + hour * HOUR_US + 5))
    first, end = HOUR + HOUR_US, HOUR + 3 * HOUR_US
    assert dead_letters.read("live-1", first, end).get_column("received_at").to_list() == [
        first + 5,
        end - HOUR_US + 5,
    ]
    assert dead_letters.count("live-1", first, end) == 2
    assert dead_letters.count("live-1", first) == 3
    assert dead_letters.count("live-1", None, end) == 3


def test_no_letters_write_nothing(dead_letters: DeadLetters, objects: FolderObjects) -> None:
    dead_letters.write("live-1", "b", letters())
    assert objects.names("") == []
    assert dead_letters.read("live-1").schema == DEAD_LETTER_SCHEMA


def test_letters_of_another_shape_are_refused(dead_letters: DeadLetters) -> None:
    with pytest.raises(ValueError, match=r"lack \{'reason'\}"):
        dead_letters.write("live-1", "b", letters(HOUR).drop("reason"))
