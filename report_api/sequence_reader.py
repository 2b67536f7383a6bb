"""The reader of sequences: funnels, paths and retention, from single hits."""

from collections.abc import Callable
from typing import Any, Final

import polars as pl

from report_api.hit_reader import FoldedHits, HitReader, HitsAsked
from report_api.reader import Answer, rules_at
from report_api.receipts import Receipts
from stores.pointers import PointerStore
from stores.wide_rows.port import WideRows
from tallymark.hits import empty_hits
from tallymark.properties import Property
from tallymark.reports import funnels, path_reports, retention_reports
from tallymark.reports.dates import DateRange
from tallymark.reports.funnel_requests import parse_funnel
from tallymark.reports.hit_fields import columns_of
from tallymark.reports.serving import Freshness, Pointers
from tallymark.slots import HOUR_US

_ALWAYS: Final = ("property_id", "client_hash", "event_at", "excluded_by", "rules_version")


class SequenceReader:
    """Answers what is asked of the order of hits.

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

    def funnel(self, owner: Property, body: Any) -> Answer:
        """Answer ``runFunnelReport``.

        Raises:
            InvalidRequestError: when the request is wrong.
            BeyondLimitsError: as ``HitReader.fold``, and so on.
        """
        now_us = self._now_us()
        request = parse_funnel(
            body, now_us=now_us, time_zone=rules_at(owner, now_us).time_zone,
            property_id=owner.property_id,
        )  # fmt: skip
        columns = [*funnels.ORDERED_BY, *columns_of(request.fields)]
        return self._answer(
            owner, request.days, columns,
            lambda hits: funnels.funnel_counts(hits, request),
            lambda counts: funnels.funnel_document(request, counts),
        )  # fmt: skip

    def path(self, owner: Property, body: Any) -> Answer:
        """Answer ``runPathReport``; raises as ``funnel`` does."""
        now_us = self._now_us()
        request = path_reports.parse_path(
            body, now_us=now_us, time_zone=rules_at(owner, now_us).time_zone
        )
        columns = [*path_reports.COLUMNS, *columns_of([request.node])]
        return self._answer(
            owner, request.days, columns,
            lambda hits: path_reports.path_counts(hits, request),
            lambda counts: path_reports.path_document(request, counts),
        )  # fmt: skip

    def retention(self, owner: Property, body: Any) -> Answer:
        """Answer ``runRetentionReport``; raises as ``funnel`` does."""
        now_us = self._now_us()
        request = retention_reports.parse_retention(
            body, now_us=now_us, time_zone=rules_at(owner, now_us).time_zone
        )
        return self._answer(
            owner, request.days, [*retention_reports.COLUMNS],
            lambda hits: retention_reports.retention_counts(hits, request),
            lambda counts: retention_reports.retention_document(request, counts),
        )  # fmt: skip

    def _answer(
        self,
        owner: Property,
        days: DateRange,
        columns: list[str],
        compute: Callable[[pl.DataFrame], pl.DataFrame],
        document: Callable[[pl.DataFrame], dict[str, Any]],
    ) -> Answer:
        span = (days.start_us, days.end_us)
        asked = HitsAsked(
            columns=list(dict.fromkeys([*_ALWAYS, *columns])),
            with_params="params" in columns,
            less="Ask for fewer days.",
        )
        pointers = self._pointers.pointers(owner.property_id)
        opened = self._receipts.opened(owner, [span], pointers)
        folded = self._hits.fold(asked, owner, pointers, span, compute)
        empty = compute(_no_hits(asked))
        receipt = self._receipts.completed(freshness_of(folded, pointers), opened, owner, [span])
        return Answer(document(pl.concat([empty, *folded.parts])), receipt)


def _no_hits(asked: HitsAsked) -> pl.DataFrame:
    return empty_hits().select(asked.columns)


def freshness_of(folded: FoldedHits, pointers: Pointers) -> Freshness:
    """What folded hits say of an answer from them."""
    newest = folded.newest_us
    return Freshness(
        computed_from="hits",
        newest_slot_us=None if newest is None else newest // HOUR_US * HOUR_US,
        newest_hit_us=newest,
        lineages=tuple(sorted(folded.lineages - {""})),
        rules_versions=tuple(sorted(folded.rules_versions)),
        hits_read=folded.hits,
        pointer_map=pointers.map_version,
        overrides=pointers.overrides_version,
    )
