"""Reviews of candidates: differences and checks against a plain reading of the same cells."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores import cell_pairs
from stores.publication import Publisher
from stores.reviews import Review, review
from stores.wide_rows.port import WideRows
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.aggregates import cell_frame
from tallymark.cells import CHUNKED, SLOT_COLUMNS, encode
from tallymark.checks import (
    AUDITED,
    CHANGE_WITHIN_BOUNDS,
    NO_NEGATIVES,
    PARTS_WITHIN_TOTALS,
    SUMS_OF_PARTS,
    UNIQUES_WITHIN_4_SIGMA,
    Bounds,
    change_within_bounds,
)
from tallymark.decoded_cells import decode
from tallymark.differences import Differences
from tallymark.rollups import BY_NAME, ROLLUPS
from tests.strategies import (
    HOUR_US,
    MIDNIGHT_US,
    MINUTE_US,
    Visit,
    all_counted,
    examples,
    hits_of,
    visits,
)

GAP_US = 30 * MINUTE_US
FIRST_US, END_US = MIDNIGHT_US - 2 * HOUR_US, MIDNIGHT_US + 6 * HOUR_US
SPANS = ((FIRST_US, MIDNIGHT_US - HOUR_US), (MIDNIGHT_US, END_US))
"""On both sides of a midnight, with an hour left out."""
CANDIDATE = "gen-1"


def write(wide_rows: WideRows, hits: pl.DataFrame, lineage: str) -> None:
    if hits.is_empty():
        return
    facts = all_counted(hits)
    touched = facts.joined.select(SLOT_COLUMNS).unique()
    wide_rows.write(cell_frame(facts, touched, lineage=lineage, version=1))


def visits_of(
    clients: Sequence[int], hours: Sequence[int] = (0,), property_id: int = 3, look: int = 0
):
    return [
        Visit(client=client, property_id=property_id, event_at=MIDNIGHT_US + hour * HOUR_US,
              opens_session=True, look=look)
        for client in clients
        for hour in hours
    ]  # fmt: skip


@pytest.fixture
def store(wide_rows: WideRows) -> WideRows:
    Publisher(wide_rows, lambda: 1, who="test").live_lineage(shards=1)
    return wide_rows


def opened(folder: str) -> WideRows:
    wide_rows = SqliteWideRows(Path(folder) / "rows.sqlite")
    ticks = itertools.count(1_700_000_000_000_000)
    Publisher(wide_rows, lambda: next(ticks), who="test").live_lineage(shards=1)
    return wide_rows


def read_plainly(
    wide_rows: WideRows, lineage: str
) -> Iterator[tuple[str, int, int, tuple[str, ...], dict, dict]]:
    """(rollup, property, hour, keys, sums, sets) of each row in the spans, one cell at a time."""
    everything = wide_rows.read([(b"0", b"~")])
    for rollup in ROLLUPS:
        mine = everything.filter(
            pl.col("row_key").bin.contains(f"#{rollup.name}#".encode())
            & pl.col("row_key").bin.contains(f"#{lineage}#".encode())
        )
        decoded = decode(rollup, mine)
        sets = defaultdict(lambda: defaultdict(set))
        for row, measure, member in decoded.sets.iter_rows():
            sets[row][measure].add(member)
        for row in decoded.numbers.iter_rows(named=True):
            if any(start <= row["slot_start"] < end for start, end in SPANS):
                yield (
                    rollup.name, row["property_id"], row["slot_start"] // HOUR_US * HOUR_US,
                    tuple(row[key] for key in rollup.keys),
                    {name: row[name] for name in rollup.sums}, sets[row["row"]],
                )  # fmt: skip


def plain_metrics(wide_rows: WideRows, lineage: str) -> Counter:
    """(rollup, property, metric, hour or None) → number."""
    sums, members = Counter(), defaultdict(set)
    for rollup, owner, hour, _, numbers, sets in read_plainly(wide_rows, lineage):
        for name, number in numbers.items():
            sums[rollup, owner, name, hour] += number
            sums[rollup, owner, name, None] += number
        for name, hashes in sets.items():
            members[rollup, owner, name, hour] |= hashes
            members[rollup, owner, name, None] |= hashes
    return sums + Counter({place: len(hashes) for place, hashes in members.items()})


def plain_rows(wide_rows: WideRows, lineage: str) -> dict:
    """(rollup, property, keys) → {(hour, metric): number}, for breakdowns."""
    rows: dict = defaultdict(dict)
    members: dict = defaultdict(set)
    for rollup, owner, hour, keys, numbers, sets in read_plainly(wide_rows, lineage):
        if not keys:
            continue
        mine = rows[rollup, owner, keys]
        for name, number in numbers.items():
            mine[hour, name] = mine.get((hour, name), 0) + number
        for name, hashes in sets.items():
            members[rollup, owner, keys, hour, name] |= hashes
            mine[hour, name] = len(members[rollup, owner, keys, hour, name])
    return rows


def told_metrics(found: Review) -> dict:
    return {
        (row["rollup"], row["property_id"], row["metric"],
         None if row["hour"] is None else int(row["hour"].timestamp()) * 1_000_000):
        (row["served"], row["candidate"], row["change"])
        for row in found.differences.metrics.iter_rows(named=True)
    }  # fmt: skip


@examples(12)
@given(st.data())
def test_differences_are_those_of_a_plain_comparison(data: st.DataObject) -> None:
    both = data.draw(visits(gap_us=GAP_US, span_us=9 * HOUR_US, clients=4, properties=3))
    kept = data.draw(st.lists(st.sampled_from(range(len(both))), unique=True)) if both else []
    others = data.draw(visits(gap_us=GAP_US, span_us=9 * HOUR_US, clients=2, properties=3))
    with TemporaryDirectory() as folder:
        rows = opened(folder)
        write(rows, hits_of(both, GAP_US), "live-1")
        write(rows, hits_of([both[index] for index in kept] + others, GAP_US), CANDIDATE)
        found = review(rows, CANDIDATE, SPANS, [1, 2, 3])
        served, candidate = (plain_metrics(rows, name) for name in ("live-1", CANDIDATE))
        served_rows, candidate_rows = (plain_rows(rows, name) for name in ("live-1", CANDIDATE))
        rows.close()
    expected = {
        place: (served[place], candidate[place], candidate[place] - served[place])
        for place in served.keys() | candidate.keys()
    }
    told = told_metrics(found)
    assert {place: told[place] for place in told if place[3] is not None} == {
        place: numbers for place, numbers in expected.items() if place[3] is not None and numbers[2]
    }
    assert {
        place: numbers for place, numbers in told.items() if place[3] is None and any(numbers[:2])
    } == {
        place: numbers
        for place, numbers in expected.items()
        if place[3] is None and any(numbers[:2])
    }
    expected_rows = {}
    for place in served_rows.keys() | candidate_rows.keys():
        before, after = served_rows.get(place), candidate_rows.get(place)
        what = "appears" if before is None else "vanishes" if after is None else "changes"
        before, after = before or {}, after or {}
        differing = {
            name for hour, name in before.keys() | after.keys()
            if before.get((hour, name), 0) != after.get((hour, name), 0)
        }  # fmt: skip
        if differing or what != "changes":
            expected_rows[place] = (what, differing)
    assert {
        (row["rollup"], row["property_id"], tuple(row["keys"])): (row["what"], set(row["metrics"]))
        for row in found.differences.rows.iter_rows(named=True)
    } == expected_rows
    counted_rows = Counter()
    for counts in found.differences.row_counts.iter_rows(named=True):
        counted_rows += Counter({what: counts[what] for what in ("appears", "vanishes", "changes")})
    assert counted_rows == Counter(what for what, _ in expected_rows.values())
    assert [check.name for check in found.checks[:-1] if not check.passed] == []


def test_the_same_cells_differ_in_nothing(store: WideRows) -> None:
    hits = hits_of(visits_of(range(40), (0, 1, 2)), GAP_US)
    write(store, hits, "live-1")
    write(store, hits, CANDIDATE)
    found = review(store, CANDIDATE, SPANS, [3, 4])
    assert found.differences.is_empty
    assert not found.failed
    assert "Nothing would change, in any hour of 1 properties" in found.differences.text()
    whole = {
        (row["rollup"], row["metric"]): row["served"]
        for row in found.differences.whole_range().iter_rows(named=True)
    }
    assert whole["totals", "events"] == 120
    assert whole["totals", "users"] == whole["acquisition", "users"] == 40


def test_sets_in_chunks_are_read_in_parts_and_give_the_same(
    store: WideRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, hits_of(visits_of(range(6000), (0, 1)), GAP_US), "live-1")
    write(store, hits_of(visits_of(range(100, 6100), (0, 1)), GAP_US), CANDIDATE)
    assert store.read([(b"0", b"~")]).select(pl.col("value").bin.starts_with(CHUNKED).any()).item()
    whole = review(store, CANDIDATE, SPANS, [3])
    monkeypatch.setattr(cell_pairs, "CHUNKS_A_READ", 1)
    in_parts = review(store, CANDIDATE, SPANS, [3])
    assert in_parts.differences.to_json() == whole.differences.to_json()
    assert [check.passed for check in whole.checks] == [True] * 5
    changes = {
        row["metric"]: (row["served"], row["candidate"])
        for row in whole.differences.whole_range()
        .filter(pl.col("rollup") == "totals")
        .iter_rows(named=True)
    }
    assert changes["events"] == (12_000, 12_000)
    assert changes["users"] == pytest.approx((6000, 6000), rel=4 / np.sqrt(4094))


def test_a_property_is_compared_with_what_its_overrides_serve(store: WideRows) -> None:
    write(store, hits_of(visits_of([1, 2, 3]), GAP_US), "live-1")
    write(store, hits_of(visits_of([1, 2]), GAP_US), CANDIDATE)
    write(store, hits_of(visits_of([1]), GAP_US), "gen-2")
    ticks = itertools.count(1_700_000_000_000_000)
    publisher = Publisher(store, lambda: next(ticks), who="test")
    for _ in range(2):
        publisher.lineages.draw(state="candidate", targets=(SPANS[1],), property_id=3)
    publisher.publish(CANDIDATE)
    found = review(store, "gen-2", [SPANS[1]], [3])
    [events] = found.differences.whole_range().filter(
        (pl.col("rollup") == "totals") & (pl.col("metric") == "events")
    ).iter_rows(named=True)  # fmt: skip
    assert (events["served"], events["candidate"]) == (2, 1)
    beside = review(store, "gen-2", [SPANS[1]], [3], against="live-1")
    assert beside.differences.to_json()["against"] == "live-1"
    assert "from 3 to 1" not in beside.differences.text()
    assert "-66.7%" in beside.differences.text({3: "G-SHOP"})
    assert "property 3 (G-SHOP)" in beside.differences.text({3: "G-SHOP"})


def broken(
    store: WideRows, rollup_name: str, change: pl.Expr | None, *, without: str = ""
) -> Review:
    """A candidate in which one rollup's rows are changed, as a bug would write them."""
    hits = hits_of(visits_of(range(50), (0, 1), look=3), GAP_US)
    write(store, hits, "live-1")
    write(store, hits, CANDIDATE)
    rollup = BY_NAME[rollup_name]
    mine = store.read([(b"0", b"~")]).filter(
        pl.col("row_key").bin.contains(f"#{rollup_name}#".encode())
        & pl.col("row_key").bin.contains(b"#gen-1#")
    )
    decoded = decode(rollup, mine)
    rows = decoded.numbers.with_columns(*([] if change is None else [change]))
    for name in rollup.uniques:
        members = decoded.sets.filter(pl.col("measure") == name)
        if name == without:
            members = members.filter(pl.col("hash") % 5 == 0)
        lists = members.group_by("row").agg(pl.col("hash").sort().alias(name))
        rows = rows.join(lists, on="row", how="left").with_columns(pl.col(name).fill_null([]))
    touched = rows.select(SLOT_COLUMNS).unique()
    store.write(encode(rollup, rows, touched, lineage=CANDIDATE, version=2))
    return review(store, CANDIDATE, SPANS, [3])


