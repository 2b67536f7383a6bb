"""The reader: cells from the store, through the pointers, decoded and answered."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from report_api.answer_cache import AnswerCache
from report_api.cell_reader import CellReader, FoundCells, Wanted
from report_api.hit_limits import BeyondLimitsError
from report_api.hit_reader import HitReader
from report_api.receipts import Opened, Receipts, standard_error
from report_api.turns import TooManyReportsError
from stores.archive.damage import ArchiveDamageError
from stores.pointers import PointerStore
from stores.wide_rows.deadline import within
from stores.wide_rows.port import WideRows
from tallymark.day_cells import publications
from tallymark.decoded_cells import DecodedCells
from tallymark.properties import Property, RulesVersion
from tallymark.report_names import names_of
from tallymark.reports import (
    CHECK_COMPATIBILITY,
    RUN_REPORT,
    InvalidRequestError,
    Method,
    Plan,
    ReportRequest,
    answer,
    answer_pivots,
    parse_request,
    plan,
    plan_of_hits,
    response_document,
)
from tallymark.reports.compatibility import compatibility_document
from tallymark.reports.currencies import DatedRate
from tallymark.reports.services import BOTH, Services
from tallymark.reports.serving import Freshness, Pointers
from tallymark.rollup_choice import TOTALS
from tallymark.rule_documents import Rules
from tallymark.slots import HOUR_US

STORE_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Answer:
    """A report that was answered.

    Attributes:
        document: As JSON.
        freshness: What it was computed from.
        cell_bytes: How much was decoded for it.
        tells_quota: Whether it was asked to say what is left of quotas.
    """

    document: dict[str, Any]
    freshness: Freshness
    cell_bytes: int = 0
    tells_quota: bool = False


class ReportReader:
    """Answers reports from wide rows, and from hits where no rollup holds what is asked for.

    Args:
        wide_rows: Where cells and pointers are.
        now_us: UTC µs.
        hits: Reads hits; ``None`` where there is no archive.
        answers: Keeps answers from cells; ``None``: each is computed anew.
        services: What may be asked for.
        seconds: How long the store may take for one report; reading hits may take longer.
    """

    def __init__(
        self,
        wide_rows: WideRows,
        now_us: Callable[[], int],
        hits: HitReader | None = None,
        *,
        answers: AnswerCache | None = None,
        services: Services = BOTH,
        seconds: float = STORE_SECONDS,
    ) -> None:
        self._seconds = seconds
        self._answers = answers or AnswerCache(0, seed=0)
        self._services = services
        self._pointers = PointerStore(wide_rows)
        self._cells = CellReader(wide_rows)
        self._receipts = Receipts(wide_rows, now_us)
        self._hits = hits
        self._now_us = now_us

    def pointers(self, property_id: int) -> Pointers:
        """What serves a property now.

        Raises:
            WideRowsUnavailableError: when the store cannot be read.
        """
        with within(self._seconds):
            return self._pointers.pointers(property_id)

    def report(
        self,
        owner: Property,
        request: Any,
        pointers: Pointers | None = None,
        method: Method = RUN_REPORT,
        *,
        only_cells: bool = False,
    ) -> Answer:
        """Answer a request of a reporting method.

        Args:
            owner: Whose report.
            request: Decoded JSON.
            pointers: Taken before, where several reports make one answer.
            method: What is called.
            only_cells: Never read hits, which takes longer.

        Raises:
            InvalidRequestError: when the request cannot be answered.
            BeyondLimitsError: when it would take more hits than may be read.
            TooManyReportsError: when hits cannot be read now, as others read them.
            ArchiveDamageError: when hits cannot be read.
            WideRowsUnavailableError: when the store cannot be read.
            DeadlineExceededError: when it takes too long.
        """
        with within(self._seconds):
            return self._report(owner, request, pointers, method, only_cells=only_cells)

    def _report(
        self,
        owner: Property,
        request: Any,
        pointers: Pointers | None,
        method: Method,
        *,
        only_cells: bool,
    ) -> Answer:
        parsed = self._parsed(owner, request, method)
        hits = None if only_cells or parsed.is_realtime else self._hits
        planned = _planned(parsed, owner.property_id, is_with_hits=hits is not None)
        pointers = pointers or self.pointers(owner.property_id)
        opened = self._receipts.opened(owner, planned.spans, pointers)
        if hits is not None and planned.is_of_hits:
            return self._from_hits(hits, planned, owner, pointers, opened)
        wanted = _wanted(planned, pointers)
        facts = None if parsed.is_realtime else _facts(request, parsed, owner, pointers)
        found = self._cells.read(wanted, lambda cells: self._from_cells(planned, cells, facts))
        if found.freshness.is_capped and hits is not None:
            whole = self._whole(hits, parsed, owner, pointers, opened)
            if whole is not None:
                return whole
        receipt = self._receipts.completed(found.freshness, opened, owner, planned.spans)
        return replace(found, freshness=receipt, tells_quota=parsed.tells_quota)

    def _from_cells(self, planned: Plan, cells: FoundCells, facts: Any) -> Answer:
        """The answer that cells give, as it was kept or computed now.

        Args:
            planned: Of the request.
            cells: Its cells.
            facts: What else the answer depends on; ``None`` where it is not to be kept.
        """
        is_kept = self._answers.is_on and facts is not None
        key = self._answers.key(facts, cells.frames) if is_kept else b""
        kept = self._answers.get(key) if is_kept else None
        if kept is not None:
            return Answer(orjson.loads(kept.body), kept.freshness)
        (decoded, *totals), freshness = cells.decoded()
        freshness = replace(
            freshness,
            standard_error=standard_error(decoded, planned),
            is_capped=decoded.has_other_row,
        )
        document = _document(planned, decoded, totals[0] if totals else None)
        if is_kept:
            self._answers.put(key, document, freshness)
        return Answer(document, freshness, cell_bytes=cells.size_bytes)

    def _from_hits(
        self, hits: HitReader, planned: Plan, owner: Property, pointers: Pointers, opened: Opened
    ) -> Answer:
        with within(self._seconds + hits.seconds):
            found = hits.read(planned, owner, pointers)
            newest = found.newest_us
            freshness = Freshness(
                computed_from="hits",
                newest_slot_us=None if newest is None else newest // HOUR_US * HOUR_US,
                newest_hit_us=newest,
                lineages=found.lineages,
                rules_versions=found.rules_versions,
                hits_read=found.hits,
                pointer_map=pointers.map_version,
                overrides=pointers.overrides_version,
            )
            receipt = self._receipts.completed(freshness, opened, owner, planned.spans)
            document = _document(planned, found.decoded)
            return Answer(document, receipt, tells_quota=planned.request.tells_quota)

    def _whole(
        self,
        hits: HitReader,
        parsed: ReportRequest,
        owner: Property,
        pointers: Pointers,
        opened: Opened,
    ) -> Answer | None:
        """An answer without ``(other)``; ``None`` where it would take too much."""
        try:
            planned = plan_of_hits(parsed, owner.property_id)
            return self._from_hits(hits, planned, owner, pointers, opened)
        except (BeyondLimitsError, TooManyReportsError, InvalidRequestError, ArchiveDamageError):
            return None

    def compatibility(self, owner: Property, request: Any) -> dict[str, Any]:
        """Answer a request of ``checkCompatibility``.

        Raises:
            InvalidRequestError: when the request is wrong or does not go together itself.
        """
        parsed = self._parsed(owner, request, CHECK_COMPATIBILITY)
        names = self._services.of(names_of(rules_at(owner, parsed.now_us)))
        return compatibility_document(request, parsed, names, with_hits=self._hits is not None)

    def _parsed(self, owner: Property, request: Any, method: Method) -> ReportRequest:
        now_us = self._now_us()
        rules = rules_at(owner, now_us)
        parsed = parse_request(
            request,
            now_us=now_us,
            time_zone=rules.time_zone,
            currency=rules.currency,
            method=method,
            names=names_of(rules),
            rates=[
                DatedRate(rate["currency"], rate["since"], rate["rate_nanos"])
                for rate in (each.row() for each in rules.exchange_rates)
            ],
            property_id=owner.property_id,
        )
        self._services.check(parsed)
        return parsed


def _wanted(planned: Plan, pointers: Pointers) -> Wanted:
    """The cells of a plan, and those of its totals."""
    return Wanted(
        property_id=planned.property_id,
        rollups=(planned.rollup, TOTALS) if planned.whole_measures else (planned.rollup,),
        spans=planned.spans,
        pointers=pointers,
        columns=planned.columns,
        with_sets=bool(planned.uniques),
        days=publications(planned.days, pointers.served),
    )


def _facts(request: Any, parsed: ReportRequest, owner: Property, pointers: Pointers) -> list[Any]:
    """All that an answer depends on besides its cells, as JSON."""
    version = version_at(owner, parsed.now_us)
    return [
        owner.property_id,
        parsed.method.name,
        request,
        [[each.name, each.start_us, each.end_us] for each in parsed.date_ranges],
        [version.version, version.effective_at],
        [pointers.map_version, pointers.overrides_version, pointers.served.to_json()],
    ]


def _document(
    planned: Plan, decoded: DecodedCells, totals: DecodedCells | None = None
) -> dict[str, Any]:
    if planned.request.pivots:
        return response_document(answer_pivots(planned, decoded))
    return response_document(answer(planned, decoded, totals))


def _planned(parsed: ReportRequest, property_id: int, *, is_with_hits: bool) -> Plan:
    """From cells where a rollup holds what is asked for, else from hits."""
    try:
        return plan(parsed, property_id)
    except InvalidRequestError:
        if not is_with_hits:
            raise
    return plan_of_hits(parsed, property_id)


def rules_at(owner: Property, instant_us: int) -> Rules:
    """The rules in force at an instant."""
    return version_at(owner, instant_us).rules


def version_at(owner: Property, instant_us: int) -> RulesVersion:
    """The version of the rules in force at an instant."""
    in_force = [version for version in owner.versions if version.effective_at <= instant_us]
    return in_force[-1] if in_force else owner.versions[0]
