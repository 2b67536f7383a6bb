"""Unique counts of groups of rows: each is the union of the sets of its rows."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from tallymark.uniques import estimates

NO_GROUP = -1
"""The group of a row that does not count."""


class Members:
    """The members of the unique sets of a read, by measure."""

    def __init__(self, sets: pl.DataFrame, measures: Sequence[str]) -> None:
        parts = {name: sets.filter(pl.col("measure") == name) for name in measures}
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
        frame = pl.DataFrame({"group": group[inside], "hash": hashes[inside]})
        counts = np.zeros(groups, dtype=np.int64)
        if groups == 1:
            found = estimates(frame.select("hash"), [], k)
            counts[: found.height] = found.get_column("count").to_numpy()
        else:
            found = estimates(frame, ["group"], k)
            counts[found.get_column("group").to_numpy()] = found.get_column("count").to_numpy()
        return pl.Series(measure, counts)
