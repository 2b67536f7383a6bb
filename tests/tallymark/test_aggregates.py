"""Aggregates: every number of every rollup against a plain count, and what a full cell does."""

import dataclasses
import struct

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark import aggregates
from tallymark.aggregates import OTHER, cell_frame
from tallymark.cells import SLOT_COLUMNS
from tallymark.decoded_cells import decode
from tallymark.rollups import BY_NAME, ROLLUPS
from tests.e2e.cells_reader import LAYOUTS, Cells, decode_cell
from tests.e2e.oracle import Settings, differences, expected_cells
from tests.strategies import (
    HOUR_US,
    MIDNIGHT_US,
    MINUTE_US,
    ONCE_PER_SESSION,
    Visit,
    all_counted,
    examples,
    hits_of,
    visits,
)
from tests.tallymark.oracle_hits import oracle_hit, with_named_clients

GAP_US = 30 * MINUTE_US
SETTINGS = {
    owner: Settings(
        slot_minutes=(60, 30, 15)[owner % 3],
        session_gap_seconds=1800,
        key_events=("purchase", *ONCE_PER_SESSION.get(owner, ())),
        once_per_session=ONCE_PER_SESSION.get(owner, ()),
    )
    for owner in (1, 2, 3)
}


def cells_of(hits: pl.DataFrame) -> Cells:
    """All cells of the hits, read by somebody who knows the layout alone."""
    facts = all_counted(hits)
    touched = facts.joined.select(SLOT_COLUMNS).unique()
    frame = cell_frame(facts, touched, lineage="live-1", version=1)
    values = {(key, at, family): value for key, family, at, _, value in frame.iter_rows()}
    found: Cells = {name: {} for name in LAYOUTS}
    for (key, at, family), value in values.items():
        if family == "n":
            _, owner, rollup, *_ = key.decode().split("#")
            start, minutes = struct.unpack(">QH", at)
            rows = decode_cell(LAYOUTS[rollup], value, values[key, at, "u"])
            if rows:
                found[rollup][int(owner), start, minutes] = rows
    return found


@examples(25)
@given(
    chosen=visits(gap_us=GAP_US, span_us=2 * HOUR_US, clients=4, properties=3).filter(bool),
)
def test_every_number_is_that_of_a_plain_count(chosen: list[Visit]) -> None:
    hits = with_named_clients(hits_of(chosen, GAP_US))
    expected = expected_cells(map(oracle_hit, hits.to_dicts()), SETTINGS)
    assert differences(expected, cells_of(hits)) == []


@pytest.mark.parametrize(
    ("paths", "entrances", "exits"),
    [
        pytest.param(["", "/a"], {"": 1}, {"/a": 1}, id="lands on it"),
        pytest.param(["/a", ""], {"/a": 1}, {"": 1}, id="leaves from it"),
        pytest.param(["/a", "", "/b"], {"/a": 1}, {"/b": 1}, id="passes through"),
        pytest.param([""], {"": 1}, {"": 1}, id="sees nothing else"),
        pytest.param(["/a"], {"/a": 1}, {"/a": 1}, id="no such view"),
        pytest.param([None], {}, {}, id="no view at all"),
        pytest.param([None, ""], {"": 1}, {"": 1}, id="an event without a page comes before"),
    ],
)
def test_a_view_whose_page_is_not_known_begins_and_ends_a_session_as_any_other(
    paths: list[str | None], entrances: dict[str, int], exits: dict[str, int]
) -> None:
    """GA4's entrances and exits are of the first and last view; what was not sent is (not set)."""
    hits = hits_of(
        [
            Visit(client=1, property_id=3, event_at=MIDNIGHT_US + at, opens_session=True, look=0)
            for at in range(len(paths))
        ],
        GAP_US,
    ).with_columns(
        pl.Series("path", [path or "" for path in paths]),
        pl.Series("host", ["shop.example" if path else "" for path in paths]),
        pl.Series("event_name", ["scroll" if path is None else "page_view" for path in paths]),
        pl.Series("is_page_view", [path is not None for path in paths]),
    )

    (rows,) = cells_of(hits)["pages"].values()

    for name, expected in (("entrances", entrances), ("exits", exits)):
        assert {path: row[name] for (_, path), row in rows.items() if row[name]} == expected
    (landed,) = cells_of(hits)["landing"].values()
    assert [path for _, path in landed] == (list(entrances) or [""])


