import multiprocessing
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from stores.wide_rows.port import CELL_SCHEMA, WideRowsUnavailableError
from stores.wide_rows.sqlite import SqliteWideRows

CELLS = pl.DataFrame([(b"r", "n", b"q", 1, b"v")], schema=CELL_SCHEMA, orient="row")
ALL = [(b"\x00", b"\xff")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "wide_rows.db"


@pytest.fixture
def wide_rows(path: Path) -> Iterator[SqliteWideRows]:
    opened = SqliteWideRows(path, busy_timeout_seconds=0.05)
    yield opened
    opened.close()


@pytest.fixture
def other_writer(path: Path, wide_rows: SqliteWideRows) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def test_a_writer_that_keeps_the_file_too_long_makes_writes_unavailable(
    wide_rows: SqliteWideRows, other_writer: sqlite3.Connection
) -> None:
    with pytest.raises(WideRowsUnavailableError, match="locked"):
        wide_rows.write(CELLS)
    with pytest.raises(WideRowsUnavailableError, match="locked"):
        wide_rows.compare_and_set(b"r", b"q", expected=None, value=b"v", version=1)
    with pytest.raises(WideRowsUnavailableError, match="locked"):
        wide_rows.delete(ALL)
    assert wide_rows.read(ALL).is_empty(), "readers go on beside a writer"
    other_writer.execute("COMMIT")
    wide_rows.write(CELLS)
    assert wide_rows.read(ALL).rows() == CELLS.rows()


def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "wide_rows.db").mkdir()
    with pytest.raises(WideRowsUnavailableError, match=r"wide_rows\.db"):
        SqliteWideRows(tmp_path / "wide_rows.db").read(ALL)


def test_creating_the_file_leaves_nothing_else(path: Path, wide_rows: SqliteWideRows) -> None:
    assert [one.name for one in path.parent.iterdir()] == ["wide_rows.db"]


def test_closed_wide_rows_say_so(wide_rows: SqliteWideRows) -> None:
    wide_rows.close()
    wide_rows.close()
    with pytest.raises(ValueError, match="closed"):
        wide_rows.read(ALL)


def open_and_write(path: Path) -> int:
    wide_rows = SqliteWideRows(path)
    wide_rows.write(CELLS)
    return len(wide_rows.read(ALL))


@pytest.mark.slow
def test_many_processes_may_create_the_file_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(6, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(open_and_write, [tmp_path / "warm.db"] * 6))
        for attempt in range(20):
            path = tmp_path / f"{attempt}.db"
            assert list(pool.map(open_and_write, [path] * 6)) == [1] * 6
