"""Unique counts of groups of rows: each is that of the union of the sets of its rows.

The same counts as ``uniques.estimates`` gives, faster where a report reads many sets.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tallymark.uniques import HASH_SPACE

NO_GROUP: Final = -1
"""The group of a row that does not count."""
_EXPECTED_BELOW: Final = (2, 16)
"""Members, in multiples of k, that a guessed threshold is to let through, duplicates included;
more when too few of them were distinct."""
_MARGIN: Final = 1.3
"""How many times k distinct members are expected below a threshold where their number is known."""
_BELOW_HASH_SPACE: Final = float(2**64 - 2**11)
"""The largest float that a 64-bit number can hold."""


class Members:
    """The members of the unique sets of a read, by measure."""

    def __init__(self, sets: pl.DataFrame, measures: Sequence[str]) -> None:
        only = sets.get_column("measure").unique().len() <= 1
        parts = {
            name: sets if only else sets.filter(pl.col("measure") == name) for name in measures
        }
        self._parts = {
            name: (part.get_column("row").to_numpy(), part.get_column("hash").to_numpy())
            for name, part in parts.items()
        }

    def counts(
        self, measure: str, group_of_row: npt.NDArray[np.int64], groups: int, k: int
    ) -> pl.Series:
        """The unique count of each group, Int64.

        Args:
            measure: One of the measures.
            group_of_row: For each row of the read its group, or ``NO_GROUP``.
            groups: How many groups there are, numbered from 0.
            k: How many hashes the sets keep.
        """
        rows, hashes = self._parts[measure]
        group = group_of_row[rows]
        inside = group != NO_GROUP
        if not inside.all():
            group, hashes = group[inside], hashes[inside]
        return pl.Series(measure, count_unions(group, hashes, groups, k))


def count_unions(
    group: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64], groups: int, k: int
) -> npt.NDArray[np.int64]:
    """For each group how many members the union of its sets has, exact below ``k``.

    Args:
        group: Of each member, from 0.
        hashes: Of each member; a member may come many times.
        groups: How many groups there are.
        k: How many of the least hashes the united sets keep.
    """
    if groups == 1:
        return np.array([_count_union(hashes, k)])
    distinct = (
        pl.DataFrame({"group": group, "hash": hashes})
        .group_by("group")
        .agg(pl.col("hash").n_unique())
    )
    counts = np.zeros(groups, dtype=np.int64)
    counts[distinct.get_column("group").to_numpy()] = distinct.get_column("hash").to_numpy()
    if (counts >= k).any():
        _estimate_large(counts, group, hashes, k)
    return counts


def _estimate_large(
    counts: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
    hashes: npt.NDArray[np.uint64],
    k: int,
) -> None:
    """Put estimates in place of the counts from k on.

    Sets are cut at k, so such a count is only of what was kept. The k-th hash is sought among the
    least ones alone, and among all where they were too few.
    """
    large = np.flatnonzero(counts >= k)
    share = np.zeros(len(counts))
    share[large] = np.minimum(1.0, _MARGIN * k / counts[large])
    below = hashes < (share * _BELOW_HASH_SPACE).astype(np.uint64)[group]
    least_group, least_hashes = group[below], hashes[below]
    for index in large:
        members = _distinct(least_hashes[least_group == index])
        if len(members) < k:
            members = _distinct(hashes[group == index])
        counts[index] = _estimate(members, k)


def _count_union(hashes: npt.NDArray[np.uint64], k: int) -> int:
    """The count of one group: no more members are sorted than the k least need."""
    for expected in _EXPECTED_BELOW:
        if len(hashes) > 2 * expected * k:
            threshold = np.uint64(expected * k / len(hashes) * HASH_SPACE)
            below = _distinct(hashes[hashes < threshold])
            if len(below) >= k:
                return _estimate(below, k)
    members = _distinct(hashes)
    return len(members) if len(members) < k else _estimate(members, k)


def _distinct(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    ordered = np.sort(hashes)
    is_first = np.ones(len(ordered), dtype=bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_first]


def _estimate(members: npt.NDArray[np.uint64], k: int) -> int:
    return round((k - 1) / (float(members[k - 1]) / HASH_SPACE))
