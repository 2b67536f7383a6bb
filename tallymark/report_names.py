"""Report names: all that a property may ask for, its own definitions among it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Final

from tallymark.channel_groups import channel_column
from tallymark.dimensions import DIMENSIONS, REALTIME_DIMENSIONS, Dimension, key_text
from tallymark.metrics import METRICS, REALTIME_METRICS, Metric, MetricType
from tallymark.rule_documents import Rules
from tallymark.rule_documents.channel_groups import ChannelGroup
from tallymark.rule_documents.custom_definitions import CustomDimension, CustomMetric, Unit

_MAX_KEPT: Final = 1_000
_GROUPED: Final = (
    ("sessionCustomChannelGroup", "Session", ("source", "medium", "campaign", "channel")),
    (
        "firstUserCustomChannelGroup", "First user",
        ("first_source", "first_medium", "first_campaign", "first_channel"),
    ),
)  # fmt: skip
_TYPES: Final[Mapping[Unit, MetricType]] = {
    "standard": "TYPE_STANDARD", "currency": "TYPE_CURRENCY", "feet": "TYPE_FEET",
    "miles": "TYPE_MILES", "meters": "TYPE_METERS", "kilometers": "TYPE_KILOMETERS",
    "milliseconds": "TYPE_MILLISECONDS", "seconds": "TYPE_SECONDS", "minutes": "TYPE_MINUTES",
    "hours": "TYPE_HOURS",
}  # fmt: skip
_MICROS: Final = 1_000_000

_EVENT_VALUE: Final = Metric(
    name="eventValue", title="Event value", category="Event", type="TYPE_CURRENCY",
    of="amount_micros", among="eventValue", scale=_MICROS,
)  # fmt: skip
"""Of properties whose key events have default values."""


@dataclass(frozen=True)
class ReportNames:
    """Dimensions and metrics by the names that requests use."""

    dimensions: Mapping[str, Dimension]
    metrics: Mapping[str, Metric]

    def dimension(self, name: str) -> Dimension | None:
        """The dimension of a name, which may be a former one and is then kept."""
        if name in self.dimensions:
            return self.dimensions[name]
        every = self.dimensions.values()
        former = (replace(each, name=name) for each in every if name in each.deprecated_names)
        return next(former, None)

    def metric(self, name: str) -> Metric | None:
        """The metric of a name, which may be a former one and is then kept."""
        if name in self.metrics:
            return self.metrics[name]
        every = self.metrics.values()
        former = (replace(each, name=name) for each in every if name in each.deprecated_names)
        return next(former, None)


STANDARD: Final = ReportNames(DIMENSIONS, METRICS)
REALTIME: Final = ReportNames(REALTIME_DIMENSIONS, REALTIME_METRICS)


def names_of(rules: Rules) -> ReportNames:
    """What the property whose rules these are may ask for."""
    defined = (rules.custom_dimensions, rules.custom_metrics, rules.channel_groups)
    if not any(defined) and not rules.has_event_values:
        return STANDARD
    return _names(*defined, has_event_values=rules.has_event_values)


@lru_cache(_MAX_KEPT)
def _names(
    dimensions: tuple[CustomDimension, ...],
    metrics: tuple[CustomMetric, ...],
    groups: tuple[ChannelGroup, ...],
    *,
    has_event_values: bool,
) -> ReportNames:
    own = [
        *map(_dimension, dimensions),
        *(dimension for group in groups for dimension in _of_group(group)),
    ]
    measured = [found for metric in metrics for found in _metrics(metric)]
    measured += [_EVENT_VALUE] if has_event_values else []
    return ReportNames(
        DIMENSIONS | {dimension.name: dimension for dimension in own},
        METRICS | {metric.name: metric for metric in measured},
    )


def _dimension(defined: CustomDimension) -> Dimension:
    return Dimension(
        name=defined.api_name,
        title=defined.title or defined.parameter,
        category="Custom",
        keys=("custom_value",),
        value=key_text("custom_value"),
        is_custom=True,
        among=defined.api_name,
    )


def _metrics(defined: CustomMetric) -> list[Metric]:
    """Its sum, and as in GA4 its average and how often it was sent."""
    name, title = defined.api_name, defined.title or defined.parameter
    scope = name[:1].upper() + name[1:]
    kind = _TYPES[defined.unit]
    own = partial(Metric, category="Custom", is_custom=True, among=name, scale=_MICROS)
    return [
        own(name=name, title=title, type=kind, of="amount_micros"),
        own(
            name=f"average{scope}", title=f"Average {title}", type=kind, of="amount_micros",
            per="events",
        ),
        own(name=f"count{scope}", title=f"Count {title}", type="TYPE_INTEGER", of="events"),
    ]  # fmt: skip


def _of_group(group: ChannelGroup) -> list[Dimension]:
    return [
        Dimension(
            name=f"{prefix}:{group.name}",
            title=f"{scope} {group.title or group.name}",
            category="Traffic Source",
            keys=keys,
            value=partial(channel_column, group, keys),
            is_custom=True,
        )
        for prefix, scope, keys in _GROUPED
    ]
