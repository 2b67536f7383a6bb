"""What late hits explain of the difference between streamed and sealed hours, and what not."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.aggregates import cell_frame
from tallymark.cells import SLOT_COLUMNS
from tallymark.decoded_cells import DecodedCells, decode
from tallymark.divergences import (
    KEPT_OF_AN_HOUR,
    Divergences,
    Explanations,
    LiveAudit,
    dependence,
    divergence_text,
    reach,
    streamed_spans,
)
from tallymark.pointer_map import PointerMap
from tallymark.rollups import BY_NAME, ROLLUPS
from tests.strategies import (
    GAPS_MINUTES,
    HOUR_US,
    MIDNIGHT_US,
    MINUTE_US,
    SESSION_ALIGNMENT_US,
    Visit,
    all_counted,
    examples,
    hits_of,
    visits,
)

L = SESSION_ALIGNMENT_US
GAP_US = 30 * MINUTE_US
EVERYTHING = [(MIDNIGHT_US - 48 * HOUR_US, MIDNIGHT_US + 96 * HOUR_US)]


def cells_of(hits: pl.DataFrame, lineage: str = "live-1") -> dict[str, DecodedCells]:
    """What is counted of hits, by rollup."""
    facts = all_counted(hits)
    touched = facts.joined.select(SLOT_COLUMNS).unique()
    cells = cell_frame(facts, touched, lineage=lineage, version=1)
    return {
        rollup.name: decode(
            rollup, cells.filter(pl.col("row_key").bin.contains(f"#{rollup.name}#".encode()))
        )
        for rollup in ROLLUPS
    }


def audited(
    live: pl.DataFrame, sealed: pl.DataFrame, explanations: Explanations, spans=EVERYTHING
) -> Divergences:
    audit, streamed, computed = LiveAudit(explanations), cells_of(live), cells_of(sealed)
    for rollup in ROLLUPS:
        audit.add(rollup, streamed[rollup.name], computed[rollup.name], spans)
    return audit.result()


def hour_of(at_us: int) -> int:
    return at_us // HOUR_US * HOUR_US


@examples(30)
@given(st.data(), st.sampled_from(GAPS_MINUTES))
def test_whatever_late_hits_change_is_explained_by_them(data: st.DataObject, gap: int) -> None:
    gap_us = gap * MINUTE_US
    all_of_them = data.draw(visits(gap_us=gap_us, span_us=30 * HOUR_US))
    places = st.integers(0, max(0, len(all_of_them) - 1))
    late_ones = data.draw(st.sets(places, max_size=2)) if all_of_them else set()
    hits = hits_of(all_of_them, gap_us)
    late = {
        (all_of_them[place].property_id, hour_of(all_of_them[place].event_at))
        for place in late_ones
    }
    on_time = hits.filter(~pl.int_range(pl.len()).is_in(late_ones))
    gaps = {visit.property_id: gap_us for visit in all_of_them}
    found = audited(on_time, hits, Explanations.of(late, session_gaps_us=gaps))
    assert found.examples.to_dicts() == []
    assert set(found.explained_hours()) >= {hour for _, hour in late}
    assert found.check().passed


def test_a_late_hit_that_joins_two_runs_changes_where_the_later_is_cut() -> None:
    """A run from 00:10 on is cut at 08:00; if it began before midnight, at 04:00 too."""
    steps = [-60, -35, -10, *range(10, 470, 20)]
    hits = hits_of(
        [
            Visit(client=0, property_id=1, event_at=MIDNIGHT_US + minute * MINUTE_US,
                  opens_session=True, look=0)
            for minute in steps
        ],
        GAP_US,
    )  # fmt: skip
    on_time = hits.filter(pl.col("event_at") != MIDNIGHT_US - 10 * MINUTE_US)
    late = Explanations.of({(1, MIDNIGHT_US - HOUR_US)}, session_gaps_us={1: GAP_US})
    found = audited(on_time, hits, late)
    assert found.examples.is_empty()
    assert MIDNIGHT_US + 4 * HOUR_US in found.explained_hours()


def test_a_late_sale_takes_the_value_from_what_repeats_it_in_a_later_hour() -> None:
    first, again = (
        Visit(client=0, property_id=1, event_at=MIDNIGHT_US + at, opens_session=True, look=15)
        for at in (0, 3 * HOUR_US)
    )
    hits = hits_of([first, again], GAP_US)
    late = Explanations.of({(1, MIDNIGHT_US)}, session_gaps_us={1: GAP_US})
    found = audited(hits[1:], hits, late)
    assert found.examples.is_empty()
    assert MIDNIGHT_US + 3 * HOUR_US in found.explained_hours()


@examples(25)
@given(st.data())
def test_a_hit_that_one_side_lost_is_found_unless_late_hits_lie_around_it(
    data: st.DataObject,
) -> None:
    all_of_them = data.draw(visits(gap_us=GAP_US, span_us=30 * HOUR_US))
    if not all_of_them:
        return
    lost = data.draw(st.integers(0, len(all_of_them) - 1))
    late = data.draw(st.sets(st.tuples(st.integers(1, 2), st.integers(-2, 28)), max_size=3))
    hits, visit = hits_of(all_of_them, GAP_US), all_of_them[lost]
    fewer = hits.filter(pl.int_range(pl.len()) != lost)
    announced = {(owner, MIDNIGHT_US + hour * HOUR_US) for owner, hour in late}
    explanations = Explanations.of(announced, session_gaps_us={1: GAP_US, 2: GAP_US})
    where = (visit.property_id, hour_of(visit.event_at))
    found = audited(fewer, hits, explanations)
    assert (where[1] in found.unexplained_hours()) == (where not in announced)
    # What shrinks was never late.
    assert where[1] in audited(hits, fewer, explanations).unexplained_hours()


@pytest.mark.parametrize(
    ("what", "hour", "gap_minutes", "first", "end"),
    [
        ("in the middle of a multiple of L", 5, 30, 0, 12),
        ("just before the next one, a gap away from it", 7, 30, 0, 16),
        ("a long gap reaches over the multiple from its second hour on", 5, 240, 0, 16),
        ("the first hour with the longest gap", 4, 240, 0, 16),
        ("the first hour with a short gap", 4, 30, 0, 12),
    ],
)
def test_a_late_hit_reaches_the_sessions_around_it(
    what: str, hour: int, gap_minutes: int, first: int, end: int
) -> None:
    reached = reach(MIDNIGHT_US + hour * HOUR_US, gap_minutes * MINUTE_US)
    found = [(at - MIDNIGHT_US) // HOUR_US for at in (reached.start_us, reached.end_us)]
    assert found == [first, end], what


LATE = Explanations.of({(1, MIDNIGHT_US + 5 * HOUR_US)}, {(1, MIDNIGHT_US + 42 * HOUR_US)},
                       {1: GAP_US})  # fmt: skip


@pytest.mark.parametrize(
    ("what", "number", "hour", "change", "explained"),
    [
        ("hits of its own hour", "totals events", 5, 1, True),
        ("totals do not shrink by late hits", "totals events", 5, -1, False),
        ("money may be taken back", "totals value_micros", 5, -1, True),
        ("an event may be folded into others", "events events", 5, -1, True),
        ("hits of the next hour", "totals events", 6, 1, False),
        ("users are hits' too", "minutes users", 6, 1, False),
        ("sessions that may hold it", "totals sessions", 6, 1, True),
        ("sessions, fewer of them", "totals sessions", 11, -1, True),
        ("engaged clients", "totals active_users", 11, -1, True),
        ("sessions beyond its reach", "totals sessions", 12, 1, False),
        ("the page a session began on", "landing events", 0, 1, True),
        ("a page", "pages views", 12, 1, False),
        ("where later sessions came from", "acquisition events", 30, 1, True),
        ("where clients came from first", "first_user users", 30, 1, True),
        ("whether they are new", "visitors sessions", 30, 1, True),
        ("nothing late came before", "acquisition events", -1, 1, False),
    ],
)
def test_numbers_are_explained_by_what_they_are_counted_of(
    what: str, number: str, hour: int, change: int, explained: bool
) -> None:
    rollup, metric = number.split()
    told = {"rollup": rollup, "metric": metric, "hour": hour, "change": change}
    assert marked(LATE, owner=1, **told) is explained, what
    assert marked(LATE, owner=2, **told) is False, "of another property"


def marked(
    explanations: Explanations, *, owner: int, rollup: str, metric: str, hour: int, change: int
) -> bool:
    row = {"property_id": owner, "hour": MIDNIGHT_US + hour * HOUR_US, "rollup": rollup,
           "row": "", "metric": metric, "live": 7, "sealed": 7 + change}  # fmt: skip
    [is_explained] = explanations.marked(pl.DataFrame([row]))["is_explained"]
    return is_explained


@pytest.mark.parametrize(("hour", "explained"), [(39, False), (40, True), (43, True), (44, False)])
def test_changed_touches_explain_their_multiple_of_l_alone(hour: int, explained: bool) -> None:
    stale = Explanations.of((), {(1, MIDNIGHT_US + 42 * HOUR_US)})
    for rollup, is_explained in (("acquisition", explained), ("totals", False)):
        number = {"rollup": rollup, "metric": "events", "hour": hour, "change": 1}
        assert marked(stale, owner=1, **number) is is_explained


@pytest.mark.parametrize(("hour", "explained"), [(-1, False), (0, True), (11, True), (12, False)])
def test_rules_that_had_changed_explain_anything_that_their_hits_reach(
    hour: int, explained: bool
) -> None:
    wrong = Explanations.of((), (), {1: GAP_US}, misruled={(1, MIDNIGHT_US + 5 * HOUR_US)})
    for rollup, metric in (("totals", "events"), ("totals", "sessions"), ("pages", "views")):
        for change in (-1, 1):
            number = {"rollup": rollup, "metric": metric, "hour": hour, "change": change}
            assert marked(wrong, owner=1, **number) is explained
            assert marked(wrong, owner=2, **number) is False
    later = {"rollup": "acquisition", "metric": "events", "hour": 30, "change": 1}
    assert marked(wrong, owner=1, **later), "where later sessions came from"


def test_every_number_of_every_rollup_depends_on_something() -> None:
    told = {
        rollup.name: {dependence(rollup.name, name) for name in (*rollup.sums, *rollup.uniques)}
        for rollup in ROLLUPS
    }
    assert told["totals"] == told["events"] == {"hits", "sessions"}
    assert told["minutes"] == {"hits"}
    assert told["pages"] == told["landing"] == told["technology"] == {"sessions"}
    assert told["acquisition"] == told["first_user"] == told["visitors"] == {"touches"}


def visit(client: int, hour: int = 0, look: int = 0) -> Visit:
    return Visit(client=client, property_id=3, event_at=MIDNIGHT_US + hour * HOUR_US,
                 opens_session=True, look=look)  # fmt: skip


def test_other_clients_are_a_difference_though_as_many_are_counted() -> None:
    live, sealed = (hits_of([visit(one), visit(2)], GAP_US) for one in (0, 1))
    found = audited(live, sealed, Explanations.of(()))
    assert set(found.examples["metric"]) == {"users", "active_users", "new_users"}
    assert found.unexplained_hours() == [MIDNIGHT_US]


def test_rows_that_swap_are_a_difference_though_they_add_up() -> None:
    """Looks 24 and 36 name the two sources."""
    looks = ((24, 24, 36), (24, 36, 36))
    live, sealed = (
        hits_of([visit(client, look=look) for client, look in enumerate(mine)], GAP_US)
        for mine in looks
    )
    found = audited(live, sealed, Explanations.of(())).examples.filter(
        (pl.col("rollup") == "acquisition") & (pl.col("metric") == "sessions")
    )
    assert {row["row"].split(" / ")[0]: (row["live"], row["sealed"]) for row in found.to_dicts()} \
        == {"google": (2, 1), "letter": (1, 2)}  # fmt: skip


def test_hours_that_were_not_streamed_are_left_out() -> None:
    live, sealed = hits_of([], GAP_US), hits_of([visit(0, 1), visit(1, 3)], GAP_US)
    spans = [(MIDNIGHT_US + 3 * HOUR_US, MIDNIGHT_US + 4 * HOUR_US)]
    found = audited(live, sealed, Explanations.of(()), spans)
    assert found.unexplained_hours() == [MIDNIGHT_US + 3 * HOUR_US]
    assert found.check().numbers["hours"] == 1


def test_what_live_lineages_serve_is_streamed() -> None:
    served = PointerMap.serving("live-1").publish(0, 10 * HOUR_US, "gen-2")
    served = served.publish(12 * HOUR_US, 20 * HOUR_US, "live-2")
    found = streamed_spans(served, [(8 * HOUR_US, 16 * HOUR_US), (-HOUR_US, 2 * HOUR_US)])
    assert [(start // HOUR_US, end // HOUR_US) for start, end in found] == [
        (-1, 0), (10, 12), (12, 16),
    ]  # fmt: skip


def test_an_alert_says_how_many_hours_differ_and_shows_an_example() -> None:
    live = hits_of([visit(client) for client in range(30)], GAP_US)
    sealed = hits_of([visit(client) for client in range(31)] + [visit(1, 2)], GAP_US)
    found = audited(live, sealed, Explanations.of(()))
    check = found.check()
    assert not check.passed
    assert "2 hours of 144 differ from live beyond late hits" in check.reason
    assert check.numbers["hours beyond late hits"] == 2
    assert check.examples[0]["hour"] == "2023-11-15T00Z"
    first = found.examples.row(0, named=True)
    assert divergence_text(first | {"rollup": "totals", "metric": "events", "row": ""}) == (
        "2023-11-15T00Z property 3: totals events was 30 live and is 31"
    )


def test_all_divergences_are_counted_and_some_are_told() -> None:
    sealed = hits_of([visit(client, look=client * 13) for client in range(200)], GAP_US)
    found = audited(hits_of([], GAP_US), sealed, Explanations.of(()))
    assert found.examples.height == KEPT_OF_AN_HOUR
    assert found.counts["unexplained"].sum() > KEPT_OF_AN_HOUR
    assert BY_NAME[found.examples["rollup"][0]] is ROLLUPS[0]
