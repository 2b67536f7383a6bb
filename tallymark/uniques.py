"""Unique counts: a set is carried as the k least of its 64-bit hashes.

Exact below k members; beyond that an estimate with a standard error of 1/√(k − 2), 1.6 % at 4,096
(Bar-Yossef et al., "Counting distinct elements in a data stream", 2002; Beyer et al., "On synopses
for distinct-value estimation under multiset operations", 2007). The union of two sets is the k
least of both, so unions are right over any hours, days and shards.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

HASH_SPACE = float(2**64)
MOST_ESTIMATED = 2**62
"""What an estimate is at most: hashes that somebody has chosen may all be next to nothing."""


def least_hashes(members: pl.Expr, k: int) -> pl.Expr:
    """Aggregation: the k least distinct hashes of a group, ascending."""
    return members.unique().sort().head(k)


def estimates(hashes: pl.DataFrame, group_by: Sequence[str], k: int) -> pl.DataFrame:
    """How many distinct members the union of sets has, for each group.

    Args:
        hashes: Rows (``group_by`` columns, ``hash`` UInt64), the members of all sets to be united.
        group_by: Columns that tell groups apart; none gives one row.
        k: How many hashes the sets that were united keep.

    Returns:
        ``group_by`` columns and ``count`` (Int64). Exact where the union has fewer than k members.
    """
    cut = _below_threshold(hashes, group_by, k)
    groups = list(group_by)
    distinct = cut.select(*groups, "hash").unique()
    if not groups:
        distinct = distinct.with_columns(pl.lit(0).alias("all"))
    keys = groups or ["all"]
    counted = distinct.group_by(keys).agg(
        pl.len().cast(pl.Int64).alias("members"),
        pl.col("hash").bottom_k(k).max().alias("kth"),
    )
    many = (k - 1) / (pl.col("kth").cast(pl.Float64) / HASH_SPACE)
    estimate = many.clip(upper_bound=MOST_ESTIMATED).round().cast(pl.Int64)
    answer = counted.with_columns(
        count=pl.when(pl.col("members") < k).then("members").otherwise(estimate)
    )
    return answer.select(*groups, "count")


def _below_threshold(hashes: pl.DataFrame, group_by: Sequence[str], k: int) -> pl.DataFrame:
    """Fewer rows with the same k least hashes, where one large set is asked for.

    Duplicates only make the k-th least of a sample too small, so the guess is enlarged until k
    distinct hashes lie below it.
    """
    if group_by or hashes.height <= 8 * k:
        return hashes
    values = hashes.get_column("hash").to_numpy()
    position = 2 * k
    while position < len(values):
        threshold = np.partition(values, position)[position]
        kept = np.unique(values[values < threshold])
        if len(kept) >= k:
            return pl.DataFrame({"hash": kept})
        position *= 4
    return hashes
