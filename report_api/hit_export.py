"""The hits of a day as a file in the schema of GA4's BigQuery export."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from tempfile import SpooledTemporaryFile
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow.parquet as pq

from report_api.folded_hits import HitFolder
from report_api.reader import rules_at
from tallymark.exports.ga4_rows import COLUMNS, ROW_SCHEMA, rows_of
from tallymark.properties import Property
from tallymark.reports import InvalidRequestError
from tallymark.reports.serving import Freshness
from tallymark.slots import EPOCH

BYTES_IN_MEMORY: Final = 32 << 20
"""A file that is larger lies on disk until it is sent."""


@dataclass(frozen=True, kw_only=True)
class DayOfHits:
    """A file.

    Attributes:
        content: Parquet, read from its beginning; whoever closes it deletes it.
        rows: How many hits.
        freshness: What it was made of.
    """

    content: "SpooledTemporaryFile[bytes]"
    rows: int
    freshness: Freshness


def day_of_hits(folder: HitFolder, owner: Property, text: str) -> DayOfHits:
    """All hits of a day of the property's time zone that count.

    Args:
        folder: Reads them, some clients at a time, so that memory does not grow with the day.
        owner: Whose.
        text: ``YYYY-MM-DD``.

    Raises:
        InvalidRequestError: when it is no day, or has not begun.
        BeyondLimitsError: as ``HitReader.fold``, and so on.
    """
    now_us = folder.now_us()
    zone = rules_at(owner, now_us).time_zone
    span = _span(text, ZoneInfo(zone), now_us)
    content: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(BYTES_IN_MEMORY)  # noqa: SIM115
    schema = ROW_SCHEMA.to_frame().to_arrow().schema
    with pq.ParquetWriter(content, schema, compression="zstd") as writer:

        def write(hits: pl.DataFrame) -> pl.DataFrame:
            rows = rows_of(hits.sort("event_at", "hit_id").select(COLUMNS), zone)
            writer.write_table(rows.to_arrow().cast(schema))
            return pl.DataFrame({"rows": [rows.height]})

        parts, freshness = folder.fold(owner, span, [*COLUMNS], write)
    content.seek(0)
    return DayOfHits(content=content, rows=sum(part.item() for part in parts), freshness=freshness)


def _span(text: str, zone: ZoneInfo, now_us: int) -> tuple[int, int]:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidRequestError([f"expected a day as 2026-01-31, got {text!r:.40}"]) from None
    start, end = (
        (datetime.combine(each, time(), zone) - EPOCH) // timedelta(microseconds=1)
        for each in (day, day + timedelta(days=1))
    )
    if start > now_us:
        raise InvalidRequestError([f"expected a day that has begun, got {text}"])
    return start, end