@pytest.mark.parametrize(
    ("fault", "check", "told"),
    [
        (
            ("acquisition", pl.col("sessions") + 1, ""),
            SUMS_OF_PARTS,
            "sessions 51, expected 50",
        ),
        (("events", pl.col("events") - 1, ""), SUMS_OF_PARTS, "events 49, expected 50"),
        (("pages", pl.col("entrances") - 51, ""), NO_NEGATIVES, "entrances -51, expected 0"),
        (("totals", None, "users"), PARTS_WITHIN_TOTALS, "users"),
        (("technology", None, "users"), UNIQUES_WITHIN_4_SIGMA, "expected 50"),
    ],
)
def test_a_candidate_that_does_not_add_up_is_named_with_its_first_fault(
    store: WideRows, fault: tuple[str, pl.Expr | None, str], check: str, told: str
) -> None:
    rollup, change, without = fault
    found = broken(store, rollup, change, without=without)
    by_name = {result.name: result for result in found.checks}
    assert not by_name[check].passed
    assert told in by_name[check].reason
    assert "property 3 at 2023-11-15T00:00" in by_name[check].reason
    assert by_name[check].numbers["findings"] > 0
    assert len(by_name[check].examples) <= 20
    assert {result.name for result in found.failed} <= {check, *(
        () if without == "" else (UNIQUES_WITHIN_4_SIGMA, CHANGE_WITHIN_BOUNDS)
    )}  # fmt: skip


