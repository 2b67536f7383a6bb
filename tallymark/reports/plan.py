"""Plans: which rollup answers a request, and what has to be read for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tallymark.day_cells import Day, local_days
from tallymark.dimensions import DIMENSIONS, Dimension
from tallymark.hit_keys import HITS, ITEMS
from tallymark.metrics import AskedMetric, part_of
from tallymark.reports.dates import DateRange
from tallymark.reports.pivots import regrouped
from tallymark.reports.problems import InvalidRequestError
from tallymark.reports.realtime import MINUTE_ROLLUP
from tallymark.reports.request import ReportRequest
from tallymark.rollup_choice import (
    NOT_ADDITIVE,
    TOTALS,
    meant_by,
    missing,
    smallest_rollup,
    whole_by,
)
from tallymark.rollups import BY_NAME, Rollup
from tallymark.row_keys import rollup_range
from tallymark.slots import HOUR_US

_EXPLORER: Final = "https://ga-dev-tools.web.app/ga4/dimensions-metrics-explorer/"
MAX_DAYS: Final = 20_000
"""A report of more days than anybody has kept is answered from hours."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a report is computed from.

    Attributes:
        request: The report.
        property_id: Whose.
        rollup: The smallest that answers.
        meant: The name whose rows dimensions mean, in a rollup that counts within names.
        sums: Measures that are needed and are sums.
        uniques: Columns of unique sets that are needed.
        whole_measures: Those whose total is taken from the totals rollup: unique sets, because
            it keeps the most hashes, and sums that do not add up over rows.
        spans: Half-open slot ranges (UTC µs), disjoint, ascending.
    """

    request: ReportRequest
    property_id: int
    rollup: Rollup
    meant: str
    sums: tuple[str, ...]
    uniques: tuple[str, ...]
    whole_measures: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]

    @property
    def is_of_hits(self) -> bool:
        """Whether it is computed from hits; no cells are read."""
        return self.rollup.grain == "hit"

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the rollup that are needed."""
        needed = (*self.request.dimensions, *self.request.filter_dimensions)
        keys = dict.fromkeys(key for dimension in needed for key in dimension.keys)
        return ("minute", *keys) if self.request.is_realtime and "minute" not in keys else (*keys,)

    @property
    def days(self) -> list[Day]:
        """The local days that make up the spans, ascending; none where hours are told apart.

        Rates are those of UTC days, so amounts in other currencies are of hours too.
        """
        request = self.request
        if request.money.rates:
            return []
        if any(part.is_by_hour for part in (*request.dimensions, *request.filter_dimensions)):
            return []
        ranges = [part for part in request.date_ranges if isinstance(part, DateRange)]
        if sum((part.last - part.first).days + 1 for part in ranges) > MAX_DAYS:
            return []
        return sorted(
            {day for part in ranges for day in local_days(part.first, part.last, request.time_zone)}
        )

    @property
    def columns(self) -> frozenset[str]:
        """All columns of the rollup that are needed."""
        within = (self.rollup.within,) if self.rollup.within else ()
        sums = (column for column, _ in map(part_of, self.sums))
        return frozenset((*self.keys, *sums, *self.uniques, *within))


def key_ranges(
    property_id: int, rollup: Rollup, spans: tuple[tuple[int, int], ...]
) -> list[tuple[bytes, bytes]]:
    """Half-open row key ranges, disjoint where the spans are two days apart or joined."""
    ranges: list[tuple[bytes, bytes]] = []
    for start_us, end_us in spans:
        first, end = rollup_range(property_id, rollup.name, start_us, end_us)
        if ranges and first <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
        else:
            ranges.append((first, end))
    return ranges


def plan(request: ReportRequest, property_id: int) -> Plan:
    """How ``request`` is answered from cells.

    Raises:
        InvalidRequestError: when no rollup holds this combination.
    """
    asked = (request.dimensions, request.filter_dimensions, request.metrics)
    rollup, lacking = (
        (MINUTE_ROLLUP, missing(MINUTE_ROLLUP, *asked))
        if request.is_realtime
        else smallest_rollup(*asked)
    )
    if lacking:
        raise InvalidRequestError([_incompatible(request, lacking)])
    return _planned(request, property_id, rollup)


def plan_of_hits(request: ReportRequest, property_id: int) -> Plan:
    """How ``request`` is answered from hits, whether a rollup holds it or not.

    Raises:
        InvalidRequestError: when hits do not tell of this combination.
    """
    asked = (request.dimensions, request.filter_dimensions, request.metrics)
    lacking, rollup = _answered_best(*asked)
    if lacking:
        raise InvalidRequestError([_incompatible(request, lacking)])
    return _planned(request, property_id, rollup)


