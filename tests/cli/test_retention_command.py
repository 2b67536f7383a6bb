"""``tallymark retention``: says what would go, takes it out, and says what it took."""

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from cli.data_folder import DataFolder
from cli.main import main
from stores.archive.opening import open_objects
from stores.archive.raw import RawArchive
from stores.publication import Publisher
from stores.wide_rows.opening import open_wide_rows
from tallymark.blocks import Block, encode_requests
from tallymark.requests import REQUEST_SCHEMA
from tests.beam_pipelines.worlds import page_view
from tests.property_files import create_property
from tests.strategies import MIDNIGHT_US


@pytest.fixture(name="shop")
def _shop(tmp_path: Path) -> str:
    """The measurement id of a property that keeps its hits for a week, years ago."""
    folder = DataFolder(tmp_path)
    made = create_property(folder.rules_path, random_bytes=bytes, name="Shop", retention_days=7)
    Publisher(open_wide_rows(folder.wide_rows_url), lambda: 1, who="test").live_lineage(shards=1)
    requests = [page_view(made.measurement_id, "1.1", 1, 1), page_view("G-OTHER00001", "1.1", 2, 2)]
    block = Block(
        spool_id="a", number=1, kind="requests", frontier=MIDNIGHT_US + 3, requests=2,
        payload=encode_requests(pl.DataFrame(requests, schema=REQUEST_SCHEMA)),
    )  # fmt: skip
    RawArchive(open_objects(folder.archive_url)).write([block])
    return made.measurement_id


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["retention", "--data", str(folder), *arguments])


def requests(folder: Path) -> int:
    archive = RawArchive(open_objects(DataFolder(folder).archive_url))
    return sum(frame.height for hour in archive.hours() for frame in archive.read_hour(hour))


def test_what_would_go_is_named_and_stays(tmp_path: Path, shop: str) -> None:
    said = run(tmp_path, "--dry-run", "--json")

    assert [json.loads(line) for line in said.stdout.splitlines()] == [
        {"hour": "2023-11-15T00", "property": shop, "requests": 1}
    ]
    assert requests(tmp_path) == 2
    limited = run(tmp_path, "--dry-run", "--max-days", "30")
    assert limited.output == "hour 2023-11-15T00  property all  requests all\n"


def test_what_is_due_goes_and_is_counted(tmp_path: Path, shop: str) -> None:
    said = run(tmp_path)

    assert said.exit_code == 0
    assert "requests 1 " in said.output
    assert requests(tmp_path) == 1
    assert run(tmp_path, "--dry-run").output == "nothing is due\n"


def test_a_limit_of_less_than_a_week_is_refused(tmp_path: Path, shop: str) -> None:
    assert run(tmp_path, "--max-days", "6").exit_code == 2
    assert requests(tmp_path) == 2


def erase(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["erase", "--data", str(folder), *arguments])


def test_a_client_is_erased_once_it_is_meant(tmp_path: Path, shop: str) -> None:
    whom = ("--property", shop, "--client", "1.1")

    asked = erase(tmp_path, *whom)
    assert asked.output == "hour 2023-11-15T00  requests 1\nnothing was erased: --yes does it\n"
    assert requests(tmp_path) == 2
    done = erase(tmp_path, *whom, "--yes", "--json")
    assert json.loads(done.output) == {"requests": 1, "hours": 1, "hits": 0, "letters": 0}
    assert requests(tmp_path) == 1
    assert erase(tmp_path, *whom).output == "no request of this client is held\n"


def test_a_client_of_no_property_is_not_looked_for(tmp_path: Path, shop: str) -> None:
    refused = erase(tmp_path, "--property", "G-NONE000001", "--client", "1.1", "--yes")

    assert refused.exit_code == 1
    assert "expected a number or a measurement id" in refused.output
