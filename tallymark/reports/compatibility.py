"""Compatibility: which further dimensions and metrics a report may have."""

from collections.abc import Callable
from typing import Any, Final

from tallymark.dimensions import Dimension
from tallymark.metrics import AskedMetric
from tallymark.report_names import ReportNames
from tallymark.reports.catalogue import dimension_document, metric_document
from tallymark.reports.fields import Enum, Reader, normalised
from tallymark.reports.plan import check, unanswered
from tallymark.reports.problems import InvalidRequestError
from tallymark.reports.request import ReportRequest

_COMPATIBILITY: Final = Enum(
    "Compatibility", {"COMPATIBILITY_UNSPECIFIED": 0, "COMPATIBLE": 1, "INCOMPATIBLE": 2}
)


def compatibility_document(
    document: Any, request: ReportRequest, names: ReportNames, *, with_hits: bool = False
) -> dict[str, Any]:
    """The answer of ``checkCompatibility``.

    Args:
        document: Decoded JSON.
        request: The same, checked.
        names: What the property may ask for.
        with_hits: Whether hits can be asked where no rollup answers.

    Raises:
        InvalidRequestError: when what the request names does not go together itself.
    """
    problems: list[str] = []
    reader = Reader(normalised(document), "", problems)
    wanted = reader.enum("compatibilityFilter", _COMPATIBILITY, "COMPATIBILITY_UNSPECIFIED")
    if problems:
        raise InvalidRequestError(problems)
    check(request, with_hits=with_hits)
    dimensions = [
        {
            "dimensionMetadata": dimension_document(each),
            "compatibility": _said(request, (each,), (), with_hits=with_hits),
        }
        for each in names.dimensions.values()
    ]
    metrics = [
        {
            "metricMetadata": metric_document(each),
            "compatibility": _said(request, (), (each,), with_hits=with_hits),
        }
        for each in names.metrics.values()
    ]
    is_wanted = _only(wanted)
    return {
        "dimensionCompatibilities": list(filter(is_wanted, dimensions)),
        "metricCompatibilities": list(filter(is_wanted, metrics)),
    }


def _said(
    request: ReportRequest,
    dimensions: tuple[Dimension, ...],
    metrics: tuple[AskedMetric, ...],
    *,
    with_hits: bool,
) -> str:
    lacking = unanswered(
        (*request.dimensions, *dimensions),
        request.filter_dimensions,
        (*request.metrics, *metrics),
        with_hits=with_hits,
    )
    return "INCOMPATIBLE" if lacking else "COMPATIBLE"


def _only(wanted: str) -> Callable[[dict[str, Any]], bool]:
    return lambda entry: wanted in ("COMPATIBILITY_UNSPECIFIED", entry["compatibility"])
