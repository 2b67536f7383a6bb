from pathlib import Path

import pytest

from stores.wide_rows.opening import open_wide_rows
from stores.wide_rows.sqlite import SqliteWideRows


def test_a_sqlite_url_opens_a_file(tmp_path: Path) -> None:
    wide_rows = open_wide_rows(f"sqlite:{tmp_path}/wide_rows.db")
    assert isinstance(wide_rows, SqliteWideRows)
    assert (tmp_path / "wide_rows.db").exists()
    wide_rows.close()


def test_a_bigtable_url_connects_to_nothing_yet() -> None:
    open_wide_rows("bigtable://project/instance/table?emulator=127.0.0.1:1").close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "wide_rows.db",
        "sqlite:",
        "cassandra://host/keyspace",
        "bigtable://project/instance",
        "bigtable://project/instance/table/more",
        "bigtable:///instance/table",
        "bigtable://project/instance/table?emulatr=127.0.0.1:1",
    ],
)
def test_other_urls_are_refused_with_what_is_expected(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected sqlite:PATH or bigtable://PROJECT/INSTANCE"):
        open_wide_rows(url)


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "", "nan"])
def test_a_deadline_has_to_be_a_number_above_zero(seconds: str) -> None:
    with pytest.raises(ValueError, match="deadline_seconds: expected a number above 0"):
        open_wide_rows(f"bigtable://p/i/t?emulator=127.0.0.1:1&deadline_seconds={seconds}")
