"""Rules: a property's versions and settings, put to the hits that they are in force for.

A hit is processed with the version in force when it was received. Session settings (gap, engagement
threshold, attribution lookback, time zone) are those in force when the event happened: they take
effect at the first UTC multiple of ``SESSION_ALIGNMENT_US`` at or after the version does, and
chains are cut there.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import polars as pl

from tallymark.dead_letters import REJECTION_SCHEMA
from tallymark.exchange_rates import in_own_currency
from tallymark.hits import HIT_SCHEMA, request_id_of
from tallymark.properties import SINCE_EVER
from tallymark.slots import SESSION_ALIGNMENT_US, slot_minutes

_SETTINGS: Final = (
    "session_gap_seconds", "engagement_threshold_seconds", "attribution_lookback_days", "time_zone",
)  # fmt: skip
RULED: Final = (
    "property_id", "rules_version", "is_key_event", "value_micros", "slot_minutes",
    "session_gap_ms", "engagement_threshold_ms", "attribution_lookback_days", "settings_from",
)  # fmt: skip
"""Columns of a hit that the rules fill in."""

_SOLD: Final = (
    "hit_id", "measurement_id", "rules_version", "event_at", "currency", "property_currency",
    "sent_value_micros",
)  # fmt: skip

OTHER_HOST: Final = "host"
"""What ``excluded_by`` says of a hit of a page on a host that its property does not allow."""

_slot_minutes = lru_cache(maxsize=1_000)(slot_minutes)


@dataclass(frozen=True)
class Ruled:
    """What rules make of hits.

    Attributes:
        hits: ``HIT_SCHEMA``.
        rejected: ``REJECTION_SCHEMA``; what no property claims.
        doubted: ``REJECTION_SCHEMA``; what is wrong with hits that count all the same.
    """

    hits: pl.DataFrame
    rejected: pl.DataFrame
    doubted: pl.DataFrame


def apply_rules(hits: pl.DataFrame, properties: pl.DataFrame) -> Ruled:
    """Say whose each hit is and what the property's rules make of it; the order is kept.

    Args:
        hits: Decoded and enriched: all of ``HIT_SCHEMA`` but ``RULED``; what earlier rules filled
            in is replaced.
        properties: ``PROPERTY_SCHEMA``; every version of the properties that hits may be of.

    Raises:
        zoneinfo.ZoneInfoNotFoundError: when a property's time zone does not exist.
    """
    versions = versions_of(properties)
    is_known = pl.col("measurement_id").is_in(versions.get_column("measurement_id").implode())
    known = hits.filter(is_known).drop(RULED, strict=False)
    ruled = _in_force(known, versions.drop(_SETTINGS), at="received_at")
    ruled = _in_force(ruled, settings_of(versions), at="event_at")
    ruled = ruled.with_columns(is_key_event=pl.col("event_name").is_in(pl.col("key_events")))
    ruled = _tagged_by_host(ruled, properties)
    ruled, doubted = _valued(ruled, properties)
    return Ruled(
        hits=ruled.select([pl.col(name).cast(dtype) for name, dtype in HIT_SCHEMA.items()]),
        rejected=_unclaimed(hits.filter(~is_known)),
        doubted=doubted,
    )


def _tagged_by_host(hits: pl.DataFrame, properties: pl.DataFrame) -> pl.DataFrame:
    """``hits`` with those tagged that are of pages on hosts not allowed; what earlier rules said of
    hosts is replaced. A hit that names no page is not judged, and another filter's tag stays.
    """
    hits = hits.with_columns(pl.col("excluded_by").replace(OTHER_HOST, ""))
    version = ["measurement_id", "rules_version"]
    asked = properties.filter(pl.col("allowed_hosts").list.len() > 0)
    if asked.is_empty():
        return hits
    host, allowed = pl.col("host"), pl.col("allowed_hosts")
    others = (
        hits.select(*version, "host")
        .filter(host != "")
        .unique()
        .join(asked.select(*version, allowed).explode("allowed_hosts"), on=version)
        .group_by(*version, "host")
        .agg(is_other=((host == allowed) | host.str.ends_with("." + allowed)).any().not_())
        .filter("is_other")
    )
    marked = hits.join(others, on=[*version, "host"], how="left", maintain_order="left")
    is_other = (pl.col("excluded_by") == "") & pl.col("is_other").fill_null(value=False)
    return marked.with_columns(
        excluded_by=pl.when(is_other).then(pl.lit(OTHER_HOST)).otherwise("excluded_by")
    )


def _valued(hits: pl.DataFrame, properties: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``hits`` with ``value_micros``, and those (``REJECTION_SCHEMA``) of which it is not known."""
    currency = pl.col("currency").str.to_uppercase()
    sold = hits.get_column("sent_value_micros") != 0
    valued = hits.with_columns(value_micros="sent_value_micros")
    sales = hits.select(_SOLD).filter(sold).with_columns(currency, row=sold.arg_true())
    is_own = (pl.col("currency") == "") | (pl.col("currency") == pl.col("property_currency"))
    foreign = sales.filter(~is_own)
    if foreign.is_empty():
        return valued, REJECTION_SCHEMA.to_frame()
    rates = properties.select("measurement_id", "rules_version", "exchange_rates")
    each = rates.explode("exchange_rates").drop_nulls("exchange_rates").unnest("exchange_rates")
    worth = in_own_currency(foreign, each)
    values = valued.get_column("value_micros").scatter(foreign["row"], worth.fill_null(0))
    return valued.with_columns(values), _unrated(foreign.filter(worth.is_null()))


def _unrated(sales: pl.DataFrame) -> pl.DataFrame:
    return sales.select(
        request_id=request_id_of(pl.col("hit_id")),
        reason=pl.lit("missing_rate"),
        detail=pl.format(
            "expected a rate from {} to {} for {}, got none: the hit counts without its value",
            "currency",
            "property_currency",
            pl.from_epoch("event_at", time_unit="us").dt.strftime("%Y-%m-%d"),
        ),
    ).cast(REJECTION_SCHEMA)


def _unclaimed(hits: pl.DataFrame) -> pl.DataFrame:
    return hits.select(
        request_id=request_id_of(pl.col("hit_id")),
        reason=pl.lit("unknown_measurement_id"),
        detail=pl.format("expected the id of a property, got {}", "measurement_id"),
    ).cast(REJECTION_SCHEMA)


def versions_of(properties: pl.DataFrame) -> pl.DataFrame:
    """What a version decides, ``since`` when (UTC µs); a property's first holds since ever."""
    ordered = properties.sort("measurement_id", "effective_at", "rules_version")
    is_first = pl.col("measurement_id") != pl.col("measurement_id").shift(1, fill_value="")
    return ordered.select(
        "measurement_id",
        "property_id",
        "rules_version",
        "key_events",
        pl.col("currency").alias("property_currency"),
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
