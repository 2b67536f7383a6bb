"""Cells: whatever was encoded is decoded, whoever else lies in the same read."""

from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tallymark.cells import (
    CHUNK_BYTES,
    INLINE_BYTES,
    SLOT_COLUMNS,
    encode,
    version_of,
)
from tallymark.decoded_cells import ChunksChangedError, decode
from tallymark.rollups import BY_NAME, ROLLUPS, Rollup
from tallymark.slots import DAY_US, HOUR_US
from tests.strategies import MIDNIGHT_US, examples

TEXTS = st.text(max_size=12) | st.text(alphabet="\t\n\r\\\0tnr0 \"'#,;😀\ufeff", max_size=8)
I64 = st.integers(-(2**63), 2**63 - 1)
HASHES = st.integers(0, 2**64 - 1)
Row = dict[str, Any]


def frame_of(rollup: Rollup, rows: list[Row]) -> pl.DataFrame:
    schema: dict[str, Any] = {
        "property_id": pl.Int64,
        "slot_start": pl.Int64,
        "slot_minutes": pl.Int32,
        **dict.fromkeys(rollup.keys, pl.String),
        **dict.fromkeys(rollup.sums, pl.Int64),
        **dict.fromkeys(rollup.uniques, pl.List(pl.UInt64)),
    }
    return pl.DataFrame(rows, schema=schema)


@st.composite
def rows_of(draw: st.DrawFn, rollup: Rollup) -> list[Row]:
    """Rows of a few slots of two properties, keys distinct within a slot."""
    values = st.fixed_dictionaries(
        {
            "property_id": st.integers(1, 2),
            "slot_start": st.integers(-2, 2).map(lambda hour: MIDNIGHT_US + hour * HOUR_US),
            "slot_minutes": st.just(60),
            **dict.fromkeys(rollup.keys, TEXTS),
            **dict.fromkeys(rollup.sums, I64),
            **dict.fromkeys(rollup.uniques, st.lists(HASHES, max_size=4, unique=True).map(sorted)),
        }
    )
    names = (*SLOT_COLUMNS, *rollup.keys)
    return draw(
        st.lists(values, max_size=8, unique_by=lambda row: tuple(row[name] for name in names))
    )


def decoded_rows(rollup: Rollup, cells: pl.DataFrame) -> list[Row]:
    """What was decoded, in the shape of what was encoded."""
    found = decode(rollup, cells)
    sets: dict[tuple[int, str], list[int]] = {}
    for row, measure, member in found.sets.iter_rows():
        sets.setdefault((row, measure), []).append(member)
    return [
        {name: value for name, value in row.items() if name not in ("row", "lineage")}
        | {name: sets.get((row["row"], name), []) for name in rollup.uniques}
        for row in found.numbers.to_dicts()
    ]


def sortable(row: Row) -> str:
    return repr(sorted(row.items()))


@examples(60)
@given(data=st.data(), rollup=st.sampled_from(ROLLUPS), version=st.integers(0, 2**53 - 1))
def test_cells_survive_their_bytes(data: st.DataObject, rollup: Rollup, version: int) -> None:
    rows = data.draw(rows_of(rollup))
    frame = frame_of(rollup, rows)
    empty = {"property_id": 3, "slot_start": MIDNIGHT_US, "slot_minutes": 15}
    slots = frame_of(rollup, [*rows, empty]).select(SLOT_COLUMNS).unique()
    cells = encode(rollup, frame, slots, lineage="live-1", version=version)
    assert cells.height == 2 * slots.height
    assert set(cells.get_column("version")) == {version}
    shuffled = cells.sample(fraction=1.0, shuffle=True, seed=version % 2**32)
    found = decoded_rows(rollup, shuffled)
    assert sorted(map(sortable, found)) == sorted(map(sortable, rows))


@examples(40)
@given(data=st.data(), rollup=st.sampled_from(ROLLUPS))
def test_the_order_of_rows_changes_no_byte(data: st.DataObject, rollup: Rollup) -> None:
    rows = data.draw(rows_of(rollup))
    first = frame_of(rollup, rows)
    second = frame_of(rollup, data.draw(st.permutations(rows)))
    slots = first.select(SLOT_COLUMNS).unique()
    one, other = (
        encode(rollup, frame, slots, lineage="live-1", version=1).sort("row_key", "qualifier")
        for frame in (first, second)
    )
    assert one.sort("row_key", "family", "qualifier").equals(
        other.sort("row_key", "family", "qualifier")
    )


@examples(60)
@given(name=TEXTS)
@example(name="\ufeff")
@example(name="")
@example(name="\\t\t\\\\n\n\r\0")
def test_any_text_may_be_the_only_key(name: str) -> None:
    """The first key of a read stands at the beginning of what the parser is given."""
    rollup = BY_NAME["events"]
    rows = [event_row(event_name=name)]
    assert decoded_rows(rollup, encoded(rollup, rows))[0]["event_name"] == name


def event_row(**changes: Any) -> Row:
    return {
        "property_id": 1, "slot_start": MIDNIGHT_US, "slot_minutes": 60, "event_name": "a",
        "events": 1, "key_events": 0, "value_micros": 0, "users": [1],
    } | changes  # fmt: skip


def encoded(rollup: Rollup, rows: list[Row], *, version: int = 1) -> pl.DataFrame:
    frame = frame_of(rollup, rows)
    slots = frame.select(SLOT_COLUMNS).unique()
    return encode(rollup, frame, slots, lineage="live-1", version=version)


