"""Sales that name their transaction count once a client, within the horizon."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.pieces import TRANSACTION_SCHEMA
from tallymark.slots import HOUR_US, SESSION_ALIGNMENT_US
from tallymark.transactions import counted_once
from tests.strategies import MIDNIGHT_US, Visit, all_counted, all_joined, examples, hits_of, tables

L_US = SESSION_ALIGNMENT_US


def sales(*rows: tuple[int, str, str, int]) -> pl.DataFrame:
    """Hits: when (µs after midnight), event name, transaction id, client."""
    visits = [
        Visit(client=client, property_id=3, event_at=MIDNIGHT_US + at, opens_session=True, look=0)
        for at, _, _, client in rows
    ]
    return hits_of(visits, 1_800_000_000).with_columns(
        pl.Series("event_name", [row[1] for row in rows]),
        pl.Series("transaction_id", [row[2] for row in rows]),
        value_micros=pl.lit(5_000_000, pl.Int64),
    )


@pytest.mark.parametrize(
    ("rows", "counting"),
    [
        pytest.param([(0, "purchase", "T1", 1), (1, "purchase", "T1", 1)], 1, id="sent twice"),
        pytest.param([(0, "purchase", "T1", 1), (0, "purchase", "T1", 1)], 1, id="at one instant"),
        pytest.param([(0, "purchase", "T1", 1), (1, "purchase", "T2", 1)], 2, id="two of them"),
        pytest.param([(0, "purchase", "T1", 1), (1, "purchase", "T1", 2)], 2, id="two clients"),
        pytest.param([(0, "purchase", "", 1), (1, "purchase", "", 1)], 2, id="none is named"),
        pytest.param([(0, "refund", "T1", 1), (1, "refund", "T1", 1)], 2, id="refunded in parts"),
        pytest.param([(0, "purchase", "T1", 1), (1, "refund", "T1", 1)], 2, id="and refunded"),
        pytest.param(
            [(0, "purchase", "T1", 1), (2 * L_US - 1, "purchase", "T1", 1)], 1,
            id="just within the horizon",
        ),
        pytest.param(
            [(L_US, "purchase", "T1", 1), (2 * L_US, "purchase", "T1", 1)], 1,
            id="at the edge of the horizon",
        ),
        pytest.param(
            [(L_US - 1, "purchase", "T1", 1), (2 * L_US, "purchase", "T1", 1)], 2,
            id="a microsecond beyond the horizon",
        ),
        pytest.param(
            [(at, "purchase", "T1", 1) for at in (0, L_US, 3 * L_US - 1)], 1,
            id="a repeat carries on what it repeats",
        ),
    ],
)  # fmt: skip
def test_a_sale_counts_unless_it_repeats_one_of_its_horizon(
    rows: list[tuple[int, str, str, int]], counting: int
) -> None:
    whole = all_counted(sales(*rows))
    assert whole.joined["value_micros"].sum() == counting * 5_000_000
    assert whole.events["value_micros"].sum() == counting * 5_000_000
    assert whole.events["events"].sum() == len(rows), "what repeats a sale is still an event"


def test_the_first_in_time_counts_whichever_arrived_first() -> None:
    late_first = sales((HOUR_US, "purchase", "T1", 1), (0, "purchase", "T1", 1))
    pieces = all_joined(late_first).sort("start")
    assert pieces["value_micros"].to_list() == [5_000_000, 0]


@examples(40)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 12).map(lambda hours: hours * HOUR_US),
            st.sampled_from(["purchase", "refund"]),
            st.sampled_from(["", "T1", "T2"]),
            st.integers(1, 2),
        ),
        min_size=1,
        max_size=12,
    ),
    st.randoms(),
)
def test_the_same_sales_count_in_any_order(rows: list, random) -> None:  # type: ignore[no-untyped-def,type-arg]
    hits = sales(*rows)
    order = list(range(hits.height))
    random.shuffle(order)
    one = counted_once(tables(hits).transactions)
    other = counted_once(tables(hits[order]).transactions)
    assert one.equals(other)
    assert one.schema == TRANSACTION_SCHEMA
