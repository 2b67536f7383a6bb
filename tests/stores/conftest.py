"""The stores that the contract holds for, each empty and the test's own."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from stores.wide_rows.opening import open_wide_rows
from stores.wide_rows.port import WideRows
from tests.servers import bigtable_emulator

_tables = itertools.count(1)


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    with bigtable_emulator() as address:
        yield address


@pytest.fixture(params=["sqlite", pytest.param("bigtable", marks=pytest.mark.bigtable)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'wide_rows.db'}"
    address = request.getfixturevalue("emulator")
    return f"bigtable://project/instance/table-{next(_tables)}?emulator={address}"


@pytest.fixture
def wide_rows(url: str) -> Iterator[WideRows]:
    opened = open_wide_rows(url)
    yield opened
    opened.close()
