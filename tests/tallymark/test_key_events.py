"""Key events that count once a session: which hit of one counts, and where."""

from itertools import permutations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.compaction import compact
from tallymark.key_events import repeated_in_sessions
from tallymark.pieces import KEY_EVENT_SCHEMA
from tallymark.slots import HOUR_US, MINUTE_US, SESSION_ALIGNMENT_US
from tallymark.texts import with_texts
from tests.strategies import (
    MIDNIGHT_US,
    Visit,
    all_counted,
    all_joined,
    examples,
    hits_of,
    tables,
    visits,
)

GAP_US = 30 * MINUTE_US
Sent = tuple[int, str, bool]
"""Minutes after midnight, event name, whether it opens a session."""


def sent(*rows: Sent, client: int = 1) -> pl.DataFrame:
    """Hits of a client; ``sign_up`` counts once a session, ``purchase`` always."""
    made = [
        Visit(
            client=client, property_id=3, event_at=MIDNIGHT_US + at * MINUTE_US,
            opens_session=opens, look=1,
        )
        for at, _, opens in rows
    ]  # fmt: skip
    names = pl.Series("event_name", [name for _, name, _ in rows])
    is_once = names == "sign_up"
    return hits_of(made, GAP_US).with_columns(
        names,
        is_page_view=pl.lit(value=False),
        is_once_per_session=is_once,
        is_key_event=is_once | (names == "purchase"),
        engagement_ms=pl.lit(0, pl.Int64),
        transaction_id=pl.lit(""),
        customs=pl.concat_list(
            pl.struct(
                name=pl.lit("customEvent:at"),
                value=((pl.col("event_at") - MIDNIGHT_US) // MINUTE_US).cast(pl.String),
                micros=pl.lit(None, pl.Int64),
            )
        ),
    )


def counted_at(hits: pl.DataFrame) -> list[tuple[str, int]]:
    """Event and minutes after midnight of each hit that is a key event, as custom rows tell.

    All tables must say as many.
    """
    facts = all_counted(hits)
    named = with_texts(facts.customs, "custom_id", ("name", "minute"), facts.texts)
    named = with_texts(named, "event_id", ("event",), facts.texts)
    counted = named.filter(pl.col("key_events") != 0).select(
        "event", pl.col("minute").cast(pl.Int64), "key_events"
    )
    for table in (facts.joined, facts.events, facts.customs):
        assert table.get_column("key_events").sum() == counted.get_column("key_events").sum()
        assert table.get_column("key_events").min() >= 0  # type: ignore[operator]
        assert table.get_column("events").sum() == hits.height, "what repeats is still an event"
    assert counted.get_column("key_events").unique().to_list() in ([], [1])
    return sorted(counted.select("event", "minute").rows())


L = SESSION_ALIGNMENT_US // MINUTE_US
OPENS, JOINS = True, False
CASES = [
    pytest.param([(0, "sign_up", OPENS), (1, "sign_up", OPENS)], [0], id="twice in a session"),
    pytest.param([(0, "sign_up", OPENS), (30, "sign_up", OPENS)], [0, 30], id="two sessions"),
    pytest.param(
        [(59, "sign_up", OPENS), (61, "sign_up", OPENS), (80, "sign_up", OPENS)], [59],
        id="a session of two slots",
    ),
    pytest.param(
        [(0, "page", OPENS), (20, "sign_up", OPENS), (40, "sign_up", OPENS)], [20],
        id="not by the first hit",
    ),
    pytest.param(
        [(0, "page", OPENS), (5, "sign_up", JOINS), (6, "sign_up", OPENS)], [5],
        id="one that opens no session stands before one that does",
    ),
    pytest.param(
        [(0, "sign_up", OPENS), (29, "sign_up", JOINS), (31, "sign_up", JOINS)], [0, 31],
        id="the session holds one and not the other",
    ),
    pytest.param([(0, "sign_up", JOINS), (1, "sign_up", JOINS)], [0, 1], id="outside of sessions"),
    pytest.param(
        [(at, "sign_up", OPENS) for at in range(L - 20, 3 * L, 20)], [L - 20, 2 * L],
        id="a long chain is cut, and counts once a part",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "counting"), CASES)
def test_the_first_of_a_session_counts(rows: list[Sent], counting: list[int]) -> None:
    assert counted_at(sent(*rows)) == [("sign_up", at) for at in counting]


@pytest.mark.parametrize(("rows", "counting"), CASES[:-1])
def test_the_first_in_time_counts_in_whatever_order_they_arrive(
    rows: list[Sent], counting: list[int]
) -> None:
    for order in permutations(rows):
        assert counted_at(sent(*order)) == [("sign_up", at) for at in counting]


def test_names_and_clients_count_apart_and_other_key_events_always() -> None:
    mine = sent((0, "sign_up", OPENS), (1, "purchase", OPENS), (2, "purchase", OPENS))
    others = sent((3, "sign_up", OPENS), (4, "sign_up", OPENS), client=2)
    hits = pl.concat([mine, others]).with_columns(
        hit_id=pl.format("{}-0000", pl.int_range(pl.len()).cast(pl.String).str.zfill(32))
    )
    assert counted_at(hits) == [("purchase", 1), ("purchase", 2), ("sign_up", 0), ("sign_up", 3)]


def test_two_of_one_instant_outside_of_sessions_count_once() -> None:
    assert counted_at(sent((0, "sign_up", JOINS), (0, "sign_up", JOINS))) == [("sign_up", 0)]


def test_a_session_is_engaged_by_a_key_event_that_counts_elsewhere_in_it() -> None:
    """Whichever of its pieces holds the one that counts."""
    rows: list[Sent] = [(59, "sign_up", OPENS), (60, "sign_up", OPENS)]
    quick = sent(*rows).with_columns(engagement_threshold_ms=pl.lit(100_000, pl.Int64))
    joined = all_joined(quick.with_columns(session_gap_ms=pl.lit(14_400_000, pl.Int64)))
    assert joined.get_column("key_events").to_list() == [1, 0]
    assert joined.get_column("is_engaged").to_list() == [True, True]
    alone = sent((0, "sign_up", OPENS)).with_columns(is_key_event=pl.lit(value=False))
    assert not all_joined(alone.with_columns(is_once_per_session=pl.lit(value=False)))[
        "is_engaged"
    ].any()


@examples(40)
@given(chosen=visits(gap_us=GAP_US, span_us=12 * HOUR_US).filter(bool), parts=st.integers(1, 5))
def test_tables_hold_one_a_piece_and_name_however_they_are_put_together(
    chosen: list[Visit], parts: int
) -> None:
    hits = hits_of(chosen, GAP_US)
    whole = compact(tables(hits)).key_events
    split = [tables(hits[part::parts]) for part in range(parts)]
    together = split[0]
    for part in split[1:]:
        together = compact(together.plus(part))
    found = compact(together).key_events
    assert found.equals(whole)
    assert found.schema == KEY_EVENT_SCHEMA
    once = hits.filter("is_once_per_session")
    joined = all_joined(hits)
    assert found.height <= min(once.height, joined.height)
    repeats = repeated_in_sessions(hits, joined)
    every = joined.get_column("key_events").sum()
    assert every == hits.get_column("is_key_event").sum() - repeats.len()
