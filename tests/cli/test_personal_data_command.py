"""``tallymark personal-data`` over an archive of recorded requests."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.data_folder import DataFolder
from cli.main import main
from stores.archive.opening import open_objects
from stores.archive.raw import RawArchive
from stores.publication import Publisher
from stores.wide_rows.opening import open_wide_rows
from tallymark.slots import HOUR_US
from tests.beam_pipelines.worlds import page_view
from tests.property_files import create_property
from tests.stores.archive.recorded_blocks import block
from tests.strategies import MIDNIGHT_US

DAY = "2023-11-15"
MAIL = "jane.doe%40example.com"

Run = Callable[..., Result]


@pytest.fixture(name="shops")
def _shops(tmp_path: Path) -> list[str]:
    """The measurement ids of two properties whose pages send mail addresses."""
    folder = DataFolder(tmp_path)
    made = [
        create_property(folder.rules_path, random_bytes=lambda n, i=i: bytes([i]) * n, name=name)
        for i, name in enumerate(["Shop", "Other"], 1)
    ]
    Publisher(open_wide_rows(folder.wide_rows_url), lambda: 1, who="test").live_lineage(shards=1)
    ids = [one.measurement_id for one in made]
    sent = [
        (ids[0], 10, f"&ep.note={MAIL}"),
        (ids[0], HOUR_US + 10, f"&ep.note={MAIL}&ep.first_name=Jane"),
        (ids[1], 2 * HOUR_US + 10, f"&ep.\u202enote={MAIL}"),
        ("G-UNKNOWN001", 2 * HOUR_US + 20, f"&ep.note={MAIL}"),
        (ids[0], 30 * HOUR_US, f"&ep.tomorrow={MAIL}"),
    ]
    archive = RawArchive(open_objects(folder.archive_url))
    for number, (owner, at, more) in enumerate(sent, 1):
        request = page_view(owner, "1.1", at, number)
        request["query"] += more
        archive.write([block("a", number, request["received_at"] + 1, [request])])
    return ids


@pytest.fixture(name="run")
def _run(tmp_path: Path, shops: list[str]) -> Run:
    def run(*arguments: object) -> Result:
        command = ["personal-data", *map(str, arguments), "--data", str(tmp_path)]
        return CliRunner().invoke(main, command)

    return run


def test_each_property_and_field_is_told_with_its_hits_and_a_shape(run: Run, shops: list[str]):
    assert MIDNIGHT_US // HOUR_US % 24 == 0
    told = run(DAY)
    assert told.exit_code == 0, told.output
    lines = sorted(told.stdout.splitlines())
    shop = f"Shop ({shops[0]}): parameter"
    assert lines[1:] == [
        f"{shop} first_name is named so in 1 hits, 1 values such as J… (4 characters)",
        f"{shop} note looks like mail in 2 hits, 1 values such as j…@e….com",
    ]
    assert lines[0].startswith("Other ")
    assert "parameter \\u{202e}note looks like mail in 1 hits" in lines[0]
    assert "3 fields" in told.stderr
    assert "jane" not in told.output


def test_a_property_and_a_range_choose(run: Run, shops: list[str]):
    rows = [
        json.loads(line)
        for line in run(f"{DAY}T00..{DAY}T01", "--property", shops[0], "--json").stdout.splitlines()
    ]
    assert len(rows) == 1
    assert {**rows[0], "property_id": 0} == {
        "property_id": 0, "property": "Shop", "measurement_id": shops[0], "place": "param",
        "name": "note", "kind": "mail", "hits": 1, "example": "j…@e….com", "values": 1,
    }  # fmt: skip
    assert run(f"{DAY}T02", "--property", shops[0]).stdout == ""


def test_where_there_is_none_it_says_so(run: Run):
    told = run("2023-11-20")
    assert (told.exit_code, told.stdout) == (0, "")
    assert told.stderr == "nothing in these hours looks like personal data\n"


def test_a_property_that_nobody_knows_is_refused(run: Run):
    told = run(DAY, "--property", "G-NOBODY")
    assert told.exit_code == 1
    assert "G-NOBODY" in told.stderr
