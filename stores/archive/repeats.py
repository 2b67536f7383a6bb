"""Repeats: requests that a balancer sent to two collectors, found by the id it gave them.

Nearly every id is there once, so a first pass keeps only hashes, of a part of the ids at a time;
the rows are looked at for those ids alone whose hash was seen twice.
"""

from collections.abc import Callable, Iterator
from typing import Final

import polars as pl

IDS_A_PASS: Final = 4_000_000
"""Bounds the memory that finding repeats takes, whatever an hour holds."""
ID_COLUMNS: Final = ["request_id", "received_at", "has_balancer_id", "spool_id", "number"]
_HASH: Final = pl.col("request_id").hash()


def winners(
    frames: Callable[[], Iterator[pl.DataFrame]], ids: int, ids_a_pass: int = IDS_A_PASS
) -> pl.DataFrame:
    """Which copy of each repeated request counts: the one received first.

    Args:
        frames: Gives the frames with ``ID_COLUMNS``, as often as it is called.
        ids: About how many rows they have.
        ids_a_pass: Hashes to hold at a time.

    Returns:
        A row a repeated id: ``request_id``, and ``won_at``, ``won_spool``, ``won_number`` of the
        copy that counts. Ties are decided by name of the block.
    """
    suspects = _hashes_seen_twice(frames, ids // ids_a_pass + 1)
    if suspects.is_empty():
        return no_winners()
    copies = [
        frame.filter("has_balancer_id").filter(_HASH.is_in(suspects.implode()))
        for frame in frames()
    ]
    return (
        pl.concat(copies)
        .sort("received_at", "spool_id", "number")
        .group_by("request_id", maintain_order=True)
        .agg(
            pl.len(),
            won_at=pl.col("received_at").first(),
            won_spool=pl.col("spool_id").first(),
            won_number=pl.col("number").first(),
        )
        .filter(pl.col("len") > 1)
        .drop("len")
    )


def without_losers(frame: pl.DataFrame, won: pl.DataFrame) -> pl.DataFrame:
    """The rows of ``frame`` but for the copies that do not count."""
    if won.is_empty():
        return frame
    has_won = (
        (pl.col("won_at") == pl.col("received_at"))
        & (pl.col("won_spool") == pl.col("spool_id"))
        & (pl.col("won_number") == pl.col("number"))
    )
    is_first = pl.struct("request_id", "has_balancer_id").is_first_distinct()
    is_alone = pl.col("won_at").is_null() | ~pl.col("has_balancer_id")
    return (
        frame.join(won, on="request_id", how="left", maintain_order="left")
        .filter(is_alone | has_won)
        .filter(is_alone | is_first)  # one block may hold both copies, of one microsecond
        .select(frame.columns)
    )


def _hashes_seen_twice(frames: Callable[[], Iterator[pl.DataFrame]], passes: int) -> pl.Series:
    twice = [pl.Series("hash", [], pl.UInt64)]
    for part in range(passes):
        hashes = [
            frame.filter("has_balancer_id")
            .select(hash=_HASH)
            .filter(pl.col("hash") % passes == part)
            .to_series()
            for frame in frames()
        ]
        all_of_part = pl.concat([twice[0], *hashes])
        twice.append(all_of_part.filter(all_of_part.is_duplicated()).unique())
    return pl.concat(twice)


def no_winners() -> pl.DataFrame:
    """What ``winners`` gives where no request was repeated."""
    return pl.DataFrame(
        schema={
            "request_id": pl.String,
            "won_at": pl.Int64,
            "won_spool": pl.String,
            "won_number": pl.Int64,
        }
    )
