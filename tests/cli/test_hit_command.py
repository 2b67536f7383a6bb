"""``tallymark hit`` and ``tallymark hits`` over a small archive."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from tallymark.slots import HOUR_US
from tests.stores.passport_world import HOUR, PassportWorld

Run = Callable[..., Result]


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> PassportWorld:
    return PassportWorld(tmp_path)


@pytest.fixture(name="run")
def _run(world: PassportWorld) -> Run:
    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, [*map(str, arguments), "--data", str(world.folder)])

    return run


def test_a_passport_is_told_in_sections(run: Run, world: PassportWorld) -> None:
    view = world.view(HOUR)
    world.archive(view)
    world.count(view)
    told = run("hit", view["request_id"])
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert lines[0] == f"request {view['request_id']}, received 2026-01-01T00:00:00.000000Z"
    for line in (
        f"hit {view['request_id']}-0000: page_view",
        "  it counts, by version 1 of its property's rules",
        "  path: /tea",
        "    row: x.example | /tea",
        "    stored: events 1, views 1, sessions 1, entrances 1, exits 1; its visitor is counted",
    ):
        assert line in lines
    assert [line for line in lines if line and not line.startswith(" ")][2:] == [
        "decoded", "enriched", "rules", "session", "cells it counts in",
    ]  # fmt: skip


def test_programs_get_the_whole_document(run: Run, world: PassportWorld) -> None:
    view = world.view(HOUR)
    world.archive(view)
    document = json.loads(run("hit", f"{view['request_id']}-0000", "--json").stdout)
    assert document["hits"][0]["decoded"]["path"] == "/tea"
    assert document["request"]["query"] == view["query"]


@pytest.mark.parametrize(
    "changes", [{}, {"query": "v=2&tid=G-NOBODY%1B%5B31m&cid=1&en=a"}], ids=["hit", "dead letter"]
)
def test_what_visitors_sent_moves_no_cursor(
    run: Run, world: PassportWorld, changes: dict[str, str]
) -> None:
    view = world.view(HOUR, body="en=a&dt=%1B%5B31m%E2%80%AE", referer="\x1b[2J\u202e", **changes)
    view["query"] = view["query"].replace("&en=page_view", "")
    world.archive(view)
    told = run("hit", view["request_id"]).output
    assert "\\u{1b}[31m" in told
    assert "\\u{1b}[2J\\u{202e}" in told
    assert all(character.isprintable() for character in told.replace("\n", ""))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nonsense", "expected the 32 hex digits of a request id"),
        ("018bcfe56800700a8000000000000000", "there is no hit"),
    ],
)
def test_a_name_of_no_hit_ends_with_what_is_wrong(run: Run, name: str, told: str) -> None:
    answer = run("hit", name)
    assert answer.exit_code == 1
    assert told in answer.stderr


def test_the_newest_hits_of_a_property_are_listed(run: Run, world: PassportWorld) -> None:
    theirs = world.view(HOUR + 3, query=f"v=2&tid={world.their_id}&cid=9.9&en=theirs")
    views = [world.view(HOUR + hour * HOUR_US + 1, hour) for hour in range(4)]
    bot = world.view(HOUR + 2 * HOUR_US + 5, user_agent="Googlebot/2.1")
    world.archive(*views, theirs, bot)
    told = run("hits", "2026-01-01", "--property", world.my_id, "--last", 3)
    lines = told.stdout.splitlines()
    assert [line.split("-")[0] for line in lines] == [
        views[3]["request_id"], bot["request_id"], views[2]["request_id"],
    ]  # fmt: skip
    assert lines[0].split("  ")[2:] == [
        "page_view", "x.example/tea", "(no source)",
        "it counts, by version 1 of its property's rules",
    ]  # fmt: skip
    assert lines[1].endswith("(bot)")


@pytest.mark.parametrize(
    ("options", "found"),
    [(["--client", "2.2"], 1), (["--client", "3.3"], 0), ([], 2), (["--last", "1"], 1)],
)
def test_a_client_and_a_number_choose(
    run: Run, world: PassportWorld, options: list[str], found: int
) -> None:
    other = f"v=2&tid={world.my_id}&cid=2.2&en=page_view&dl=https%3A%2F%2Fx.example%2F%1B"
    world.archive(world.view(HOUR), world.view(HOUR + 1, query=other))
    told = run("hits", "2026-01-01T00", "--property", world.my_id, "--json", *options)
    rows = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(rows) == found
    assert [row["received_at"] for row in rows] == [HOUR + 1, HOUR][:found]
    assert bool(told.stderr) == (not found)


def test_listed_texts_of_visitors_move_no_cursor(run: Run, world: PassportWorld) -> None:
    query = f"v=2&tid={world.my_id}&cid=1&en=%1B%5B2J&dl=https%3A%2F%2Fx.example%2F%1B%E2%80%AE"
    world.archive(world.view(HOUR, query=query + "%0Ax&cs=%1B&cm=%07"))
    told = run("hits", "2026-01-01", "--property", world.my_id).output
    assert "\\u{1b}[2J" in told
    assert all(character.isprintable() for character in told.rstrip("\n"))
