"""Folded hits: what is computed of all hits of a span, some clients at a time, with its receipt."""

from collections.abc import Callable

import polars as pl

from report_api.hit_reader import FoldedHits, HitReader, HitsAsked
from report_api.receipts import Receipts
from stores.pointers import PointerStore
from stores.wide_rows.port import WideRows
from tallymark.properties import Property
from tallymark.reports.serving import Freshness, Pointers
from tallymark.slots import HOUR_US

_ALWAYS = ("property_id", "client_hash", "event_at", "excluded_by", "rules_version")


class HitFolder:
    """Folds hits.

    Args:
        hits: Reads hits.
        wide_rows: Where pointers are.
        now_us: UTC µs.
    """

    def __init__(self, hits: HitReader, wide_rows: WideRows, now_us: Callable[[], int]) -> None:
        self._hits = hits
        self._pointers = PointerStore(wide_rows)
        self._receipts = Receipts(wide_rows, now_us)
        self.now_us = now_us

    def fold(
        self,
        owner: Property,
        span: tuple[int, int],
        columns: list[str],
        compute: Callable[[pl.DataFrame], pl.DataFrame],
    ) -> tuple[list[pl.DataFrame], Freshness]:
        """What each set of clients comes to, and what that was computed from.

        Args:
            owner: Whose hits.
            span: Half-open, UTC µs.
            columns: Of ``HIT_SCHEMA``, beside those that are always read.
            compute: See ``HitReader.fold``, which says what is raised too.
        """
        asked = HitsAsked(
            columns=list(dict.fromkeys([*_ALWAYS, *columns])),
            with_params="params" in columns,
            less="Ask for fewer days.",
        )
        pointers = self._pointers.pointers(owner.property_id)
        opened = self._receipts.opened(owner, [span], pointers)
        folded = self._hits.fold(asked, owner, pointers, span, compute)
        receipt = self._receipts.completed(_freshness(folded, pointers), opened, owner, [span])
        return folded.parts, receipt


def _freshness(folded: FoldedHits, pointers: Pointers) -> Freshness:
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
