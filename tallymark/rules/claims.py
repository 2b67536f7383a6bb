"""Claims: whose each hit is, which version of its rules, and which session settings.

A hit is processed with the version in force when it was received. Session settings (gap, engagement
threshold, attribution lookback, time zone) are those in force when the event happened: they take
effect at the first UTC multiple of ``SESSION_ALIGNMENT_US`` at or after the version does, and
chains are cut there.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import polars as pl

from tallymark.dead_letters import REJECTION_SCHEMA
from tallymark.hits import request_id_of
from tallymark.properties import SINCE_EVER
from tallymark.slots import SESSION_ALIGNMENT_US, slot_minutes

_SETTINGS: Final = (
    "session_gap_seconds", "engagement_threshold_seconds", "attribution_lookback_days", "time_zone",
)  # fmt: skip
CLAIMED: Final = (
    "property_id", "rules_version", "slot_minutes", "session_gap_ms", "engagement_threshold_ms",
    "attribution_lookback_days", "settings_from",
)  # fmt: skip
"""Columns of a hit that are filled in by whose it is."""
_OF_VERSION: Final = (
    "property_id", "rules_version", "key_events", "hit_rules", "property_currency",
)  # fmt: skip

_slot_minutes = lru_cache(maxsize=1_000)(slot_minutes)


@dataclass(frozen=True)
class Claimed:
    """Hits and whose they are.

    Attributes:
        hits: As they came, with ``CLAIMED``, and with ``key_events``, ``hit_rules`` and
            ``property_currency`` of their version.
        rejected: ``REJECTION_SCHEMA``; what no property claims, or may claim.
    """

    hits: pl.DataFrame
    rejected: pl.DataFrame


def claimed(hits: pl.DataFrame, properties: pl.DataFrame, unasked: Collection[str] = ()) -> Claimed:
    """Say whose each hit is; the order is kept.

    Args:
        hits: Have ``hit_id``, ``measurement_id``, ``received_at`` and ``event_at``.
        properties: ``PROPERTY_SCHEMA``; every version of the properties that hits may be of.
        unasked: Measurement ids of which nobody knows whether they are of a property.

    Raises:
        zoneinfo.ZoneInfoNotFoundError: when a property's time zone does not exist.
    """
    versions = versions_of(properties)
    is_known = pl.col("measurement_id").is_in(versions.get_column("measurement_id").implode())
    known = _in_force(hits.filter(is_known), versions.drop(_SETTINGS), at="received_at")
    return Claimed(
        hits=_in_force(known, settings_of(versions), at="event_at"),
        rejected=_unclaimed(hits.filter(~is_known), unasked),
    )


def _unclaimed(hits: pl.DataFrame, unasked: Collection[str]) -> pl.DataFrame:
    asked_in_vain = pl.Series(list(unasked), dtype=pl.String).implode()
    is_unasked = pl.col("measurement_id").is_in(asked_in_vain)
    expected = (
        pl.when(is_unasked)
        .then(pl.lit("expected rules that can be asked whose this is, got none for"))
        .otherwise(pl.lit("expected the id of a property, got"))
    )
    return hits.select(
        request_id=request_id_of(pl.col("hit_id")),
        reason=pl.when(is_unasked)
        .then(pl.lit("rules_unavailable"))
        .otherwise(pl.lit("unknown_measurement_id")),
        detail=pl.format("{} {}", expected, "measurement_id"),
    ).cast(REJECTION_SCHEMA)


def versions_of(properties: pl.DataFrame) -> pl.DataFrame:
    """What a version decides, ``since`` when (UTC µs); a property's first holds since ever."""
    ordered = properties.sort("measurement_id", "effective_at", "rules_version")
    is_first = pl.col("measurement_id") != pl.col("measurement_id").shift(1, fill_value="")
    return ordered.with_columns(property_currency="currency").select(
        "measurement_id",
        *_OF_VERSION,
        *_SETTINGS,
        since=pl.when(is_first).then(SINCE_EVER).otherwise("effective_at"),
    )


def settings_of(versions: pl.DataFrame) -> pl.DataFrame:
    """The session settings of versions, ``since`` when; a version that leaves them as they were
    does not cut a chain.

    Args:
        versions: As ``versions_of`` gives them.
    """
    aligned = -(-pl.col("since") // SESSION_ALIGNMENT_US) * SESSION_ALIGNMENT_US
    since = pl.when(pl.col("since") == SINCE_EVER).then(SINCE_EVER).otherwise(aligned)
    lasting = versions.select("measurement_id", *_SETTINGS, since=since).unique(
        ["measurement_id", "since"], keep="last", maintain_order=True
    )
    compared = ("measurement_id", *_SETTINGS)
    is_other = pl.any_horizontal(
        [pl.col(name).ne_missing(pl.col(name).shift(1)) for name in compared]
    )
    changed = lasting.filter(is_other)
    zones = [_slot_minutes(zone) for zone in changed.get_column("time_zone")]
    return changed.select(
        "measurement_id",
        "since",
        "attribution_lookback_days",
        pl.Series("slot_minutes", zones, dtype=pl.Int32),
        session_gap_ms=pl.col("session_gap_seconds") * 1000,
        engagement_threshold_ms=pl.col("engagement_threshold_seconds") * 1000,
        settings_from="since",
    )


def _in_force(hits: pl.DataFrame, versions: pl.DataFrame, at: str) -> pl.DataFrame:
    """``hits`` with the columns of the last of their property's versions since ``at``."""
    if not versions.get_column("measurement_id").is_duplicated().any():
        return hits.join(
            versions.drop("since"), on="measurement_id", how="left", maintain_order="left"
        )
    return (
        hits.with_row_index("place")
        .sort(at)
        .join_asof(
            versions.sort("since"),
            left_on=at,
            right_on="since",
            by="measurement_id",
            check_sortedness=False,
        )
        .sort("place")
        .drop("place", "since")
    )
