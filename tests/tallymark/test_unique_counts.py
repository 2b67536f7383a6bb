"""Unique counts of groups: the same as the plain way gives."""

import numpy as np
import polars as pl
import pytest

from tallymark.reports.unique_counts import NO_GROUP, Members, count_unions
from tallymark.uniques import MOST_ESTIMATED, estimates

K = 64


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("groups", [1, 2, 7])
@pytest.mark.parametrize("members", [0, K - 1, K, 3 * K, 40 * K])
@pytest.mark.parametrize("copies", [1, 30])
def test_counts_are_those_of_the_plain_way(
    seed: int, groups: int, members: int, copies: int
) -> None:
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, 2**64, max(members, 1), dtype=np.uint64)
    hashes = pool[rng.integers(0, len(pool), members * copies)]
    group = rng.integers(0, groups, len(hashes))
    found = count_unions(group, hashes, groups, K)
    plain = estimates(pl.DataFrame({"group": group, "hash": hashes}), ["group"], K)
    expected = dict(plain.iter_rows())
    assert found.tolist() == [expected.get(number, 0) for number in range(groups)]


def test_hashes_that_are_all_small_are_counted_too() -> None:
    hashes = np.arange(1, 20 * K, dtype=np.uint64)
    assert count_unions(np.zeros(len(hashes), dtype=np.int64), hashes, 1, 40 * K) == 20 * K - 1


@pytest.mark.parametrize("members", [2, 100])
def test_hashes_that_were_chosen_to_be_small_are_an_estimate_that_fits(members: int) -> None:
    hashes = np.arange(members, dtype=np.uint64)
    found = count_unions(np.zeros(members, dtype=np.int64), hashes, 1, 2)
    assert found.tolist() == [MOST_ESTIMATED]


def test_rows_without_a_group_do_not_count() -> None:
    sets = pl.DataFrame(
        {"row": [0, 1, 1, 2], "measure": ["users"] * 4, "hash": [5, 5, 6, 7]},
        schema={"row": pl.UInt32, "measure": pl.Enum(["users"]), "hash": pl.UInt64},
    )
    members = Members(sets, ["users"])
    assert members.counts("users", np.array([0, 1, NO_GROUP]), 3, K).tolist() == [1, 2, 0]


@pytest.mark.parametrize("present", [[], ["users"], ["new_users"], ["users", "new_users"]])
def test_a_measure_without_members_counts_none(present: list[str]) -> None:
    sets = pl.DataFrame(
        {"row": [0] * len(present), "measure": present, "hash": [5] * len(present)},
        schema={"row": pl.UInt32, "measure": pl.Enum(["users", "new_users"]), "hash": pl.UInt64},
    )
    members = Members(sets, ["users", "new_users"])
    for name in ("users", "new_users"):
        assert members.counts(name, np.array([0]), 1, K).tolist() == [int(name in present)]


def test_a_large_group_whose_least_members_are_copies_is_counted_in_full() -> None:
    rng = np.random.default_rng(5)
    copies = np.repeat(np.arange(1, K // 2, dtype=np.uint64), 20)
    others = rng.integers(2**63, 2**64, 9 * K, dtype=np.uint64)
    hashes = np.concatenate([copies, others, others[:K]])
    group = np.concatenate([np.zeros(len(copies) + len(others), np.int64), np.ones(K, np.int64)])
    plain = estimates(pl.DataFrame({"group": group, "hash": hashes}), ["group"], K)
    expected = dict(plain.iter_rows())
    assert count_unions(group, hashes, 2, K).tolist() == [expected[0], expected[1]]