def test_refunds_may_be_negative(store: WideRows) -> None:
    hits = hits_of(visits_of(range(3), look=3), GAP_US).with_columns(
        value_micros=-pl.col("value_micros")
    )
    write(store, hits, CANDIDATE)
    found = review(store, CANDIDATE, SPANS, [3])
    assert {result.name for result in found.checks if result.passed} >= set(AUDITED)


def test_a_breakdown_that_is_missing_does_not_add_up(store: WideRows) -> None:
    write(store, hits_of(visits_of(range(3)), GAP_US), CANDIDATE)
    landing = store.read([(b"0", b"~")]).filter(pl.col("row_key").bin.contains(b"#landing#"))
    key = landing["row_key"].item(0)
    store.delete([(key, key + b"\x00")])
    found = review(store, CANDIDATE, SPANS, [3])
    assert [result.name for result in found.failed] == [SUMS_OF_PARTS, UNIQUES_WITHIN_4_SIGMA]


CHANGES = ((200, 240), (200, 241), (200, 159), (200, 0), (0, 200), (40, 90), (40, 110), (200, 210))
"""Visitors of what is served and of the candidate."""


@pytest.fixture(name="compared", scope="module")
def _compared(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Differences]:
    """For each change the differences of a property in which it happened."""
    rows = opened(str(tmp_path_factory.mktemp("changes")))
    for lineage, side in (("live-1", 0), (CANDIDATE, 1)):
        visited = [
            visits_of(range(change[side]), property_id=owner)
            for owner, change in enumerate(CHANGES, 1)
        ]
        write(rows, hits_of(list(itertools.chain(*visited)), GAP_US), lineage)
    found = review(rows, CANDIDATE, SPANS, range(1, 1 + len(CHANGES))).differences
    rows.close()
    return {
        change: replace(found, metrics=found.metrics.filter(pl.col("property_id") == owner))
        for owner, change in enumerate(CHANGES, 1)
    }


