"""Unique counts: exact while they can be, unbiased beyond, right over any partition."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.uniques import MOST_ESTIMATED, estimates, least_hashes
from tests.strategies import examples

HASHES = st.integers(0, 2**64 - 1)


def least(members: list[int], k: int) -> list[int]:
    frame = pl.DataFrame({"hash": members}, schema={"hash": pl.UInt64})
    return frame.select(least_hashes(pl.col("hash"), k).implode()).to_series().to_list()[0]  # type: ignore[no-any-return]


def count(members: list[int] | np.ndarray, k: int) -> int:
    frame = pl.DataFrame({"hash": pl.Series(members, dtype=pl.UInt64)})
    return int(estimates(frame, [], k).get_column("count").item())


@examples(60)
@given(
    members=st.lists(HASHES, min_size=1, max_size=60),
    parts=st.lists(st.integers(0, 3), min_size=60, max_size=60),
    k=st.integers(2, 40),
)
def test_the_union_of_the_sets_of_a_partition_is_the_set_of_all(
    members: list[int], parts: list[int], k: int
) -> None:
    pieces = [
        least([member for member, part in zip(members, parts, strict=False) if part == number], k)
        for number in range(4)
    ]
    united = [member for piece in pieces for member in piece]
    assert least(united, k) == least(members, k) == sorted(set(members))[:k]
    assert count(united, k) == count(members, k)


@pytest.mark.parametrize("members", [[0, 1], [0, 1, 2]])
def test_hashes_that_were_chosen_to_be_small_are_very_many_and_no_error(members: list[int]) -> None:
    assert count(members, 2) == MOST_ESTIMATED


@examples(60)
@given(members=st.sets(HASHES, min_size=1, max_size=30), k=st.integers(2, 31))
def test_counts_below_k_are_exact(members: set[int], k: int) -> None:
    if len(members) < k:
        assert count([*members, *members], k) == len(members)


@pytest.mark.parametrize("k", [1024, 4096])
@pytest.mark.parametrize("distinct", [1_000, 5_000, 60_000, 500_000])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_estimates_lie_within_four_standard_errors(k: int, distinct: int, seed: int) -> None:
    members = np.random.default_rng(seed).integers(0, 2**64, distinct, dtype=np.uint64)
    repeated = np.concatenate([members, members[: distinct // 3]])
    estimate = count(repeated, k)
    if distinct < k:
        assert estimate == distinct
    else:
        assert abs(estimate / distinct - 1) <= 4 / np.sqrt(k - 2)


@pytest.mark.parametrize("k", [1024, 4096])
def test_many_overlapping_sets_unite_as_if_they_were_one(k: int) -> None:
    """The shortcut that cuts large unions at a threshold changes no answer."""
    random = np.random.default_rng(7)
    everyone = random.integers(0, 2**64, 30_000, dtype=np.uint64)
    hours = [np.sort(np.unique(random.choice(everyone, 12_000)))[:k] for _ in range(48)]
    united = np.unique(np.concatenate(hours))[:k]
    assert count(np.concatenate(hours), k) == count(united, k)


def test_groups_are_counted_apart() -> None:
    rows = pl.DataFrame(
        {"page": ["a", "a", "a", "b"], "hash": [1, 2, 2, 2]},
        schema={"page": pl.String, "hash": pl.UInt64},
    )
    assert estimates(rows, ["page"], 10).sort("page").rows() == [("a", 2), ("b", 1)]


@pytest.mark.parametrize("distinct", [9, 10, 11])
def test_a_group_is_counted_as_it_would_be_alone(distinct: int) -> None:
    """Below, at and above k."""
    members = np.random.default_rng(3).integers(0, 2**64, distinct, dtype=np.uint64)
    grouped = pl.DataFrame({"page": "a", "hash": members})
    counted = estimates(grouped, ["page"], 10).get_column("count").item()
    assert counted == count(members, 10)
    assert distinct >= 10 or counted == distinct


def test_the_smallest_and_the_largest_hash_are_members_like_any() -> None:
    assert count([0, 2**64 - 1], 3) == 2
    assert least([2**64 - 1, 0, 2**63], 2) == [0, 2**63]
