"""The hits of a day as a file in the schema of GA4's BigQuery export."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from tempfile import SpooledTemporaryFile
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow.parquet as pq

from report_api.hit_reader import HitReader, HitsAsked
from report_api.reader import rules_at
from report_api.receipts import Receipts
from report_api.sequence_reader import freshness_of
from stores.pointers import PointerStore
from stores.wide_rows.port import WideRows
from tallymark.exports.ga4_rows import COLUMNS, ROW_SCHEMA, rows_of
from tallymark.properties import Property
from tallymark.reports import InvalidRequestError
from tallymark.reports.serving import Freshness
from tallymark.slots import EPOCH

ROWS_IN_MEMORY_BYTES: Final = 32 << 20
"""A file that is larger lies on disk until it is sent."""
_ALWAYS: Final = ("property_id", "client_hash", "excluded_by", "rules_version")


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


class HitExport:
    """Writes the hits of days.

    Args:
        hits: Reads hits.
        wide_rows: Where pointers are.
        now_us: UTC µs.
    """

    def __init__(self, hits: HitReader, wide_rows: WideRows, now_us: Callable[[], int]) -> None:
        self._hits = hits
        self._pointers = PointerStore(wide_rows)
        self._receipts = Receipts(wide_rows, now_us)
        self._now_us = now_us

    def day(self, owner: Property, text: str) -> DayOfHits:
        """All hits of a day of the property's time zone that count, some clients at a time.

        Args:
            owner: Whose.
            text: ``YYYY-MM-DD``.

        Raises:
            InvalidRequestError: when it is no day, or has not begun.
            BeyondLimitsError: as ``HitReader.fold``, and so on.
        """
        zone = ZoneInfo(rules_at(owner, self._now_us()).time_zone)
        span = self._span(text, zone)
        pointers = self._pointers.pointers(owner.property_id)
        opened = self._receipts.opened(owner, [span], pointers)
        content: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(ROWS_IN_MEMORY_BYTES)  # noqa: SIM115
        asked = HitsAsked(
            columns=list(dict.fromkeys([*_ALWAYS, *COLUMNS])), with_params=True,
            less="Ask whoever runs it for the clean hits themselves.",
        )  # fmt: skip
        schema = ROW_SCHEMA.to_frame().to_arrow().schema
        with pq.ParquetWriter(content, schema, compression="zstd") as writer:

            def write(hits: pl.DataFrame) -> pl.DataFrame:
                rows = rows_of(hits.sort("event_at", "hit_id").select(COLUMNS), str(zone))
                writer.write_table(rows.to_arrow().cast(schema))
                return pl.DataFrame({"rows": [rows.height]})

            folded = self._hits.fold(asked, owner, pointers, span, write)
        content.seek(0)
        receipt = self._receipts.completed(freshness_of(folded, pointers), opened, owner, [span])
        rows = sum(part.item() for part in folded.parts)
        return DayOfHits(content=content, rows=rows, freshness=receipt)

    def _span(self, text: str, zone: ZoneInfo) -> tuple[int, int]:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise InvalidRequestError([f"expected a day as 2026-01-31, got {text!r:.40}"]) from None
        start, end = (
            (datetime.combine(each, time(), zone) - EPOCH) // timedelta(microseconds=1)
            for each in (day, day + timedelta(days=1))
        )
        if start > self._now_us():
            raise InvalidRequestError([f"expected a day that has begun, got {text}"])
        return start, end