@pytest.mark.parametrize(
    ("change", "bounds", "passes"),
    [
        ((200, 240), Bounds(), True),
        ((200, 241), Bounds(), False),
        ((200, 159), Bounds(), False),
        ((200, 0), Bounds(), False),
        ((0, 200), Bounds(), True),
        ((40, 90), Bounds(), True),
        ((40, 110), Bounds(), False),
        ((40, 90), Bounds(least=10), False),
        ((200, 210), Bounds(relative=0.01), False),
    ],
)
@pytest.mark.parametrize("is_acknowledged", [False, True])
def test_a_change_is_held_to_its_bounds_unless_it_is_acknowledged(
    compared: dict, change: tuple[int, int], bounds: Bounds, passes: bool, is_acknowledged: bool
) -> None:
    check = change_within_bounds(compared[change], bounds, is_acknowledged=is_acknowledged)
    assert check.passed is (passes or is_acknowledged)
    assert ("of property" in check.reason) is not passes
    assert ("acknowledged" in check.reason) is (is_acknowledged and not passes)


@pytest.mark.parametrize("is_acknowledged", [False, True])
def test_a_review_holds_changes_to_the_bounds_that_it_is_given(
    store: WideRows, is_acknowledged: bool
) -> None:
    write(store, hits_of(visits_of(range(10)), GAP_US), "live-1")
    write(store, hits_of(visits_of(range(11)), GAP_US), CANDIDATE)
    bounds = Bounds(relative=0.05, least=10)
    found = review(store, CANDIDATE, SPANS, [3], bounds=bounds, is_acknowledged=is_acknowledged)
    check = found.checks[-1]
    assert check == change_within_bounds(found.differences, bounds, is_acknowledged=is_acknowledged)
    assert check.passed is is_acknowledged


def test_bounds_below_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Bounds(relative=-0.1)


def test_progress_is_told_by_properties(store: WideRows) -> None:
    told: list[tuple[int, int]] = []
    review(store, CANDIDATE, SPANS, range(1, 41), report=lambda done, of: told.append((done, of)))
    assert told == [(0, 40), (32, 40), (40, 40)]
