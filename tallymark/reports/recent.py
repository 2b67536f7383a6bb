"""The last 30 minutes, minute by minute, from the cells of the minutes rollup."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from tallymark.decoded_cells import DecodedCells
from tallymark.reports.unique_counts import NO_GROUP, Members
from tallymark.rollups import BY_NAME
from tallymark.slots import HOUR_US, MINUTE_US

MINUTES: Final = 30
MINUTE_ROLLUP: Final = BY_NAME["minutes"]
MINUTE_COLUMNS: Final = frozenset(("minute", "events", "views", "users"))
"""The columns of the rollup that are needed."""


@dataclass(frozen=True, kw_only=True)
class Recent:
    """The last 30 minutes, the present one included.

    Attributes:
        users: Distinct clients over all of them.
        events: Hits that count.
        views: Page views.
        minutes: ``minute`` (UTC µs of its start), ``events``, ``views``: 30 rows, ascending.
    """

    users: int
    events: int
    views: int
    minutes: pl.DataFrame


def recent_span(now_us: int) -> tuple[int, int]:
    """Half-open UTC µs of the 30 minutes of which ``now_us`` lies in the last."""
    end_us = now_us // MINUTE_US * MINUTE_US + MINUTE_US
    return end_us - MINUTES * MINUTE_US, end_us


def slots_span(now_us: int) -> tuple[int, int]:
    """Half-open UTC µs of the starts of slots that may hold those minutes."""
    start_us, end_us = recent_span(now_us)
    return start_us // HOUR_US * HOUR_US, end_us


def newest_minute(cells: Iterable[tuple[bytes, bytes]]) -> int | None:
    """UTC µs of the newest minute in which there was a hit; ``None`` where there was none.

    Args:
        cells: Qualifiers and values of cells of ``MINUTE_ROLLUP``, the numbers.
    """
    held = [
        (int.from_bytes(qualifier[:8], "big"), value)
        for qualifier, value in cells
        if b"\n" in value
    ]
    if not held:
        return None
    slot_us, value = max(held)
    minute = max(int(line.partition(b"\t")[0]) for line in value.split(b"\n")[1:])
    return slot_us // HOUR_US * HOUR_US + minute * MINUTE_US


def recent(decoded: DecodedCells, now_us: int) -> Recent:
    """Count the minutes.

    Args:
        decoded: The served cells of ``MINUTE_ROLLUP`` in ``slots_span``; ``MINUTE_COLUMNS`` do.
        now_us: UTC µs.
    """
    start_us, end_us = recent_span(now_us)
    hour = pl.col("slot_start") // HOUR_US * HOUR_US
    minute = hour + pl.col("minute").cast(pl.Int64) * MINUTE_US
    rows = decoded.numbers.with_columns(minute=minute).filter(
        (pl.col("minute") >= start_us) & (pl.col("minute") < end_us)
    )
    every = pl.DataFrame({"minute": range(start_us, end_us, MINUTE_US)})
    sums = rows.group_by("minute").agg(pl.col("events", "views").sum())
    minutes = every.join(sums, on="minute", how="left", maintain_order="left").fill_null(0)
    group_of_row = np.full(decoded.numbers.height, NO_GROUP, dtype=np.int64)
    group_of_row[rows.get_column("row").to_numpy()] = 0
    members = Members(decoded.sets, ["users"])
    return Recent(
        users=int(members.counts("users", group_of_row, 1, MINUTE_ROLLUP.unique_k).item()),
        events=int(minutes.get_column("events").sum()),
        views=int(minutes.get_column("views").sum()),
        minutes=minutes,
    )
