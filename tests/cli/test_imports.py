"""``tallymark import``: what comes of files, of bad ones, of a second time, and of being killed."""

import gzip
import json
import os
import re
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from cli.data_folder import DataFolder
from cli.importing import ImportRunningError, one_at_a_time
from cli.main import main
from stores.announcements import Announcements
from stores.archive.opening import open_objects
from stores.archive.raw import RawArchive
from stores.wide_rows.opening import open_wide_rows
from tallymark.imports.blocks import WINDOW_MINUTES
from tallymark.slots import HOUR_US
from tests.e2e.stack import tallymark

LINE = (
    '{address} - - [{day:02}/May/2015:{hour:02}:05:03 +0000] "GET {target} HTTP/1.1" 200 9 '
    '"-" "Firefox"\n'
)
KILLS = ("archive.file-before-manifest", "import.ends-written", "import.window-written")
FIRST_HOUR = 1_431_820_800_000_000  # 2015-05-17T00


def log(days: int = 2) -> str:
    """A page view an hour, and an image a day."""
    lines = []
    for day in range(17, 17 + days):
        lines.append(LINE.format(address="203.0.113.77", day=day, hour=3, target="/logo.png"))
        lines += [
            LINE.format(address=f"203.0.113.{hour}", day=day, hour=hour, target=f"/{hour}")
            for hour in range(24)
        ]
    return "".join(lines)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def property_id(folder: Path) -> int:
    made = CliRunner().invoke(
        main, ["property", "create", "--name=History", f"--data={folder}", "--json"]
    )
    return int(json.loads(made.output)["property_id"])


def run(folder: Path, property_id: int, kind: str, *arguments: object) -> Result:
    options = (f"--property={property_id}", f"--data={folder}")
    return CliRunner().invoke(main, ["import", kind, *map(str, arguments), *options])


def told(folder: Path, property_id: int, kind: str, *arguments: object) -> dict[str, Any]:
    result = run(folder, property_id, kind, *arguments, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.output)
    assert isinstance(document, dict)
    return document


def archive(folder: Path) -> RawArchive:
    return RawArchive(open_objects(f"file:{folder / 'archive'}"))


def requests(folder: Path) -> pl.DataFrame:
    whole = archive(folder)
    return pl.concat([part for hour in whole.hours() for part in whole.read_hour(hour)])


def content(folder: Path) -> dict[str, bytes]:
    """Everything that is archived."""
    found = folder / "archive"
    return {str(path): path.read_bytes() for path in sorted(found.rglob("*")) if path.is_file()}


def test_an_import_is_archived_whole_and_told_with_what_was_skipped(
    tmp_path: Path, folder: Path, property_id: int
) -> None:
    file = tmp_path / "access.log"
    file.write_text(log())
    result = run(folder, property_id, "access-log", file, "--host=www.example.com")

    assert result.exit_code == 0, result.output
    assert "48 requests imported" in result.output
    assert re.search(r"skipped +2 +asset: no page", result.output)
    assert "2015-05-17T00 to 2015-05-18T23, 48 with requests" in result.output
    assert (
        f"tallymark replay 2015-05-17T00..2015-05-19T00 --property {property_id} --data {folder} "
        "--publish" in result.output
    )
    assert len(requests(folder)) == 48
    assert all(
        archive(folder).hour_is_complete(FIRST_HOUR + hour * HOUR_US) for hour in range(-5, 60)
    )


def test_nothing_on_the_disk_knows_an_address_or_the_salt_afterwards(
    tmp_path: Path, folder: Path, property_id: int
) -> None:
    file = tmp_path / "access.log"
    file.write_text(log() + "203.0.113.77 is no line\n")
    run(folder, property_id, "access-log", file)

    names = [path for path in folder.rglob("*") if path.is_file()]
    texts = [path.read_bytes() for path in names if path.suffix != ".parquet"]
    assert not [text for text in texts if b"203.0.113.77" in text]
    assert "203.0.113.77" not in str(requests(folder).rows())
    assert [path.name for path in (folder / "imports").iterdir()] == ["lock"]


