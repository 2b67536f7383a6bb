"""Blocks of an import: planned before they are made, and made as they were planned."""

from itertools import pairwise

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from stores.archive.spool_runs import runs_of
from tallymark.blocks import MAX_REQUESTS, Block
from tallymark.imports.blocks import (
    MINUTE_US,
    SEALING_US,
    WINDOW_REQUESTS,
    BlockPlan,
    blocks_of,
    minutes_of,
    plan_of,
)
from tallymark.imports.conversion import imported
from tallymark.slots import HOUR_US

HOUR = 1_604_188_800_000_000  # 2020-11-01T00
NOW_US = HOUR + 10_000 * HOUR_US
SPOOL = "import-7-0123456789abcdef"


def _requests(instants: list[int]) -> pl.DataFrame:
    return imported(pl.DataFrame({"row": range(1, len(instants) + 1), "received_at": instants}))


def _plan(requests: pl.DataFrame, now_us: int = NOW_US) -> BlockPlan:
    return plan_of(SPOOL, minutes_of(requests), now_us)


def _blocks(requests: pl.DataFrame, plan: BlockPlan) -> list[Block]:
    """Made window by window, each of its requests in another order than the file's."""
    made = []
    for window in plan.windows:
        within = pl.col("received_at").is_between(window.start_us, window.end_us, closed="left")
        made.extend(blocks_of(requests.filter(within).reverse(), window, plan.spool_id))
    return made


def _hold_the_plan(requests: pl.DataFrame, plan: BlockPlan) -> list[Block]:
    blocks = _blocks(requests, plan)
    opening, closing = plan.ends
    everything = [opening, *blocks, closing]
    assert [block.number for block in everything] == list(range(1, len(everything) + 1))
    assert sum(window.requests for window in plan.windows) == len(requests)
    frontiers = [block.frontier for block in everything]
    assert frontiers == sorted(frontiers)
    for before, block in pairwise(everything[:-1]):
        times = block.frame().get_column("received_at")
        hour = times[0] // HOUR_US * HOUR_US
        assert 1 <= block.requests == len(times) <= MAX_REQUESTS
        assert times.is_sorted()
        assert block.received_hour == hour
        assert before.frontier <= max(times[0], hour + 1)
        assert times[-1] <= block.frontier <= hour + HOUR_US
    return everything


INSTANTS = st.lists(
    st.tuples(st.integers(0, 80), st.integers(0, 3), st.integers(0, 1)).map(
        lambda at: HOUR + at[0] * HOUR_US + at[1] * 20 * MINUTE_US + at[2] * 1_500
    ),
    min_size=1,
    max_size=60,
)


@given(INSTANTS)
def test_blocks_are_numbered_without_a_hole_and_none_crosses_an_hour(instants: list[int]) -> None:
    requests = _requests(instants)
    blocks = _hold_the_plan(requests, _plan(requests))

    ids = pl.concat([block.frame() for block in blocks[1:-1]]).get_column("request_id")
    assert ids.n_unique() == len(instants)
    assert ids.is_sorted()
    assert ids.str.slice(12, 1).unique().to_list() == ["7"], "version of a UUID"


@given(INSTANTS, st.randoms(use_true_random=False))
def test_the_same_requests_read_in_other_parts_come_to_the_same_blocks(
    instants: list[int], random: object
) -> None:
    requests = _requests(instants)
    cut = random.randint(0, len(instants))  # type: ignore[attr-defined]
    parts = pl.concat([minutes_of(requests[:cut]), minutes_of(requests[cut:])])

    assert plan_of(SPOOL, parts, NOW_US) == _plan(requests)


def test_much_of_one_hour_is_cut_into_blocks_and_windows() -> None:
    count = 3 * WINDOW_REQUESTS
    requests = _requests([HOUR + at * (HOUR_US // count) for at in range(count)])
    plan = _plan(requests)
    _hold_the_plan(requests, plan)

    assert [window.requests for window in plan.windows] == [WINDOW_REQUESTS] * 3


def test_a_minute_with_more_than_a_window_takes_is_a_window_of_its_own() -> None:
    requests = _requests([HOUR] * (WINDOW_REQUESTS + 1) + [HOUR + MINUTE_US])
    plan = _plan(requests)
    _hold_the_plan(requests, plan)

    assert [window.requests for window in plan.windows] == [WINDOW_REQUESTS + 1, 1]


def test_hours_are_complete_when_all_is_there_and_not_while_a_block_is_missing() -> None:
    requests = _requests([HOUR + at * HOUR_US // 2 for at in range(12)])
    everything = _hold_the_plan(requests, _plan(requests))

    def is_covered(blocks: list[Block], hour: int) -> bool:
        numbers, frontiers, kinds = zip(
            *((block.number, block.frontier, block.kind) for block in blocks), strict=True
        )
        return any(run.covers(HOUR + hour * HOUR_US) for run in runs_of(numbers, frontiers, kinds))

    assert all(is_covered(everything, hour) for hour in range(-1, 8))
    without = [block for block in everything if block.number != 5]
    covered = [hour for hour in range(-1, 8) if is_covered(without, hour)]
    assert covered == [-1, 0, 1, 2, 5, 6, 7], "the hour that lacks a block, and the one behind it"


def test_the_closing_block_lets_the_last_hour_be_sealed_but_says_nothing_of_the_future() -> None:
    requests = _requests([HOUR + 5])
    assert _plan(requests).closing_frontier == HOUR + HOUR_US + SEALING_US
    assert _plan(requests, HOUR + 2 * HOUR_US).closing_frontier == HOUR + 2 * HOUR_US
    assert _plan(requests, HOUR + 6).closing_frontier == HOUR + MINUTE_US
