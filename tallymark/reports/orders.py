"""Orders: what rows are sorted by."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from tallymark.reports.fields import Reader

ORDER_TYPES: Final = {
    "ORDER_TYPE_UNSPECIFIED": 0,
    "ALPHANUMERIC": 1,
    "CASE_INSENSITIVE_ALPHANUMERIC": 2,
    "NUMERIC": 3,
}


@dataclass(frozen=True)
class OrderBy:
    """One key of the order.

    Attributes:
        kind: Whether ``name`` is a dimension or a metric of the request.
        name: As in the request.
        order_type: How a dimension's texts compare.
        descending: Whether the largest come first.
    """

    kind: Literal["dimension", "metric"]
    name: str
    order_type: str
    descending: bool

    def key(self, column: pl.Expr) -> pl.Expr:
        """What is compared."""
        if self.order_type == "NUMERIC":
            return column.cast(pl.Float64, strict=False).fill_null(float("-inf"))
        if self.order_type == "CASE_INSENSITIVE_ALPHANUMERIC":
            return column.str.to_lowercase()
        return column


def read_orders(
    request: Reader, dimensions: Collection[str], metrics: Collection[str]
) -> tuple[OrderBy, ...]:
    """The orders of a request; each names something that the request asks for."""
    return tuple(
        order
        for reader in request.objects("orderBys")
        if (order := _read_order(reader, dimensions, metrics)) is not None
    )


def _read_order(
    reader: Reader, dimensions: Collection[str], metrics: Collection[str]
) -> OrderBy | None:
    reader.only("dimension", "metric", "desc")
    descending = reader.flag("desc")
    dimension, metric = reader.object("dimension"), reader.object("metric")
    if (dimension is None) == (metric is None):
        reader.complain("expected exactly one of dimension and metric")
        return None
    if metric is not None:
        metric.only("metricName")
        name = _known(metric, "metricName", metrics)
        return OrderBy("metric", name, "", descending) if name else None
    assert dimension is not None
    dimension.only("dimensionName", "orderType")
    order_type = dimension.enum("orderType", ORDER_TYPES, "ALPHANUMERIC")
    name = _known(dimension, "dimensionName", dimensions)
    return OrderBy("dimension", name, order_type, descending) if name else None


def _known(reader: Reader, field: str, names: Collection[str]) -> str:
    name = reader.text(field)
    if name in names:
        return name
    asked = ", ".join(names) or "none"
    reader.complain(f"{field}: expected one that the request asks for ({asked}), got {name!r:.100}")
    return ""
