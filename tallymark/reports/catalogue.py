"""The catalogue of names that reports can ask for: the answer of ``getMetadata``."""

from typing import Any

from tallymark.metrics import DIMENSIONS, METRICS


def metadata_document(property_id: int) -> dict[str, Any]:
    """Every dimension and metric that is served."""
    return {
        "name": f"properties/{property_id}/metadata",
        "dimensions": [
            {
                "apiName": dimension.name,
                "uiName": dimension.title,
                "category": dimension.category,
            }
            for dimension in DIMENSIONS.values()
        ],
        "metrics": [
            {
                "apiName": metric.name,
                "uiName": metric.title,
                "category": metric.category,
                "type": metric.type,
            }
            for metric in METRICS.values()
        ],
    }
