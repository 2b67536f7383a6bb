"""Requests of ``runFunnelReport`` (GA4 Data API v1alpha): JSON in, a checked funnel or all of its
problems out."""

from dataclasses import dataclass
from typing import Any, Final

from tallymark.reports.dates import DateRange, read_date_ranges
from tallymark.reports.fields import Enum, Reader
from tallymark.reports.filters import Filter, read_filter
from tallymark.reports.hit_fields import HIT_FIELDS, PARAMETER
from tallymark.reports.problems import InvalidRequestError

MAX_STEPS: Final = 10
MAX_VALUES: Final = 15
"""Values of a breakdown, as in Google's service."""
_USUAL_VALUES: Final = 5
_FIELDS: Final = (
    "property", "dateRanges", "funnel", "funnelBreakdown", "funnelVisualizationType",
    "dimensionFilter", "returnPropertyQuota",
)  # fmt: skip
_NOT_SERVED: Final = ("funnelNextAction", "segments", "limit")
_VISUALIZATIONS: Final = Enum(
    "RunFunnelReportRequest.FunnelVisualizationType",
    {"FUNNEL_VISUALIZATION_TYPE_UNSPECIFIED": 0, "STANDARD_FUNNEL": 1, "TRENDED_FUNNEL": 2},
)
_TESTS: Final = ("stringFilter", "inListFilter", "numericFilter", "betweenFilter")
_GROUPS: Final = ("andGroup", "orGroup")


@dataclass(frozen=True, kw_only=True)
class FunnelStep:
    """A step.

    Attributes:
        name: As people call it.
        filter: Which hits take it.
        is_direct: Whether no other hit may lie between the step before and this one.
        within_us: How long after the step before, in µs; ``None``: any time.
    """

    name: str
    filter: Filter
    is_direct: bool = False
    within_us: int | None = None


@dataclass(frozen=True, kw_only=True)
class FunnelRequest:
    """A funnel.

    Attributes:
        steps: In order.
        is_open: Whether users may enter at any step.
        days: The date range.
        filter: Which hits are looked at; ``None``: all.
        breakdown: The field that users are told apart by, as the hit says with which they entered;
            "": none.
        values: How many values of it are told.
        is_trended: Whether the visualization is by day.
        time_zone: Of the property.
    """

    steps: tuple[FunnelStep, ...]
    is_open: bool
    days: DateRange
    filter: Filter | None
    breakdown: str
    values: int
    is_trended: bool
    time_zone: str

    @property
    def fields(self) -> list[str]:
        """The fields of hits that it needs."""
        filters = [step.filter for step in self.steps] + ([self.filter] if self.filter else [])
        named = [name for each in filters for name in each.fields()]
        return list(dict.fromkeys([*named, *([self.breakdown] if self.breakdown else [])]))


def parse_funnel(
    document: Any, *, now_us: int, time_zone: str, property_id: int = 0
) -> FunnelRequest:
    """Check a request.

    Args:
        document: Decoded JSON.
        now_us: UTC µs, what "today" refers to.
        time_zone: Of the property.
        property_id: What a ``property`` in the request has to name; 0 for any.

    Raises:
        InvalidRequestError: with all that is wrong.
    """
    reader = Reader.of(document)
    problems = reader.problems
    _refuse_unserved(reader)
    reader.only(*_FIELDS, *_NOT_SERVED)
    reader.check_property(property_id)
    ranges = read_date_ranges(reader, now_us, time_zone)
    if len(ranges) > 1:
        reader.complain("dateRanges: expected one")
    steps, is_open = _read_steps(reader)
    breakdown, values = _read_breakdown(reader)
    kind = reader.enum("funnelVisualizationType", _VISUALIZATIONS, "STANDARD_FUNNEL")
    reader.flag("returnPropertyQuota")
    found = read_filter(reader.object("dimensionFilter"))
    _check_fields(reader, "dimensionFilter", found)
    if problems:
        raise InvalidRequestError(problems)
    return FunnelRequest(
        steps=tuple(steps), is_open=is_open, days=ranges[0], filter=found, breakdown=breakdown,
        values=values, is_trended=kind == "TRENDED_FUNNEL", time_zone=time_zone,
    )  # fmt: skip


def _refuse_unserved(reader: Reader) -> None:
    for name in _NOT_SERVED:
        if reader.content.get(name):
            reader.complain(f"{name} is not served: leave it out")


def _read_steps(reader: Reader) -> tuple[list[FunnelStep], bool]:
    funnel = reader.object("funnel")
    if funnel is None:
        reader.complain("funnel: expected steps")
        return [], False
    funnel.only("isOpenFunnel", "steps")
    steps = funnel.objects("steps")
    if not 1 <= len(steps) <= MAX_STEPS:
        funnel.complain(f"steps: expected 1 to {MAX_STEPS}, got {len(steps)}")
    found = [_read_step(step, number) for number, step in enumerate(steps, start=1)]
    return [step for step in found if step is not None], funnel.flag("isOpenFunnel")