def test_the_same_file_again_changes_nothing_packed_or_not(
    tmp_path: Path, folder: Path, property_id: int
) -> None:
    plain, packed = tmp_path / "access.log", tmp_path / "access.log.1.gz"
    plain.write_text(log())
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    first = told(folder, property_id, "access-log", plain)
    before = content(folder)
    again = told(folder, property_id, "access-log", packed, plain)

    assert content(folder) == before
    assert {file["state"] for file in again["files"]} == {"imported_before"}
    assert first["files"][0]["state"] == "imported"
    assert again["files"][0]["skipped"] == first["files"][0]["skipped"] == {"asset": 2}


def test_a_dry_run_counts_and_writes_nothing(
    tmp_path: Path, folder: Path, property_id: int
) -> None:
    file = tmp_path / "access.log"
    file.write_text(log())
    before = sorted(folder.rglob("*"))
    dry = told(folder, property_id, "access-log", file, "--dry-run")

    assert (dry["imported"], dry["skipped"]) == (48, {"asset": 2})
    assert dry["files"][0]["state"] == "dry_run"
    assert dry["files"][0]["examples"]["asset"][0][0] == 1
    assert sorted(folder.rglob("*")) == before
    assert told(folder, property_id, "access-log", file)["files"][0]["state"] == "imported"


def test_a_file_of_two_properties_is_history_of_both(
    tmp_path: Path, folder: Path, property_id: int
) -> None:
    made = CliRunner().invoke(
        main, ["property", "create", "--name=Other", f"--data={folder}", "--json"]
    )
    other = int(json.loads(made.output)["property_id"])
    file = tmp_path / "access.log"
    file.write_text(log(days=1))
    told(folder, property_id, "access-log", file)
    told(folder, other, "access-log", file)

    found = requests(folder)
    assert len(found) == 48
    assert found.get_column("request_id").n_unique() == 48


MINUTES = WINDOW_MINUTES + 100
"""With an event each: more than one window takes."""


def json_row(number: int) -> str:
    return json.dumps(
        {
            "event_timestamp": str(FIRST_HOUR + number * 60_000_000),
            "event_name": "page_view",
            "user_pseudo_id": "1.2",
            "event_params": [],
        }
    )


BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "no_log": ("access-log", b"# Readme\n\nText.\n", "record 1 is '# Readme'"),
    "no_utf8": ("access-log", bytes(range(128, 256)), "combined log format"),
    "broken_gzip": ("access-log", gzip.compress(log().encode())[:-20], "whole gzip file"),
    "no_gzip": ("access-log", b"\x1f\x8b" + b"x" * 50, "whole gzip file"),
    "no_export": ("ga4-export", log().encode(), "BigQuery export, Parquet or JSON lines"),
    "other_json": ("ga4-export", b"[1, 2]\n", "event_timestamp, event_name"),
    "broken_parquet": ("ga4-export", b"PAR1" + b"x" * 50, "whole Parquet file"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_of_another_format_is_refused_and_leaves_nothing(
    tmp_path: Path, folder: Path, property_id: int, case: str
) -> None:
    kind, bad, message = BAD_FILES[case]
    file = tmp_path / "bad"
    file.write_bytes(bad)
    result = run(folder, property_id, kind, file)

    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {file}: expected ")
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (folder / "archive" / "raw").exists()
    assert [path.name for path in (folder / "imports").iterdir()] == ["lock"]


def test_parquet_of_something_else_is_told_what_it_lacks(
    tmp_path: Path, folder: Path, property_id: int
) -> None:
    file = tmp_path / "other.parquet"
    pl.DataFrame({"event_name": ["x"], "price": [1]}).write_parquet(file)
    result = run(folder, property_id, "ga4-export", file)

    assert result.exit_code == 1
    assert "it lacks event_timestamp, user_pseudo_id, event_params" in result.output
    assert "has event_name, price" in result.output


def test_a_property_that_does_not_exist_is_named_with_those_that_do(
    tmp_path: Path, folder: Path, property_id: int
) -> None:
    file = tmp_path / "access.log"
    file.write_text(log())
    result = run(folder, 7, "access-log", file)

    assert result.exit_code == 1
    assert str(property_id) in result.output
    assert "got 7" in result.output


def test_lines_that_are_huge_or_no_text_are_counted_and_the_others_imported(
    tmp_path: Path, folder: Path, property_id: int
) -> None:
    good = LINE.format(address="203.0.113.1", day=17, hour=1, target="/a").encode()
    huge = good.replace(b"/a", b"/" + b"a" * 20_000_000)
    odd = good.replace(b"/a", b"/\xff\xfe")
    file = tmp_path / "access.log"
    file.write_bytes(good + huge + odd + b"\n\n" + good.rstrip())
    found = told(folder, property_id, "access-log", file)

    assert found["imported"] == 3
    assert sum(found["skipped"].values()) == 1
    assert requests(folder).get_column("query").str.contains("%EF%BF%BD").sum() == 1


def test_a_host_is_no_address_of_a_page(tmp_path: Path, folder: Path, property_id: int) -> None:
    file = tmp_path / "access.log"
    file.write_text(log())
    result = run(folder, property_id, "access-log", file, "--host=https://www.example.com/")

    assert result.exit_code == 2
    assert "expected a name such as www.example.com" in result.output


def test_an_import_waits_for_no_other_one(tmp_path: Path, folder: Path, property_id: int) -> None:
    file = tmp_path / "access.log"
    file.write_text(log())
    with one_at_a_time(DataFolder(folder)):
        result = run(folder, property_id, "access-log", file)
        assert result.exit_code == 1
        assert "another import works on" in result.output
        with pytest.raises(ImportRunningError), one_at_a_time(DataFolder(folder)):
            pass
    assert run(folder, property_id, "access-log", file).exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("failpoint", KILLS)
def test_an_import_that_is_killed_goes_on_to_the_same_archive(
    tmp_path: Path, folder: Path, property_id: int, failpoint: str
) -> None:
    file = tmp_path / "export.json"
    file.write_text("\n".join(json_row(number) for number in range(MINUTES)))
    failpoints = tmp_path / "failpoints"
    failpoints.mkdir()
    (failpoints / failpoint).touch()
    killed = subprocess.run(
        [*tallymark("import", "ga4-export", file), f"--property={property_id}", f"--data={folder}"],
        check=False,
        capture_output=True,
        timeout=60,
        env=os.environ | {"TALLYMARK_FAILPOINTS": str(failpoints)},
    )
    assert killed.returncode == -signal.SIGKILL
    assert (failpoints / f"{failpoint.rpartition('.')[0]}.reached").exists()
    last_hour = FIRST_HOUR + (MINUTES // 60) * HOUR_US
    assert not archive(folder).hour_is_complete(last_hour)

    resumed = told(folder, property_id, "ga4-export", file)

    assert resumed["imported"] == MINUTES
    found = requests(folder)
    assert len(found) == found.get_column("request_id").n_unique() == MINUTES
    assert archive(folder).hour_is_complete(last_hour)
    assert [path.name for path in (folder / "imports").iterdir()] == ["lock"]


def test_hours_that_are_brought_in_are_announced_to_be_counted_once(
    folder: Path, property_id: int, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    path.write_text(log(days=1))
    told(folder, property_id, "access-log", path)
    with closing(open_wide_rows(DataFolder(folder).wide_rows_url)) as rows:
        announced = Announcements(rows).outstanding(FIRST_HOUR, FIRST_HOUR + 24 * HOUR_US)
        assert set(announced) == {(property_id, FIRST_HOUR + hour * HOUR_US) for hour in range(24)}
        names = {
            f"{spool}-{number:010d}".encode()
            for hour in archive(folder).hours()
            for spool, number in archive(folder).blocks(hour).select("spool_id", "number").rows()
        }
        assert set().union(*announced.values()) <= names
        told(folder, property_id, "access-log", path)
        again = Announcements(rows).outstanding(FIRST_HOUR, FIRST_HOUR + 24 * HOUR_US)
        assert again == announced
