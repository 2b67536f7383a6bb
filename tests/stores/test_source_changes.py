"""Before anything is published: how many clients begin later sessions with other sources."""

from pathlib import Path

import pytest

from stores.source_changes import changed_sources
from stores.wide_rows.port import WideRows
from tallymark.checks import Bounds, change_within_bounds
from tallymark.differences import merged
from tests.stores.test_stale_announcements import DAY, FIRST_DAY, LATER, Scene

SPANS = [(FIRST_DAY.start_us, FIRST_DAY.end_us)]


@pytest.mark.parametrize(
    ("what", "touches", "changes"),
    [
        ("the same", [(1, DAY, "news"), (2, DAY, "news")], {1: (1, 0, 0), 2: (1, 0, 0)}),
        ("another source", [(1, DAY, "search"), (2, DAY, "news")], {1: (1, 1, 1), 2: (1, 0, 0)}),
        ("none any more", [(2, DAY, "news")], {1: (1, 1, 1), 2: (1, 0, 0)}),
        ("direct now", [(1, DAY, ""), (2, DAY, "news")], {1: (1, 1, 1), 2: (1, 0, 0)}),
        ("a later one too", [(1, DAY, "news"), (1, DAY + 1, "ads"), (2, DAY, "news")],
         {1: (1, 0, 1), 2: (1, 0, 0)}),
    ],
)  # fmt: skip
def test_clients_are_counted_whose_sources_change(
    wide_rows: WideRows, tmp_path: Path, what: str, touches: list, changes: dict
) -> None:
    scene = Scene(wide_rows, tmp_path)
    name = scene.candidate(*touches)
    found = changed_sources(wide_rows, scene.objects, name, SPANS, [1, 2])
    told = {owner: tuple(counts) for owner, *counts in found.iter_rows()}
    assert told == changes, what
    same = changed_sources(wide_rows, scene.objects, name, SPANS, [1, 2], against=name)
    assert same["first_source"].sum() == same["last_source"].sum() == 0


def test_what_comes_after_the_hours_has_no_say(wide_rows: WideRows, tmp_path: Path) -> None:
    scene = Scene(wide_rows, tmp_path)
    scene.write("live-1", (1, LATER, "letter"))
    name = scene.candidate((1, DAY, "search"), (2, DAY, "news"))
    found = changed_sources(wide_rows, scene.objects, name, SPANS, [1])
    assert found.rows() == [(1, 1, 1, 1)]


def test_differences_tell_of_them(wide_rows: WideRows, tmp_path: Path) -> None:
    scene = Scene(wide_rows, tmp_path)
    name = scene.candidate((1, DAY, "search"), (2, DAY, "news"))
    sources = changed_sources(wide_rows, scene.objects, name, SPANS, [1, 2])
    nothing = merged([], candidate=name, against="", spans=SPANS)
    assert nothing.is_empty
    told = type(nothing)(**{**vars(nothing), "sources": sources})
    assert not told.is_empty
    assert "property 1\n  clients: of 1 the first source changes for 1, the last" in told.text()
    assert "property 2" not in told.text()
    assert told.to_json()["sources"][0]["first_source"] == 1
    check = change_within_bounds(told, Bounds())
    assert check.numbers["clients with another first source"] == 1
