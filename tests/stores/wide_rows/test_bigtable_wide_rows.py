import time

import polars as pl
import pytest

from stores.wide_rows.opening import open_wide_rows
from stores.wide_rows.port import CELL_SCHEMA, WideRowsUnavailableError
from tests.servers import bigtable_emulator

CELLS = pl.DataFrame([(b"r", "n", b"q", 1, b"v")], schema=CELL_SCHEMA, orient="row")
ALL = [(b"\x00", b"\xff")]


def test_a_server_that_is_not_there_is_unavailable_within_the_deadline() -> None:
    wide_rows = open_wide_rows("bigtable://p/i/t?emulator=127.0.0.1:1&deadline_seconds=0.3")
    for call in (
        lambda: wide_rows.write(CELLS),
        lambda: wide_rows.read(ALL),
        lambda: wide_rows.read_rows([b"r"]),
        lambda: wide_rows.delete(ALL),
        lambda: wide_rows.compare_and_set(b"r", b"q", expected=None, value=b"", version=1),
    ):
        started = time.monotonic()
        with pytest.raises(WideRowsUnavailableError, match="projects/p/instances/i/tables/t"):
            call()
        assert time.monotonic() - started < 2
    wide_rows.close()


@pytest.mark.bigtable
def test_a_table_that_may_not_be_created_is_named(emulator: str) -> None:
    wide_rows = open_wide_rows(f"bigtable://p/i/absent?emulator={emulator}&create=false")
    with pytest.raises(LookupError, match="no projects/p/instances/i/tables/absent"):
        wide_rows.write(CELLS)
    wide_rows.close()


@pytest.mark.bigtable
def test_two_clients_may_find_the_table_missing(emulator: str) -> None:
    url = f"bigtable://p/i/shared?emulator={emulator}"
    first, second = open_wide_rows(url), open_wide_rows(url)
    first.write(CELLS)
    second.write(CELLS)
    assert second.read(ALL).rows() == first.read(ALL).rows() == CELLS.rows()
    first.close()
    second.close()


@pytest.mark.bigtable
def test_calls_fail_while_the_server_is_gone() -> None:
    with bigtable_emulator() as address:
        wide_rows = open_wide_rows(f"bigtable://p/i/t?emulator={address}&deadline_seconds=1")
        wide_rows.write(CELLS)
    with pytest.raises(WideRowsUnavailableError):
        wide_rows.read(ALL)
    wide_rows.close()
