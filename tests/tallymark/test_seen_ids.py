"""Seen ids tell of any ids whether they came before, however they were taken in."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark import seen_ids
from tallymark.seen_ids import ID_SCHEMA, SeenIds

IDS = st.integers(min_value=0, max_value=40)
WHOLE_RANGE = st.sampled_from([0, 1, 2**64, 2**127, 2**128 - 1])
BATCHES = st.lists(st.lists(IDS | WHOLE_RANGE, max_size=8), max_size=8)


def ids_of(orders: list[int], received_at: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"hit_order": orders, "received_at": [received_at] * len(orders)}, schema=ID_SCHEMA
    )


@given(BATCHES, st.lists(IDS | WHOLE_RANGE, max_size=20), st.integers(0, 9), st.integers(0, 12))
def test_they_are_a_set_that_lets_go_what_is_old(batches, asked, merged_at, before):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen_ids, "MERGED_AT", merged_at)
        seen, expected = SeenIds(), dict[int, int]()
        for number, batch in enumerate(batches):
            new = [order for order in dict.fromkeys(batch) if order not in expected]
            seen.add(ids_of(new, number))
            expected |= dict.fromkeys(new, number)
        orders = pl.Series("hit_order", asked, dtype=pl.UInt128)
        assert seen.known_among(orders).to_list() == [order in expected for order in asked]
        seen.forget(before)
        kept = {order: at for order, at in expected.items() if at >= before}
        assert seen.known_among(orders).to_list() == [order in kept for order in asked]
        rows = sorted((at, order) for order, at in kept.items())
        assert [(at, order) for order, at in seen.frame().iter_rows()] == rows