def _planned(request: ReportRequest, property_id: int, rollup: Rollup) -> Plan:
    measures = dict.fromkeys(measure for metric in request.metrics for measure in metric.measures)
    meant = meant_by((*request.dimensions, *request.filter_dimensions)) if rollup.within else ""
    return Plan(
        request=request,
        property_id=property_id,
        rollup=rollup,
        meant=meant,
        sums=tuple(name for name in measures if part_of(name)[0] in rollup.sums),
        uniques=tuple(name for name in measures if name in rollup.uniques),
        whole_measures=_whole_measures(request, rollup, meant, tuple(measures)),
        spans=_spans(request),
    )


def check(request: ReportRequest, *, with_hits: bool = False) -> None:
    """Raise ``InvalidRequestError`` when its dimensions and metrics do not go together."""
    asked = (request.dimensions, request.filter_dimensions, request.metrics)
    lacking = unanswered(*asked, with_hits=with_hits)
    if lacking:
        raise InvalidRequestError([_incompatible(request, lacking)])


def unanswered(
    rows_by: Sequence[Dimension],
    filtered_by: Sequence[Dimension],
    metrics: Sequence[AskedMetric],
    *,
    with_hits: bool = False,
) -> list[str]:
    """The names, as few as can be, without which the others can be answered together.

    Args:
        rows_by: What rows are told apart by.
        filtered_by: What filters need.
        metrics: What rows say.
        with_hits: Whether hits can be asked where no rollup answers.
    """
    lacking = smallest_rollup(rows_by, filtered_by, metrics)[1]
    return _answered_best(rows_by, filtered_by, metrics)[0] if lacking and with_hits else lacking


def _answered_best(
    rows_by: Sequence[Dimension], filtered_by: Sequence[Dimension], metrics: Sequence[AskedMetric]
) -> tuple[list[str], Rollup]:
    """What hits cannot answer, by hit or by item, and which of the two can answer more."""
    found = [(missing(each, rows_by, filtered_by, metrics), each) for each in (HITS, ITEMS)]
    return min(found, key=lambda entry: len(entry[0]))


def _whole_measures(
    request: ReportRequest, rollup: Rollup, meant: str, measures: tuple[str, ...]
) -> tuple[str, ...]:
    needed = {name: by for name in measures if (by := whole_by(rollup, name, meant))}
    repeated = list(needed)
    _check_pivots(request, needed)
    is_total = rollup is TOTALS or rollup.grain == "hit"
    if "TOTAL" not in request.aggregations or is_total or request.is_realtime:
        return ()
    is_whole = request.is_whole and not rollup.within  # the property may have defined it lately
    if repeated and not is_whole:
        raise InvalidRequestError([_not_additive(request, repeated, "filters or comparisons")])
    if not is_whole:
        return ()
    return tuple(
        name
        for name in measures
        if name in repeated or (name in rollup.uniques and name in TOTALS.uniques)
    )


def _check_pivots(request: ReportRequest, needed: Mapping[str, str]) -> None:
    """Refuse what is worked out again without the dimensions that measures need."""
    if any(not set(needed.values()) <= set(names) for names in regrouped(request.pivots)):
        raise InvalidRequestError(
            [_not_additive(request, list(needed), "orders by metrics (give orders by dimensions)")]
        )


def _not_additive(request: ReportRequest, repeated: list[str], other: str) -> str:
    names = [metric.name for metric in request.metrics if set(metric.measures) & set(repeated)]
    return (
        f"Please remove {', '.join(names)} or the {other} or the aggregation TOTAL: a session that"
        " viewed several pages (or has several values) is in the row of each, and the total of only"
        " some of them is not kept."
    )


def _incompatible(request: ReportRequest, lacking: list[str]) -> str:
    hints = [
        f" Or add {dimension}."
        for (name, _), dimension in NOT_ADDITIVE.items()
        if not missing(
            BY_NAME[name],
            (*request.dimensions, DIMENSIONS[dimension]),
            request.filter_dimensions,
            request.metrics,
        )
    ]
    return (
        f"Please remove {', '.join(lacking)} to make the request compatible for example. The"
        f" request's dimensions & metrics are incompatible. To learn more, see {_EXPLORER}"
        f"{''.join(hints)}"
    )


def _spans(request: ReportRequest) -> tuple[tuple[int, int], ...]:
    """The date ranges, overlapping and touching ones joined; of minutes the hours they lie in."""
    joined: list[tuple[int, int]] = []
    aligned_us = HOUR_US if request.is_realtime else 1
    for part in sorted(request.date_ranges, key=lambda each: each.start_us):
        start_us = part.start_us // aligned_us * aligned_us
        if joined and start_us <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(part.end_us, joined[-1][1]))
        else:
            joined.append((start_us, part.end_us))
    return tuple(joined)
