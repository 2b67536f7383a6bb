"""The catalogue of names that reports can ask for: the answer of ``getMetadata``."""

from typing import Any

from tallymark.metrics import Dimension, Metric
from tallymark.report_names import ReportNames


def metadata_document(property_id: int, names: ReportNames) -> dict[str, Any]:
    """Every dimension and metric that is served to a property."""
    return {
        "name": f"properties/{property_id}/metadata",
        "dimensions": [_field(dimension) for dimension in names.dimensions.values()],
        "metrics": [_field(metric) | {"type": metric.type} for metric in names.metrics.values()],
    }


def _field(entry: Dimension | Metric) -> dict[str, Any]:
    """What is told of either; as in GA, only what is defined by the property says so."""
    told = {"apiName": entry.name, "uiName": entry.title, "category": entry.category}
    return told | {"customDefinition": True} if entry.is_custom else told
