"""Decoding of a part: what is asked for is what decoding everything gives."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.decoded_cells import decode
from tallymark.rollups import BY_NAME, ROLLUPS, Rollup
from tests.tallymark.report_cells import cells_of

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "hour": st.integers(-30, 30),
            **dict.fromkeys(("source", "medium", "host", "path"), st.text("ab\\\t\n", max_size=3)),
            **dict.fromkeys(("sessions", "views", "events"), st.integers(-9, 9)),
            **dict.fromkeys(
                ("users", "active_users", "new_users"), st.sets(st.integers(0, 2**64 - 1))
            ),
        }
    ),
    max_size=8,
)


@given(st.sampled_from(ROLLUPS), ROWS, st.data())
def test_a_part_is_the_same_as_in_the_whole(
    rollup: Rollup, rows: list[dict[str, object]], data: st.DataObject
) -> None:
    names = (*rollup.keys, *rollup.sums, *rollup.uniques)
    only = data.draw(st.sets(st.sampled_from(names)))
    cells = cells_of(rollup.name, rows)
    whole, part = decode(rollup, cells), decode(rollup, cells, only=only)
    assert part.numbers.equals(whole.numbers.select(part.numbers.columns))
    wanted = [name for name in (*rollup.keys, *rollup.sums) if name in only]
    assert part.numbers.columns == ["row", "slot_start", *wanted]
    order = ["measure", "row", "hash"]
    expected = whole.sets.filter(pl.col("measure").cast(pl.String).is_in(list(only)))
    assert part.sets.sort(order).equals(expected.sort(order))


@pytest.mark.parametrize(
    ("source", "channel", "expected"),
    [("(other)", "(other)", True), ("(other)", "Direct", False), ("x(other)", "(other)", False)],
)
def test_only_a_row_of_nothing_but_other_is_a_folded_one(
    source: str, channel: str, expected: bool
) -> None:
    row = {"source": source, "medium": "(other)", "campaign": "(other)", "channel": channel}
    for rows in ([row], [{"source": "a"}, row], [row, {"source": "z"}]):
        found = decode(BY_NAME["acquisition"], cells_of("acquisition", rows), only=("sessions",))
        assert found.has_other_row is expected
