"""Report names: all that a property may ask for, its own definitions among it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Final

from tallymark.channel_groups import channel_column
from tallymark.metrics import (
    DIMENSIONS,
    METRICS,
    REALTIME_DIMENSIONS,
    REALTIME_METRICS,
    Dimension,
    Metric,
)
from tallymark.rule_documents import Rules
from tallymark.rule_documents.channel_groups import ChannelGroup

_MAX_KEPT: Final = 1_000
_GROUPED: Final = (
    ("sessionCustomChannelGroup", "Session", ("source", "medium", "campaign", "channel")),
    (
        "firstUserCustomChannelGroup", "First user",
        ("first_source", "first_medium", "first_campaign", "first_channel"),
    ),
)  # fmt: skip


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
    return _names(rules.channel_groups) if rules.channel_groups else STANDARD


@lru_cache(_MAX_KEPT)
def _names(groups: tuple[ChannelGroup, ...]) -> ReportNames:
    own = [dimension for group in groups for dimension in _of_group(group)]
    return ReportNames(DIMENSIONS | {dimension.name: dimension for dimension in own}, METRICS)


def _of_group(group: ChannelGroup) -> list[Dimension]:
    return [
        Dimension(
            name=f"{prefix}:{group.name}",
            title=f"{scope} {group.title or group.name}",
            category="Traffic source",
            keys=keys,
            value=partial(channel_column, group, keys),
            is_custom=True,
        )
        for prefix, scope, keys in _GROUPED
    ]