def many_pages(pages: int) -> pl.DataFrame:
    """Page ``n`` viewed ``n`` times by as many clients."""
    views = [
        Visit(
            client=client, property_id=3, event_at=MIDNIGHT_US + client, opens_session=True, look=0
        )
        for page in range(1, pages + 1)
        for client in range(page)
    ]  # fmt: skip
    names = [f"/{page:05d}" for page in range(1, pages + 1) for _ in range(page)]
    return hits_of(views, GAP_US).with_columns(pl.Series("path", names))


def test_a_full_cell_folds_its_smallest_rows_into_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pages, kept = 40, 10
    small = tuple(
        dataclasses.replace(rollup, max_rows=kept) if rollup.name == "pages" else rollup
        for rollup in ROLLUPS
    )
    monkeypatch.setattr(aggregates, "ROLLUPS", small)
    facts = all_counted(many_pages(pages))
    touched = facts.joined.select(SLOT_COLUMNS).unique()
    cells = cell_frame(facts, touched, lineage="live-1", version=1)
    in_pages = cells.filter(pl.col("row_key").cast(pl.String).str.contains("#pages#"))
    found = decode(BY_NAME["pages"], in_pages)
    rows = {row["path"]: row for row in found.numbers.to_dicts()}
    assert len(rows) == kept
    assert {f"/{page:05d}" for page in range(pages - kept + 2, pages + 1)} < set(rows)
    folded = pages - kept + 1
    assert rows[OTHER]["events"] == folded * (folded + 1) // 2
    assert rows[OTHER]["host"] == OTHER
    users = found.sets.filter(pl.col("row") == rows[OTHER]["row"])
    assert users.height == folded
    assert sum(row["events"] for row in rows.values()) == pages * (pages + 1) // 2


def test_each_custom_dimension_keeps_rows_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has very many values takes no room from the others."""
    kept = 3
    small = tuple(dataclasses.replace(rollup, max_rows=kept) for rollup in ROLLUPS)
    monkeypatch.setattr(aggregates, "ROLLUPS", [rollup for rollup in small if rollup.within])
    hits = many_pages(4).with_columns(
        customs=pl.concat_list(
            pl.struct(name=pl.lit("a"), value="path", micros=pl.lit(None, pl.Int64)),
            pl.struct(name=pl.lit("b"), value=pl.lit(""), micros=pl.lit(None, pl.Int64)),
        )
    )
    rows = cells_of(hits)["custom"].values()
    counts = {keys: row["events"] for slot in rows for keys, row in slot.items()}
    assert counts == {
        ("a", "/00004"): 4, ("a", "/00003"): 3, ("a", OTHER): 1 + 2, ("b", ""): 1 + 2 + 3 + 4,
    }  # fmt: skip


@examples(10)
@given(
    chosen=visits(gap_us=GAP_US, span_us=2 * HOUR_US, clients=4, properties=1).filter(bool),
    data=st.data(),
)
def test_a_slot_alone_is_computed_as_among_all(chosen: list[Visit], data: st.DataObject) -> None:
    facts = all_counted(hits_of(chosen, GAP_US))
    touched = facts.joined.select(SLOT_COLUMNS).unique().sort(SLOT_COLUMNS)
    every = cell_frame(facts, touched, lineage="live-1", version=1)
    index = data.draw(st.integers(0, touched.height - 1))
    alone = cell_frame(facts, touched[index : index + 1], lineage="live-1", version=1)
    names = ["row_key", "family", "qualifier"]
    among = every.join(alone.select(names), on=names, how="semi").sort(names)
    assert among.equals(alone.sort(names))
    defined = 1 if facts.customs.height else 0
    assert alone.height == 2 * sum(1 for rollup in ROLLUPS if defined or not rollup.within)
