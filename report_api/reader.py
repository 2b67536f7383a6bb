"""The reader: cells from the store, through the pointers, decoded and answered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from report_api.cell_reader import CellReader, Wanted
from stores.pointers import PointerStore
from stores.wide_rows.port import WideRows
from tallymark.day_cells import publications
from tallymark.metrics import TOTALS
from tallymark.properties import Property
from tallymark.report_names import names_of
from tallymark.reports import (
    CHECK_COMPATIBILITY,
    RUN_REPORT,
    Method,
    ReportRequest,
    answer,
    answer_pivots,
    parse_request,
    plan,
    response_document,
)
from tallymark.reports.compatibility import compatibility_document
from tallymark.reports.recent import MINUTE_COLUMNS, MINUTE_ROLLUP, Recent, recent, slots_span
from tallymark.reports.serving import Freshness, Pointers
from tallymark.rule_documents import Rules


@dataclass(frozen=True)
class Answer:
    """A JSON document and what it was computed from."""

    document: dict[str, Any]
    freshness: Freshness


class ReportReader:
    """Answers reports from wide rows.

    Args:
        wide_rows: Where cells and pointers are.
        now_us: UTC µs.
    """

    def __init__(self, wide_rows: WideRows, now_us: Callable[[], int]) -> None:
        self._pointers = PointerStore(wide_rows)
        self._cells = CellReader(wide_rows)
        self._now_us = now_us

    def pointers(self, property_id: int) -> Pointers:
        """What serves a property now.

        Raises:
            WideRowsUnavailableError: when the store cannot be read.
        """
        return self._pointers.pointers(property_id)

    def report(
        self,
        owner: Property,
        request: Any,
        pointers: Pointers | None = None,
        method: Method = RUN_REPORT,
    ) -> Answer:
        """Answer a request of a reporting method.

        Args:
            owner: Whose report.
            request: Decoded JSON.
            pointers: Taken before, where several reports make one answer.
            method: What is called.

        Raises:
            InvalidRequestError: when the request cannot be answered.
            WideRowsUnavailableError: when the store cannot be read.
        """
        planned = plan(self._parsed(owner, request, method), owner.property_id)
        pointers = pointers or self.pointers(owner.property_id)
        rollups = (planned.rollup, TOTALS) if planned.whole_measures else (planned.rollup,)
        (decoded, *totals), freshness = self._cells.read(
            Wanted(
                property_id=owner.property_id,
                rollups=rollups,
                spans=planned.spans,
                pointers=pointers,
                columns=planned.columns,
                with_sets=bool(planned.uniques),
                days=publications(planned.days, pointers.served),
            )
        )
        if planned.request.pivots:
            return Answer(response_document(answer_pivots(planned, decoded)), freshness)
        return Answer(response_document(answer(planned, decoded, *totals)), freshness)

    def compatibility(self, owner: Property, request: Any) -> dict[str, Any]:
        """Answer a request of ``checkCompatibility``.

        Raises:
            InvalidRequestError: when the request is wrong or does not go together itself.
        """
        parsed = self._parsed(owner, request, CHECK_COMPATIBILITY)
        return compatibility_document(request, parsed, names_of(rules_at(owner, parsed.now_us)))

    def _parsed(self, owner: Property, request: Any, method: Method) -> ReportRequest:
        now_us = self._now_us()
        rules = rules_at(owner, now_us)
        return parse_request(
            request,
            now_us=now_us,
            time_zone=rules.time_zone,
            currency=rules.currency,
            method=method,
            names=names_of(rules),
            property_id=owner.property_id,
        )

    def recent(self, owner: Property, pointers: Pointers) -> tuple[Recent, Freshness]:
        """The last 30 minutes.

        Raises:
            WideRowsUnavailableError: when the store cannot be read.
        """
        now_us = self._now_us()
        (decoded,), freshness = self._cells.read(
            Wanted(
                property_id=owner.property_id,
                rollups=(MINUTE_ROLLUP,),
                spans=(slots_span(now_us),),
                pointers=pointers,
                columns=MINUTE_COLUMNS,
                with_sets=True,
                days={},
            )
        )
        return recent(decoded, now_us), freshness


def rules_at(owner: Property, instant_us: int) -> Rules:
    """The rules in force at an instant."""
    in_force = [version for version in owner.versions if version.effective_at <= instant_us]
    return (in_force[-1] if in_force else owner.versions[0]).rules
