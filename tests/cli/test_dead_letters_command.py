"""``tallymark dead-letters`` over letters that processing made of real requests."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from beam_pipelines.blocks import process_blocks
from cli.data_folder import DataFolder
from cli.main import main
from stores.archive.dead_letters import DeadLetters
from stores.archive.opening import open_objects
from stores.publication import Publisher
from stores.rules_cache.file import FileRulesCache
from stores.wide_rows.opening import open_wide_rows
from tallymark.blocks import Block, encode_requests
from tallymark.requests import REQUEST_SCHEMA
from tallymark.slots import HOUR_US
from tests.beam_pipelines.worlds import page_view
from tests.property_files import create_property
from tests.strategies import MIDNIGHT_US

DAY = "2023-11-15"
HOSTILE = "G-\x1b[31m\u202e"

Run = Callable[..., Result]


@pytest.fixture(name="shop")
def _shop(tmp_path: Path) -> str:
    """The measurement id of the property of a data folder, in which ``live-1`` serves."""
    folder = DataFolder(tmp_path)
    made = create_property(folder.rules_path, random_bytes=bytes, name="Shop")
    publisher = Publisher(open_wide_rows(folder.wide_rows_url), lambda: 1, who="test")
    publisher.live_lineage(shards=1)
    mine = made.measurement_id
    recorded(tmp_path, "live-1", [
        page_view("G-UNKNOWN001", "1.1", 10, 1),
        page_view(HOSTILE, "1.1", HOUR_US + 10, 2),
        page_view(mine, "1.1", 20, 3),
        page_view(mine, "1.1", 30, 4) | {"query": f"v=2&tid={mine}&cid=1.1"},
        page_view(mine, "1.1", 2 * HOUR_US, 5) | {"path": "/nowhere"},
    ])  # fmt: skip
    return mine


def recorded(folder: Path, lineage: str, requests: list[dict]) -> None:
    """Process requests, and keep the letters that come of it."""
    rules = FileRulesCache(DataFolder(folder).rules_path)
    for number, request in enumerate(requests, 1):
        payload = encode_requests(pl.DataFrame([request], schema=REQUEST_SCHEMA))
        block = Block(
            spool_id="a", number=number, kind="requests", frontier=request["received_at"] + 1,
            requests=1, payload=payload, published_at=request["received_at"] + 1,
        )  # fmt: skip
        for name, letters in process_blocks(
            [block], rules.frame, 1, valid_through=rules.valid_through()
        ).dead_letters:
            objects = open_objects(DataFolder(folder).archive_url)
            DeadLetters(objects).write(lineage, name, letters)


@pytest.fixture(name="run")
def _run(tmp_path: Path, shop: str) -> Run:
    def run(*arguments: object) -> Result:
        command = ["dead-letters", *map(str, arguments), "--data", str(tmp_path)]
        return CliRunner().invoke(main, command)

    return run


def test_letters_are_counted_by_reason_with_what_it_means_and_what_to_do(run: Run) -> None:
    told = run(DAY)
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert lines[0].startswith(
        "2 unknown_measurement_id in rules, 2023-11-15T00Z to 2023-11-15T01Z: no property has the "
        "measurement id; the newest: "
    )
    assert sorted(line.split(" in ")[0] for line in lines[1:]) == [
        "1 missing_event_name", "1 unknown_path",
    ]  # fmt: skip
    assert told.stderr == (
        "4 in all. Once what was wrong is mended, tallymark replay "
        "2023-11-15T00..2023-11-16T00 decodes them again\n"
    )


@pytest.mark.parametrize(
    ("asked", "letters"),
    [
        (["2023-11-15T01"], 1),
        (["2023-11-16"], 0),
        ([DAY, "--reason", "unknown_path"], 1),
        ([DAY, "--lineage", "live-1"], 4),
    ],
)
def test_hours_reason_and_lineage_choose(run: Run, asked: list[str], letters: int) -> None:
    rows = [json.loads(line) for line in run(*asked, "--json").stdout.splitlines()]
    assert sum(row["letters"] for row in rows) == letters


def test_a_property_sees_the_letters_that_name_it(run: Run, shop: str) -> None:
    rows = [json.loads(line) for line in run(DAY, "--property", shop, "--json").stdout.splitlines()]
    assert {row["reason"] for row in rows} == {"missing_event_name", "unknown_path"}


def test_what_visitors_sent_moves_no_cursor(run: Run) -> None:
    told = run(DAY, "--show", 9).output
    assert "\\u{1b}[31m\\u{202e}" in told
    assert all(character.isprintable() for character in told.replace("\n", ""))


def test_letters_are_exported_with_their_requests_as_recorded(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "letters.jsonl"
    assert run(DAY, "--export", file).exit_code == 0
    letters = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(letters) == 4
    [hostile] = [one for one in letters if one["received_at"] == MIDNIGHT_US + HOUR_US + 10]
    assert HOSTILE in json.loads(hostile["request"])["query"]


def test_where_everything_was_understood_it_says_so(run: Run) -> None:
    assert run("2023-11-20").stderr == "every request of these hours was understood\n"


def test_a_lineage_that_is_not_there_is_named(run: Run) -> None:
    told = run(DAY, "--lineage", "gen-7")
    assert told.exit_code == 1
    assert "gen-7" in told.stderr
