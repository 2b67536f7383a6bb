"""Stale hours: whose sessions are attributed by touches that a publication has changed."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from tallymark.pieces import CLIENT
from tallymark.pointer_map import PointerMap
from tallymark.slots import DAY_US, SESSION_ALIGNMENT_US
from tallymark.touch_cells import served
from tallymark.touches import SOURCE

STALE_SCHEMA: Final = pl.Schema({"property_id": pl.Int64(), "hour": pl.Int64()})
"""Hours of properties, UTC µs."""
SOURCE_CHANGE_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "clients": pl.Int64(),  # that have touches on either side
        "first_source": pl.Int64(),  # of them: whose first touch has another source
        "last_source": pl.Int64(),  # whose last touch that is not direct has
    }
)
"""What later sessions are attributed by, counted in clients."""
_TOLD: Final = ("first", "last", "is_returning")
_SESSION: Final = [*CLIENT, "start", "lineage"]


def stale_hours(
    touches: pl.DataFrame,
    before: PointerMap,
    after: PointerMap,
    lookback_days: Mapping[int, int],
) -> pl.DataFrame:
    """The hours (``STALE_SCHEMA``) that other touches count for than did.

    They are those that are served from where they were, in which a session starts whose client has
    another first touch now, another last source, or is new where it was not. A session may go on
    for two multiples of L, so an hour of each that it may reach is named.

    Args:
        touches: ``touch_cells.HELD_SCHEMA``: all of some clients.
        before: What served their properties.
        after: What serves them now.
        lookback_days: How far back direct sessions of each property look for their source.
    """
    owners = touches.get_column("property_id").unique()
    old, new = (
        _told(served(touches, dict.fromkeys(owners, pointers)), lookback_days)
        for pointers in (before, after)
    )
    both = new.join(old, on=_SESSION, how="inner", suffix="_before")
    changed = both.filter(
        pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in _TOLD)
    )
    steps = pl.DataFrame({"step": range(3)}, schema={"step": pl.Int64})
    reached = changed.select("property_id", "hour").unique().join(steps, how="cross")
    hour = pl.col("hour") + pl.col("step") * SESSION_ALIGNMENT_US
    return reached.select("property_id", hour).unique().sort("property_id", "hour")


def source_changes(
    touches: pl.DataFrame, before: PointerMap, after: PointerMap, end_us: int
) -> pl.DataFrame:
    """How many clients (``SOURCE_CHANGE_SCHEMA``) begin later sessions with other sources.

    Args:
        touches: ``touch_cells.HELD_SCHEMA``: all of some clients.
        before: What served their properties.
        after: What is to serve them.
        end_us: UTC µs; touches from then on are left out.
    """
    owners = touches.get_column("property_id").unique()
    earlier = touches.filter(pl.col("start") < end_us)
    old, new = (
        _sources(served(earlier, dict.fromkeys(owners, pointers))) for pointers in (before, after)
    )
    both = old.join(new, on=list(CLIENT), how="full", coalesce=True, suffix="_after")
    return both.group_by("property_id").agg(
        pl.len().cast(pl.Int64).alias("clients"),
        *(
            pl.col(name).ne_missing(pl.col(f"{name}_after")).sum().cast(pl.Int64)
            for name in ("first_source", "last_source")
        ),
    )


def _sources(touches: pl.DataFrame) -> pl.DataFrame:
    """The source of each client's first touch, and of its last one that is not direct."""
    source = pl.concat_str(SOURCE, separator="\0")
    is_named = pl.any_horizontal(pl.col(name) != "" for name in SOURCE)
    return (
        touches.sort(*CLIENT, "start")
        .group_by(CLIENT, maintain_order=True)
        .agg(
            source.first().alias("first_source"),
            source.filter(is_named).last().alias("last_source"),
        )
    )


def _told(touches: pl.DataFrame, lookback_days: Mapping[int, int]) -> pl.DataFrame:
    """What the touches say of each session: its client's first, its last source, if it is new."""
    days = pl.col("property_id").replace_strict(lookback_days, return_dtype=pl.Int64)
    source = pl.concat_str(SOURCE, separator="\0")
    is_named = pl.any_horizontal(pl.col(name) != "" for name in SOURCE)
    ordered = touches.sort(*CLIENT, "start").with_columns(
        source=source,
        named=pl.when(is_named).then(source),
        named_at=pl.when(is_named).then("start"),
    )
    filled = ordered.with_columns(
        pl.col("named", "named_at").forward_fill().over(CLIENT),
        first=pl.col("source").first().over(CLIENT),
        is_returning=pl.int_range(pl.len()).over(CLIENT) > 0,
    )
    is_within = pl.col("named_at") >= pl.col("start") - days * DAY_US
    return filled.select(
        *_SESSION, "hour", "first", "is_returning", last=pl.when(is_within).then("named")
    )
