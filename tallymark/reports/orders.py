"""Orders: what rows are sorted by."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from tallymark.reports.fields import Enum, Reader

ORDER_TYPES: Final = Enum(
    "OrderBy.DimensionOrderBy.OrderType",
    {
        "ORDER_TYPE_UNSPECIFIED": 0,
        "ALPHANUMERIC": 1,
        "CASE_INSENSITIVE_ALPHANUMERIC": 2,
        "NUMERIC": 3,
    },
)
_KINDS: Final = ("dimension", "metric", "pivot")


@dataclass(frozen=True)
class OrderBy:
    """One key of the order.

    Attributes:
        kind: Whether ``name`` is a dimension or a metric of the request, or a metric where
            ``selections`` hold.
        name: As in the request.
        order_type: How a dimension's texts compare.
        descending: Whether the largest come first.
        selections: The values that dimensions of other pivots must have.
    """

    kind: Literal["dimension", "metric", "pivot"]
    name: str
    order_type: str
    descending: bool
    selections: tuple[tuple[str, str], ...] = ()

    def key(self, column: pl.Expr) -> pl.Expr:
        """What is compared."""
        if self.order_type == "NUMERIC":
            return column.cast(pl.Float64, strict=False).fill_null(float("-inf"))
        if self.order_type == "CASE_INSENSITIVE_ALPHANUMERIC":
            return column.str.to_lowercase()
        return column


@dataclass(frozen=True)
class Orderable:
    """What rows may be ordered by.

    Attributes:
        dimensions: Names of dimensions of the rows.
        metrics: Names of metrics of the rows.
        others: Names of dimensions of other pivots; ``None`` where there are no pivots.
    """

    dimensions: Collection[str]
    metrics: Collection[str]
    others: Collection[str] | None = None


def read_orders(request: Reader, orderable: Orderable) -> tuple[OrderBy, ...]:
    """The orders of a request or pivot; each names something that rows have."""
    found = (_read_order(reader, orderable) for reader in request.objects("orderBys"))
    return tuple(order for order in found if order is not None)


def _read_order(reader: Reader, orderable: Orderable) -> OrderBy | None:
    kinds = ("dimension", "metric") if orderable.others is None else _KINDS
    reader.only(*_KINDS, "desc")
    descending = reader.flag("desc")
    given = [kind for kind in _KINDS if kind in reader.content]
    if len(given) != 1 or given[0] not in kinds:
        reader.complain(f"expected exactly one of {', '.join(kinds)}")
        return None
    inner = reader.object(given[0])
    assert inner is not None
    if given[0] == "dimension":
        inner.only("dimensionName", "orderType")
        order_type = inner.enum("orderType", ORDER_TYPES, "ALPHANUMERIC")
        name = _known(inner, "dimensionName", orderable.dimensions)
        return OrderBy("dimension", name, order_type, descending) if name else None
    if given[0] == "metric":
        inner.only("metricName")
        name = _known(inner, "metricName", orderable.metrics)
        return OrderBy("metric", name, "", descending) if name else None
    inner.only("metricName", "pivotSelections")
    name = _known(inner, "metricName", orderable.metrics)
    selections = _read_selections(inner, orderable.others or ())
    return OrderBy("pivot", name, "", descending, selections) if name else None


def _read_selections(reader: Reader, dimensions: Collection[str]) -> tuple[tuple[str, str], ...]:
    readers = reader.objects("pivotSelections")
    if not readers:
        reader.complain("pivotSelections: expected at least one")
    found = []
    for selection in readers:
        selection.only("dimensionName", "dimensionValue")
        name = _known(selection, "dimensionName", dimensions)
        found.append((name, selection.text("dimensionValue")))
    if len({name for name, _ in found}) < len(found):
        reader.complain("pivotSelections: expected each dimension once")
    return tuple(found)


def _known(reader: Reader, field: str, names: Collection[str]) -> str:
    name = reader.text(field)
    if name in names:
        return name
    reader.say(
        f"Field {name:.100} exists in OrderBy but is not defined in input Dimensions/Metrics list"
    )
    return ""