@pytest.mark.parametrize(
    ("rows", "chunks"),
    [(10, 0), (3_000, 1), (40_000, 6)],
    ids=["inline", "one chunk", "several chunks"],
)
def test_large_cells_are_cut_and_joined(rows: int, chunks: int) -> None:
    rollup = BY_NAME["events"]
    many = [
        event_row(event_name=f"event {n} {'é' * 10}", users=[n, n + 2**63]) for n in range(rows)
    ]
    small = event_row(slot_start=MIDNIGHT_US + HOUR_US)
    cells = encoded(rollup, [*many, small])
    assert cells.get_column("value").bin.size().max() <= CHUNK_BYTES  # type: ignore[operator]
    by_row = cells.group_by("row_key").agg(pl.col("value").bin.size().sum())
    assert by_row.get_column("value").max() <= max(INLINE_BYTES * 3, CHUNK_BYTES * 2)  # type: ignore[operator]
    assert by_row.height >= 1 + chunks
    found = decoded_rows(rollup, cells)
    assert len(found) == rows + 1
    assert {row["event_name"]: row["users"] for row in found if row["event_name"] != "a"} == {
        row["event_name"]: row["users"] for row in many
    }


def test_a_read_between_two_flushes_of_a_large_cell_is_told_to_read_again() -> None:
    rollup = BY_NAME["events"]
    many = [event_row(event_name=f"event {n} {'x' * 40}") for n in range(3_000)]
    old, new = encoded(rollup, many), encoded(rollup, many, version=2)
    is_chunk = pl.col("row_key").bin.size() > old.get_column("row_key").bin.size().min()
    mixed = pl.concat([old.filter(is_chunk), new.filter(~is_chunk)])
    with pytest.raises(ChunksChangedError):
        decode(rollup, mixed)
    missing = new.filter(~is_chunk)
    with pytest.raises(ChunksChangedError):
        decode(rollup, missing)


def test_a_cell_that_shrank_ignores_the_chunks_it_left_behind() -> None:
    rollup = BY_NAME["events"]
    many = [event_row(event_name=f"event {n} {'x' * 40}") for n in range(3_000)]
    old, new = encoded(rollup, many), encoded(rollup, [event_row()], version=2)
    left = old.filter(~pl.col("row_key").is_in(new.get_column("row_key").implode()))
    assert left.height > 0
    assert [row["event_name"] for row in decoded_rows(rollup, pl.concat([new, left]))] == ["a"]


def test_a_touched_slot_without_rows_becomes_an_empty_cell() -> None:
    rollup = BY_NAME["events"]
    rows = frame_of(rollup, [event_row()])
    other = frame_of(rollup, [event_row(slot_start=MIDNIGHT_US + HOUR_US)])
    slots = pl.concat([rows, other]).select(SLOT_COLUMNS)
    cells = encode(rollup, rows, slots, lineage="live-1", version=1)
    assert cells.group_by("family").len().sort("family").rows() == [("n", 2), ("u", 2)]
    assert len(decoded_rows(rollup, cells)) == 1


def test_rows_outside_the_touched_slots_are_left_out() -> None:
    rollup = BY_NAME["events"]
    rows = frame_of(rollup, [event_row(), event_row(slot_start=MIDNIGHT_US + DAY_US)])
    cells = encode(rollup, rows, rows[:1].select(SLOT_COLUMNS), lineage="live-1", version=1)
    assert cells.height == 2


def test_a_cell_of_another_schema_is_refused() -> None:
    from dataclasses import replace

    rollup = BY_NAME["events"]
    cells = encoded(rollup, [event_row()])
    later = replace(rollup, number=rollup.number + 1)
    for family in ("n", "u"):
        with pytest.raises(ValueError, match="expected schema"):
            decode(later, cells.filter(pl.col("family") == "n") if family == "n" else cells)


def test_sets_may_be_left_out() -> None:
    rollup = BY_NAME["events"]
    found = decode(rollup, encoded(rollup, [event_row()]), with_sets=False)
    assert (found.numbers.height, found.sets.height) == (1, 0)


def test_the_lineage_of_a_row_is_told() -> None:
    rollup = BY_NAME["events"]
    frame = frame_of(rollup, [event_row()])
    slots = frame.select(SLOT_COLUMNS)
    cells = pl.concat(encode(rollup, frame, slots, lineage=name, version=1) for name in ("a", "b"))
    assert sorted(decode(rollup, cells).numbers.get_column("lineage")) == ["a", "b"]


def test_nothing_decodes_to_nothing() -> None:
    rollup = BY_NAME["events"]
    found = decode(rollup, encoded(rollup, [event_row()]).clear())
    assert (found.numbers.height, found.sets.height) == (0, 0)


@pytest.mark.parametrize(("epoch", "flush"), [(-1, 0), (2**21, 0), (0, -1), (0, 2**32)])
def test_versions_out_of_range_are_refused(epoch: int, flush: int) -> None:
    with pytest.raises(ValueError, match="expected epoch"):
        version_of(epoch, flush)


@examples(100)
@given(
    first=st.tuples(st.integers(0, 2**21 - 1), st.integers(0, 2**32 - 1)),
    second=st.tuples(st.integers(0, 2**21 - 1), st.integers(0, 2**32 - 1)),
)
def test_versions_order_by_epoch_and_then_by_flush(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    assert (version_of(*first) < version_of(*second)) == (first < second)
