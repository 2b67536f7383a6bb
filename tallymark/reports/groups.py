"""Groups of rows that have the same texts and numbers, worked out in the thread that asks.

Polars hands each call over to threads of its own. For the few thousand rows of a report waking them
takes longer than the work does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.compute as pc

_OLD_ARROW: Final = pl.CompatLevel.oldest()
"""Arrow numbers texts of its older form only."""

Column = pl.Series | npt.NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """A numbering of groups, from 0.

    Attributes:
        of_row: The group of each row.
        first: A row of each group.
    """

    of_row: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]


def grouped(columns: Sequence[Column], height: int) -> Groups:
    """Number the groups of rows whose values in all columns are the same.

    Args:
        columns: Texts (without nulls) or whole numbers. Without any all rows are one group, and
            none are no group.
        height: How many rows there are.
    """
    codes, size = np.zeros(height, dtype=np.int64), 1
    for column in columns:
        mine, count = _codes(column)
        codes, size = _dense(codes * count + mine, size * count)
    first = np.zeros(size if height else 0, dtype=np.int64)
    first[codes[::-1]] = np.arange(height - 1, -1, -1)
    return Groups(codes, first)


def _codes(column: Column) -> tuple[npt.NDArray[np.int64], int]:
    if isinstance(column, pl.Series):
        encoded = pc.dictionary_encode(column.to_arrow(compat_level=_OLD_ARROW))
        return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)
    values, codes = np.unique(column, return_inverse=True)
    return codes.astype(np.int64), len(values)


def _dense(codes: npt.NDArray[np.int64], size: int) -> tuple[npt.NDArray[np.int64], int]:
    """Codes below ``size`` renumbered without holes, and how many there are."""
    if size > 4 * len(codes) + 4096:
        values, dense = np.unique(codes, return_inverse=True)
        return dense.astype(np.int64), len(values)
    is_used = np.zeros(size, dtype=bool)
    is_used[codes] = True
    numbers = np.cumsum(is_used) - 1
    return numbers[codes], int(numbers[-1]) + 1 if size else 0
