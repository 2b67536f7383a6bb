"""Unique counts of groups of rows: each is that of the union of the sets of its rows.

The same counts as ``uniques.estimates`` gives, faster where a report reads many sets.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tallymark.uniques import HASH_SPACE, MOST_ESTIMATED

NO_GROUP: Final = -1
"""The group of a row that does not count."""
_EXPECTED_BELOW: Final = 2
"""Members, in multiples of k, that a guessed limit is to let through; the next guess knows how many
copies there are of each."""
_GUESSES: Final = 2
_EXPECTED_OF_GROUP: Final = 4
"""The same for each of several groups, copies included: guessing again costs more there."""
_BELOW_HASH_SPACE: Final = float(2**64 - 2**11)
"""The largest float that a 64-bit number can hold."""


class Members:
    """The members of the unique sets of a read, by measure.

    Args:
        sets: As ``DecodedCells`` has them.
        measures: Those that are counted.
        weights: As ``DecodedCells`` has them.
    """

    def __init__(
        self,
        sets: pl.DataFrame,
        measures: Sequence[str],
        weights: Mapping[str, npt.NDArray[np.int64]] | None = None,
    ) -> None:
        self._weights = weights or {}
        self._parts: dict[str, tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64]]] = {}
        if not measures:
            return
        rows, hashes = sets.get_column("row").to_numpy(), sets.get_column("hash").to_numpy()
        measure = sets.get_column("measure")
        assert isinstance(measure.dtype, pl.Enum)
        codes = measure.to_physical().to_numpy()
        numbers = {name: measure.dtype.categories.to_list().index(name) for name in measures}
        for name, number in numbers.items():
            mine = codes == number
            # Mostly all are of one measure, and need not be copied.
            self._parts[name] = (rows, hashes) if mine.all() else (rows[mine], hashes[mine])

    def counts(
        self, measure: str, group_of_row: npt.NDArray[np.int64], groups: int, k: int
    ) -> npt.NDArray[np.int64]:
        """The unique count of each group.

        Args:
            measure: One of the measures.
            group_of_row: For each row of the read its group, or ``NO_GROUP``.
            groups: How many groups there are, numbered from 0.
            k: How many hashes the sets keep.
        """
        return self.unions(measure, [group_of_row], groups, k)

    def unions(
        self,
        measure: str,
        groups_of_rows: Sequence[npt.NDArray[np.int64]],
        groups: int,
        k: int,
    ) -> npt.NDArray[np.int64]:
        """The unique count of each group, where a row may be in several.

        Args:
            measure: One of the measures.
            groups_of_rows: Numberings as ``counts`` takes one; a row is in a group of each.
            groups: How many groups there are, numbered from 0.
            k: How many hashes the sets keep.
        """
        parts = [self._inside(measure, group_of_row) for group_of_row in groups_of_rows]
        if len(parts) == 1:
            group, hashes = parts[0]
        else:
            group, hashes = (np.concatenate(each) for each in zip(*parts, strict=True))
        if measure in self._weights:
            return weigh_unions(group, hashes, groups, self._weights[measure])
        return count_unions(group, hashes, groups, k)

    def _inside(
        self, measure: str, group_of_row: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """The group of each member that is in one, and the members."""
        rows, hashes = self._parts[measure]
        group = group_of_row[rows]
        inside = group != NO_GROUP
        return (group, hashes) if inside.all() else (group[inside], hashes[inside])


def weigh_unions(
    group: npt.NDArray[np.int64],
    members: npt.NDArray[np.uint64],
    groups: int,
    weights: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """For each group what the members of its union weigh together.

    Args:
        group: Of each member, from 0.
        members: Places in ``weights``; one may come many times.
        groups: How many groups there are.
        weights: Of every member.
    """
    once = pl.DataFrame({"group": group, "member": members}).unique()
    sums = np.zeros(groups, dtype=np.int64)
    np.add.at(sums, once.get_column("group").to_numpy(), weights[once.get_column("member")])
    return sums


def count_unions(
    group: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64], groups: int, k: int
) -> npt.NDArray[np.int64]:
    """For each group how many members the union of its sets has, exact below ``k``.

    Sets are cut at k, so a count from k on is only of what was kept, and the k-th hash tells. Of
    groups of many members only the least hashes are looked at, and all where those were too few.

    Args:
        group: Of each member, from 0.
        hashes: Of each member; a member may come many times.
        groups: How many groups there are.
        k: How many of the least hashes the united sets keep.
    """
    if groups == 1:
        return np.array([_count_union(hashes, k)])
    members = np.bincount(group, minlength=groups)
    is_cut = members > _EXPECTED_OF_GROUP * k
    least_group, least = group, hashes
    if is_cut.any():
        sums = np.bincount(group, weights=hashes, minlength=groups)
        means = sums / np.maximum(members, 1)
        limits = _limit(_EXPECTED_OF_GROUP * k, members, means)
        limits[~is_cut] = np.iinfo(np.uint64).max
        below = hashes <= limits[group]
        least_group, least = group[below], hashes[below]
    counts = _distinct_of_groups(least_group, least, groups)
    large = np.flatnonzero(is_cut | (counts >= k))
    lacking = []
    for index, part in zip(large, _parts(large, least_group, least, groups), strict=True):
        found = _distinct(part)
        if len(found) >= k:
            counts[index] = _estimate(found, k)
        else:
            lacking.append(index)
    if lacking:
        parts = _parts(np.array(lacking), group, hashes, groups)
        counts[lacking] = [_count_union(part, k) for part in parts]
    return counts


def _limit(
    expected: int, members: npt.NDArray[np.int64], mean: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint64]:
    """The hash below which so many members are expected.

    Whole sets spread over all hashes, sets that were cut at k over the lower ones: up to about
    twice the mean in either case.
    """
    limit = 2 * mean * expected / np.maximum(members, 1)
    return np.minimum(limit, _BELOW_HASH_SPACE).astype(np.uint64)


def _distinct_of_groups(
    group: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64], groups: int
) -> npt.NDArray[np.int64]:
    distinct = (
        pl.DataFrame({"group": group, "hash": hashes})
        .group_by("group")
        .agg(pl.col("hash").n_unique())
    )
    counts = np.zeros(groups, dtype=np.int64)
    counts[distinct.get_column("group").to_numpy()] = distinct.get_column("hash").to_numpy()
    return counts


def _parts(
    wanted: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
    hashes: npt.NDArray[np.uint64],
    groups: int,
) -> list[npt.NDArray[np.uint64]]:
    """The members of each wanted group; small integers are what NumPy sorts fastest."""
    if not len(wanted):
        return []
    is_wanted = np.zeros(groups, dtype=bool)
    is_wanted[wanted] = True
    mine = is_wanted[group]
    group, hashes = group[mine], hashes[mine]
    small = group.astype(np.uint16 if groups <= np.iinfo(np.uint16).max else np.uint32)
    ordered = hashes[np.argsort(small, kind="stable")]
    bounds = np.append(0, np.cumsum(np.bincount(group, minlength=groups)))
    return [ordered[bounds[index] : bounds[index + 1]] for index in wanted.tolist()]


def _count_union(hashes: npt.NDArray[np.uint64], k: int) -> int:
    """The count of one group: no more members are sorted than the k least need."""
    expected = _EXPECTED_BELOW * k
    for _ in range(_GUESSES):
        if len(hashes) <= 2 * expected:
            break
        limit = _limit(expected, np.array(len(hashes)), hashes.mean())
        below = _distinct(hashes[hashes <= limit])
        if len(below) >= k:
            return _estimate(below, k)
        expected = _EXPECTED_BELOW * k * expected // max(len(below), 1)
    members = _distinct(hashes)
    return len(members) if len(members) < k else _estimate(members, k)


def _distinct(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    ordered = np.sort(hashes)
    is_first = np.ones(len(ordered), dtype=bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_first]


def _estimate(members: npt.NDArray[np.uint64], k: int) -> int:
    return min(round((k - 1) / (float(members[k - 1]) / HASH_SPACE)), MOST_ESTIMATED)