def _read_step(reader: Reader, number: int) -> FunnelStep | None:
    reader.only("name", "isDirectlyFollowedBy", "withinDurationFromPriorStep", "filterExpression")
    expression = reader.object("filterExpression")
    if expression is None or not expression.content:
        reader.complain("filterExpression: expected one")
        return None
    read = read_filter(Reader(_plain(expression), expression.where, reader.problems))
    _check_fields(reader, "filterExpression", read)
    within_us = _read_duration(reader)
    if read is None:
        return None
    return FunnelStep(
        name=f"{number}. {reader.text('name') or f'Step {number}'}",
        filter=read,
        is_direct=reader.flag("isDirectlyFollowedBy"),
        within_us=within_us,
    )


def _read_duration(reader: Reader) -> int | None:
    """Protobuf's JSON of a duration: seconds with an ``s``."""
    text = reader.text("withinDurationFromPriorStep")
    if not text:
        return None
    try:
        seconds = float(text.removesuffix("s"))
        if not (text.endswith("s") and 0 <= seconds < 1e9):
            raise ValueError
    except ValueError:
        reader.complain(f"withinDurationFromPriorStep: expected seconds as 300s, got {text!r:.40}")
        return None
    return round(seconds * 1_000_000)


def _plain(reader: Reader) -> dict[str, Any]:
    """A filter of funnels as one of reports, whose tests are the same."""
    content = reader.content
    for group in _GROUPS:
        if isinstance(content.get(group), dict):
            inner = reader.object(group)
            assert inner is not None
            members = [_plain(member) for member in inner.objects("expressions")]
            return {group: {"expressions": members}}
    if isinstance(content.get("notExpression"), dict):
        inner = reader.object("notExpression")
        assert inner is not None
        return {"notExpression": _plain(inner)}
    for name, plain in (
        ("funnelFieldFilter", _field), ("funnelEventFilter", _event),
        ("funnelParameterFilter", _parameter),
    ):  # fmt: skip
        inner = reader.object(name)
        if inner is not None:
            return plain(inner)
    reader.complain(
        "expected exactly one of andGroup, orGroup, notExpression, funnelFieldFilter, "
        "funnelEventFilter"
    )
    return {"filter": {"fieldName": "eventName", "stringFilter": {}}}


def _field(reader: Reader) -> dict[str, Any]:
    reader.only("fieldName", *_TESTS)
    return {"filter": dict(reader.content)}


def _event(reader: Reader) -> dict[str, Any]:
    reader.only("eventName", "funnelParameterFilterExpression")
    name = {"value": reader.text("eventName"), "caseSensitive": True}
    parts: list[dict[str, Any]] = [{"filter": {"fieldName": "eventName", "stringFilter": name}}]
    parameters = reader.object("funnelParameterFilterExpression")
    if parameters is not None and parameters.content:
        parts.append(_plain(parameters))
    return {"andGroup": {"expressions": parts}}


def _parameter(reader: Reader) -> dict[str, Any]:
    reader.only("eventParameterName", "itemParameterName", *_TESTS)
    name = reader.text("eventParameterName")
    if not name:
        reader.complain("expected eventParameterName; parameters of items are not served")
    tests = {test: reader.content[test] for test in _TESTS if test in reader.content}
    return {"filter": {"fieldName": f"{PARAMETER}{name}"} | tests}


def _check_fields(reader: Reader, where: str, found: Filter | None) -> None:
    for name in dict.fromkeys(found.fields() if found else ()):
        if name not in HIT_FIELDS and not name.startswith(PARAMETER):
            reader.complain(f"{where}: expected a field of {', '.join(HIT_FIELDS)}, got {name!r}")


def _read_breakdown(reader: Reader) -> tuple[str, int]:
    breakdown = reader.object("funnelBreakdown")
    if breakdown is None:
        return "", _USUAL_VALUES
    breakdown.only("breakdownDimension", "limit")
    dimension = breakdown.object("breakdownDimension")
    name = dimension.text("name") if dimension else ""
    if name not in HIT_FIELDS:
        breakdown.complain(
            f"breakdownDimension: expected a field of {', '.join(HIT_FIELDS)}, got {name!r}"
        )
    limit = breakdown.whole("limit", _USUAL_VALUES)
    if not 1 <= limit <= MAX_VALUES:
        breakdown.complain(f"limit: expected 1 to {MAX_VALUES}, got {limit}")
    return name, limit
