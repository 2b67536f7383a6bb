"""Groups of rows: what is the same shares a number, and numbers have no holes."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.reports.groups import Column, grouped
from tests.strategies import examples

texts = st.sampled_from(("", "a", "b", "ä", "a longer text that is not kept inline"))
numbers = st.sampled_from((-(2**62), -1, 0, 3, 2**62))


@examples(80)
@given(rows=st.lists(st.tuples(texts, numbers, texts), max_size=40))
def test_rows_share_a_group_exactly_where_all_their_values_are_the_same(
    rows: list[tuple[str, int, str]],
) -> None:
    columns: list[Column] = [
        pl.Series([first for first, _, _ in rows], dtype=pl.String),
        np.array([number for _, number, _ in rows], dtype=np.int64),
        pl.Series([last for _, _, last in rows], dtype=pl.String),
    ]
    found = grouped(columns, len(rows))
    assert sorted(set(found.of_row.tolist())) == list(range(len(found.first)))
    assert len(found.first) == len(set(rows))
    assert [rows[found.first[group]] for group in found.of_row] == rows


@pytest.mark.parametrize(("height", "groups"), [(0, 0), (1, 1), (5, 1)])
def test_without_columns_all_rows_are_one_group(height: int, groups: int) -> None:
    found = grouped([], height)
    assert found.of_row.tolist() == [0] * height
    assert len(found.first) == groups


def test_many_columns_of_many_values_do_not_outgrow_the_numbers() -> None:
    """Products of the numbers of values would pass 64 bits."""
    rng = np.random.default_rng(3)
    columns: list[Column] = [rng.integers(0, 2**40, 3000) for _ in range(8)]
    found = grouped([*columns, *columns], 3000)
    assert len(found.first) == 3000
