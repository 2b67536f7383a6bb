"""Attribution: what a client's touches, held or told by the store, say of each session."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tallymark.aggregates import Counted
from tallymark.pieces import CLIENT
from tallymark.pointer_map import PointerMap
from tallymark.slots import DAY_US, HOUR_US, MINUTE_US
from tallymark.texts import TEXT_SCHEMA, text_id, with_texts
from tallymark.touch_cells import decode_touches, encode_touches, hour_of, served
from tallymark.touches import (
    ATTRIBUTED_SCHEMA,
    DIRECT,
    NO_SESSION,
    SOURCE,
    TOUCH_SCHEMA,
    attributed,
    continued,
    histories_of,
    touches_of,
)
from tests.strategies import (
    MIDNIGHT_US,
    Visit,
    all_counted,
    all_joined,
    examples,
    hits_of,
    visits,
)

GAP_US = 30 * MINUTE_US
NEWS = ("news", "email", "spring", "Email")
ADS = ("ads", "cpc", "sale", "Paid Search")
NONE = ("", "", "", "")


def visit_at(days: float, source: tuple[str, ...], *, opens: bool = True) -> pl.DataFrame:
    """A hit of one client, so many days after midnight, that names a source."""
    at = MIDNIGHT_US + round(days * DAY_US)
    hit = hits_of(
        [Visit(client=0, property_id=1, event_at=at, opens_session=opens, look=0)], GAP_US
    )
    named = dict(zip(SOURCE, source, strict=True))
    return hit.with_columns(pl.lit(text).alias(name) for name, text in named.items())


def told(*hits: pl.DataFrame, lookback_days: int = 90) -> list[tuple[str, str, bool | None]]:
    """Session source, first-user source and "is returning" of each hit, by time."""
    return in_words(
        all_counted(
            pl.concat(hits).with_columns(attribution_lookback_days=pl.lit(lookback_days, pl.Int32))
        )
    )


def in_words(facts: Counted) -> list[tuple[str, str, bool | None]]:
    constants = pl.DataFrame(
        [(1, text_id(*names), *names) for names in (DIRECT, NO_SESSION)],
        schema=TEXT_SCHEMA,
        orient="row",
    )
    texts = pl.concat([facts.texts, constants]).unique(["property_id", "text_id"])
    rows = facts.joined
    for name, columns in (
        ("source_id", SOURCE),
        ("first_source_id", tuple(f"first_{part}" for part in SOURCE)),
    ):
        rows = with_texts(rows, name, columns, texts)
    return rows.sort("start").select("source", "first_source", "is_returning").rows()


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([NONE], [("(direct)", "(direct)", False)]),
        ([NEWS, NONE], [("news", "news", False), ("news", "news", True)]),
        ([NONE, NEWS], [("(direct)", "(direct)", False), ("news", "(direct)", True)]),
        (
            [NEWS, NONE, ADS, NONE],
            [
                ("news", "news", False),
                ("news", "news", True),
                ("ads", "news", True),
                ("ads", "news", True),
            ],
        ),
    ],
)
def test_a_direct_session_has_the_last_source_and_all_have_the_first(
    sources: list[tuple[str, ...]], expected: list[tuple[str, str, bool]]
) -> None:
    assert told(*(visit_at(day, source) for day, source in enumerate(sources))) == expected


@pytest.mark.parametrize(
    ("days", "source"), [(6.999, "news"), (7, "news"), (7.001, "(direct)"), (30, "(direct)")]
)
def test_the_lookback_ends_at_so_many_days_before_the_session(days: float, source: str) -> None:
    found = told(visit_at(0, NEWS), visit_at(days, NONE), lookback_days=7)
    assert found[1] == (source, "news", True)


def test_a_direct_session_does_not_keep_a_source_alive() -> None:
    """The lookback is from the touch that named the source, not from a session that took it."""
    found = told(visit_at(0, NEWS), visit_at(6, NONE), visit_at(12, NONE), lookback_days=7)
    assert [source for source, *_ in found] == ["news", "news", "(direct)"]


@pytest.mark.parametrize(
    ("before", "expected"),
    [(NEWS, ("(not set)", "news", None)), (None, ("(not set)", "(not set)", None))],
)
def test_a_hit_outside_of_sessions_has_the_first_source_alone(
    before: tuple[str, ...] | None, expected: tuple[str, str, None]
) -> None:
    hits = [visit_at(0, before)] if before else []
    assert told(*hits, visit_at(1, ADS, opens=False))[-1] == expected


def test_clients_have_touches_of_their_own() -> None:
    other = visit_at(0, NEWS).with_columns(client_hash=pl.lit(7, pl.UInt64))
    assert told(other, visit_at(1, NONE))[-1] == ("(direct)", "(direct)", False)


@st.composite
def some_days(draw: st.DrawFn) -> pl.DataFrame:
    """Chains of hits, some of which come again days later, with lookbacks that they just meet."""
    first = hits_of(draw(visits(gap_us=GAP_US, span_us=12 * HOUR_US)), GAP_US)
    parts = [first]
    for days in draw(st.lists(st.integers(1, 3), max_size=2)):
        again = hits_of(draw(visits(gap_us=GAP_US, span_us=12 * HOUR_US)), GAP_US)
        parts.append(
            again.with_columns(
                pl.col("event_at") + days * DAY_US,
                hit_id=pl.lit(f"{len(parts):04x}") + pl.col("hit_id").str.slice(4),
            )
        )
    lookback = draw(st.sampled_from((1, 2, 90)))
    return pl.concat(parts).with_columns(attribution_lookback_days=pl.lit(lookback, pl.Int32))


@examples(60)
@given(hits=some_days(), cut=st.integers(0, 90))
def test_what_the_store_tells_of_older_hours_stands_for_them(hits: pl.DataFrame, cut: int) -> None:
    """From any hour on attribution by histories is that by all hits, in one step or in two."""
    known_from = MIDNIGHT_US + cut * HOUR_US
    joined = all_joined(hits)
    every = attributed(joined, histories_of(touches_of(joined).clear()), -(2**62))
    older = touches_of(joined).filter(pl.col("start") < known_from)

    found = attributed(joined, histories_of(older), known_from)

    later = pl.col("start") >= known_from
    assert found.schema == ATTRIBUTED_SCHEMA
    assert_frame_equal(found.filter(later), every.filter(later))
    half = pl.col("start") < MIDNIGHT_US + cut * HOUR_US // 2
    clients = older.select(CLIENT).unique()
    first = histories_of(older.filter(half))
    grown = continued(first, older.filter(~half))
    kept = first.join(grown, on=list(CLIENT), how="anti")
    whole = pl.concat([grown, kept]).sort(CLIENT)
    assert_frame_equal(whole, histories_of(older).sort(CLIENT))
    assert whole.height == clients.height


@examples(40)
@given(
    texts=st.lists(st.tuples(*[st.text(max_size=5)] * 4), min_size=1, max_size=6),
    lineages=st.lists(st.sampled_from(("live-1", "gen-0", "gen-2")), min_size=1, max_size=3),
)
def test_touches_that_are_written_are_read_again(
    texts: list[tuple[str, ...]], lineages: list[str]
) -> None:
    starts = [MIDNIGHT_US + number * 40 * MINUTE_US for number in range(len(texts))]
    touches = pl.DataFrame(
        [(1 + number % 2, 2**64 - 1 - number % 3, start, *source)
         for number, (start, source) in enumerate(zip(starts, texts, strict=True))],
        schema=TOUCH_SCHEMA,
        orient="row",
    )  # fmt: skip
    owed = touches.select(*CLIENT, hour_of("start")).unique()
    cells = pl.concat(
        encode_touches(touches, owed, lineage=lineage, version=3) for lineage in set(lineages)
    )
    decoded = decode_touches(cells)
    assert set(decoded.get_column("lineage")) == set(lineages)
    serving = dict.fromkeys((1, 2), PointerMap.serving(lineages[0]))
    found = served(decoded, serving).select(list(TOUCH_SCHEMA))
    assert_frame_equal(found, touches, check_row_order=False)


def test_an_hour_without_touches_is_written_empty_and_tells_nothing() -> None:
    owed = pl.DataFrame(
        [(1, 5, MIDNIGHT_US)],
        schema={"property_id": pl.Int64, "client_hash": pl.UInt64, "hour": pl.Int64},
        orient="row",
    )
    cells = encode_touches(TOUCH_SCHEMA.to_frame(), owed, lineage="live-1", version=1)
    assert cells.get_column("value").to_list() == [b""]
    assert decode_touches(cells).is_empty()


def test_touches_under_another_schema_number_are_refused() -> None:
    touches = pl.DataFrame([(1, 5, MIDNIGHT_US, *NEWS)], schema=TOUCH_SCHEMA, orient="row")
    owed = touches.select(*CLIENT, hour_of("start"))
    cells = encode_touches(touches, owed, lineage="live-1", version=1)
    newer = cells.with_columns(value=pl.lit(b"2\n0\ta\tb\tc\td"))
    with pytest.raises(ValueError, match="expected schema 1"):
        decode_touches(newer)


def test_only_the_lineage_that_serves_an_hour_tells_of_it() -> None:
    starts = [MIDNIGHT_US, MIDNIGHT_US + HOUR_US, MIDNIGHT_US + 2 * HOUR_US]
    touches = pl.DataFrame(
        [(1, 5, start, *NEWS) for start in starts], schema=TOUCH_SCHEMA, orient="row"
    )
    owed = touches.select(*CLIENT, hour_of("start"))
    cells = pl.concat(
        encode_touches(touches, owed, lineage=lineage, version=1) for lineage in ("live-1", "gen-1")
    )
    pointers = PointerMap.serving("live-1").publish(starts[1], starts[2], "gen-1")
    found = served(decode_touches(cells), {1: pointers})
    assert found.sort("start").select("start", "lineage").rows() == [
        (starts[0], "live-1"), (starts[1], "gen-1"), (starts[2], "live-1"),
    ]  # fmt: skip
    assert served(decode_touches(cells), {2: pointers}).is_empty()
