"""The catalogue of names that reports can ask for: the answer of ``getMetadata``."""

from collections.abc import Mapping
from typing import Any

from tallymark.dimensions import Dimension
from tallymark.metrics import Metric
from tallymark.report_descriptions import DIMENSIONS, METRICS
from tallymark.report_names import ReportNames


def metadata_document(property_id: int, names: ReportNames) -> dict[str, Any]:
    """Every dimension and metric that is served."""
    return {
        "name": f"properties/{property_id}/metadata",
        "dimensions": [dimension_document(each) for each in names.dimensions.values()],
        "metrics": [metric_document(each) for each in names.metrics.values()],
    }


def dimension_document(dimension: Dimension) -> dict[str, Any]:
    """What is told of a dimension."""
    return _document(dimension, DIMENSIONS)


def metric_document(metric: Metric) -> dict[str, Any]:
    """What is told of a metric."""
    return _document(metric, METRICS) | {"type": metric.type}


def _document(entry: Dimension | Metric, descriptions: Mapping[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "apiName": entry.name,
        "uiName": entry.title,
        "description": descriptions.get(entry.name, f"{entry.title}, as the property defines it."),
        "category": entry.category,
    }
    if entry.deprecated_names:
        document["deprecatedApiNames"] = list(entry.deprecated_names)
    if entry.is_custom:  # as in GA, only what is defined by the property says so
        document["customDefinition"] = True
    return document
