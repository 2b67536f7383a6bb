"""Aggregations: what may be said of all rows together, and how responses mark it."""

from typing import Final

from tallymark.reports.fields import Enum

AGGREGATIONS: Final = Enum(
    "MetricAggregation",
    {"METRIC_AGGREGATION_UNSPECIFIED": 0, "TOTAL": 1, "COUNT": 4, "MINIMUM": 5, "MAXIMUM": 6},
)
MARKS: Final = {
    "TOTAL": "RESERVED_TOTAL",
    "COUNT": "RESERVED_COUNT",
    "MINIMUM": "RESERVED_MIN",
    "MAXIMUM": "RESERVED_MAX",
}
"""What stands in the place of the values of dimensions."""
