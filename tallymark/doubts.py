"""Doubts: hits that a worker processed though their rules may have changed without its knowing.

A worker knows through which time no change can have escaped it. While it is cut off it goes on, and
notes what it processes of hits that were received later: not each hit, but whose, of which hour,
received in which hour, and the newest version that it knew. Once the versions of that time are
known, so is which doubts were mistakes: the hours of these have to be computed again.
"""

from collections.abc import Collection
from typing import Final

import polars as pl

from tallymark.hits import request_id_of
from tallymark.replays import LONGEST_LATE_US
from tallymark.rules_delay import RULES_DELAY_SECONDS
from tallymark.slots import HOUR_US

DOUBT_KEY: Final = pl.Schema(
    {
        "measurement_id": pl.String(),
        "known_version": pl.Int32(),  # the newest; 0: nobody could be asked whose the id is
        "event_hour": pl.Int64(),  # UTC µs
        "received_hour": pl.Int64(),
    }
)
"""What doubts are told apart by: all its hits were processed alike."""
DOUBT_SCHEMA: Final = pl.Schema(
    {
        **DOUBT_KEY,
        "block": pl.String(),  # one of those that hold such hits
        "through": pl.Int64(),  # UTC µs: what is known of this time and before decides the doubt
    }
)
_DOUBTFUL: Final = pl.Schema({**DOUBT_KEY, "request_id": pl.String(), "through": pl.Int64()})
MISTAKE_SCHEMA: Final = pl.Schema(
    {"property_id": pl.Int64(), "event_hour": pl.Int64(), "block": pl.String()}
)
ROUNDED_UP_US: Final = 60_000_000
"""``through`` is rounded up, so that a doubt which goes on changes once a minute."""
_DELAY_US: Final = RULES_DELAY_SECONDS * 1_000_000


def doubtful(
    hits: pl.DataFrame, properties: pl.DataFrame, valid_through: int, unasked: Collection[str] = ()
) -> pl.DataFrame:
    """Which hits may be processed with the wrong version.

    Args:
        hits: Have ``hit_id``, ``measurement_id``, ``received_at`` and ``event_at``.
        properties: ``PROPERTY_SCHEMA``; what they are processed with.
        valid_through: UTC µs through which these were known to be all versions.
        unasked: Measurement ids of which nobody knows whether they are of a property.

    Returns:
        ``DOUBT_KEY``, ``request_id`` and ``through`` of each, those left out that are received so
        late that they do not count.
    """
    is_unasked = pl.col("measurement_id").is_in(list(unasked)) if unasked else pl.lit(value=False)
    counts = pl.col("received_at") - pl.col("event_at") <= LONGEST_LATE_US
    beyond = hits.filter((pl.col("received_at") > valid_through) | is_unasked, counts)
    if beyond.is_empty():  # as always, but while a worker is cut off
        return _DOUBTFUL.to_frame()
    newest = properties.group_by("measurement_id").agg(known_version=pl.col("rules_version").max())
    known = pl.when(is_unasked).then(0).otherwise("known_version").cast(pl.Int32)
    # An id holds as soon as it is made, a version when everybody has had time to learn of it.
    decided = pl.col("received_at") + pl.when(is_unasked).then(_DELAY_US).otherwise(0)
    return (
        beyond.join(newest, on="measurement_id", how="left")
        .filter(known.is_not_null())
        .select(
            "measurement_id",
            known_version=known,
            event_hour=pl.col("event_at") // HOUR_US * HOUR_US,
            received_hour=pl.col("received_at") // HOUR_US * HOUR_US,
            request_id=request_id_of(pl.col("hit_id")),
            through=-(-decided // ROUNDED_UP_US) * ROUNDED_UP_US,
        )
    )


def together(doubts: pl.DataFrame) -> pl.DataFrame:
    """``DOUBT_SCHEMA``, a row a key, of any number of rows with its columns."""
    return (
        doubts.group_by(*DOUBT_KEY)
        .agg(pl.col("block").min(), pl.col("through").max())
        .select(list(DOUBT_SCHEMA))
        .sort(*DOUBT_KEY)
    )


def mistakes(doubts: pl.DataFrame, properties: pl.DataFrame) -> pl.DataFrame:
    """Which doubts were mistakes: a version was in force that was not known.

    Args:
        doubts: ``DOUBT_SCHEMA``.
        properties: ``PROPERTY_SCHEMA`` of their measurement ids, with all versions that take
            effect through the ``through`` of each.

    Returns:
        ``MISTAKE_SCHEMA``: the hours of properties that have to be computed again, with the blocks
        in which such hits came, in order, none twice.
    """
    versions = properties.select("measurement_id", "property_id", "rules_version", "effective_at")
    is_unknown = pl.col("rules_version") > pl.col("known_version")
    is_in_force = pl.col("effective_at") <= pl.col("through")
    return (
        doubts.join(versions, on="measurement_id")
        .filter(is_unknown & (is_in_force | (pl.col("known_version") == 0)))
        .select(list(MISTAKE_SCHEMA))
        .unique()
        .sort(list(MISTAKE_SCHEMA))
    )
