"""Pivots: which dimensions make the rows and the columns of a pivot report, as requests say it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Final

from tallymark.reports.aggregations import AGGREGATIONS
from tallymark.reports.fields import Reader
from tallymark.reports.orders import Orderable, OrderBy, read_orders

MAX_CELLS: Final = 250_000
MAX_PIVOTS: Final = 9


@dataclass(frozen=True, kw_only=True)
class Pivot:
    """One pivot.

    Attributes:
        fields: Names of its dimensions.
        order_bys: How its combinations of values are sorted.
        offset: How many combinations are left out in front.
        limit: How many are answered at most.
        aggregations: Of ``AGGREGATIONS``, taken over its dimensions.
    """

    fields: tuple[str, ...]
    order_bys: tuple[OrderBy, ...]
    offset: int
    limit: int
    aggregations: tuple[str, ...]


def regrouped(pivots: Sequence[Pivot]) -> set[tuple[str, ...]]:
    """The dimensions by which all metrics are worked out again, besides those of all pivots."""
    found = {
        (*pivot.fields, *(name for name, _ in order.selections))
        for pivot in pivots
        for order in pivot.order_bys
        if order.kind != "dimension"
    } | {pivot.fields for pivot in pivots if not pivot.order_bys}
    return found | {shown_fields(pivots, taken) for taken in taken_together(pivots, "TOTAL")}


def taken_together(pivots: Sequence[Pivot], aggregation: str) -> list[tuple[int, ...]]:
    """The places of pivots over which an aggregation is taken: each choice of them."""
    over = [index for index, pivot in enumerate(pivots) if aggregation in pivot.aggregations]
    return [taken for size in range(1, len(over) + 1) for taken in combinations(over, size)]


def shown_fields(pivots: Sequence[Pivot], taken: Collection[int]) -> tuple[str, ...]:
    """The dimensions that still have values where an aggregation is taken over some pivots."""
    left = (pivot for index, pivot in enumerate(pivots) if index not in taken)
    return tuple(name for pivot in left for name in pivot.fields)


def pivot_fields(request: Reader) -> tuple[str, ...]:
    """The names of all dimensions of the pivots of a request, in their order."""
    return tuple(
        name for reader in request.objects("pivots") for name in reader.texts("fieldNames")
    )


def read_pivots(
    request: Reader, dimensions: Collection[str], metrics: Collection[str]
) -> tuple[Pivot, ...]:
    """The pivots of a request; problems go to the reader's list.

    Args:
        request: The request.
        dimensions: Names of the dimensions that pivots may have.
        metrics: Names of the metrics that their combinations may be ordered by.
    """
    readers = request.objects("pivots")
    if not 1 <= len(readers) <= MAX_PIVOTS:
        request.complain(f"pivots: expected 1 to {MAX_PIVOTS}, got {len(readers)}")
        return ()
    every = pivot_fields(request)
    for name in dict.fromkeys(every):
        if every.count(name) > 1:
            request.complain(f"pivots: expected each dimension once, got {name:.100} again")
    pivots = tuple(_read_pivot(reader, dimensions, metrics, every) for reader in readers)
    cells = prod(pivot.limit for pivot in pivots)
    if cells > MAX_CELLS:
        request.complain(
            f"pivots: expected limits whose product is at most {MAX_CELLS}, got {cells}"
        )
    return pivots


def _read_pivot(
    reader: Reader, dimensions: Collection[str], metrics: Collection[str], every: tuple[str, ...]
) -> Pivot:
    reader.only("fieldNames", "orderBys", "offset", "limit", "metricAggregations")
    fields = reader.texts("fieldNames")
    if not fields:
        reader.complain("fieldNames: expected at least one")
    for name in fields:
        if name not in dimensions:
            reader.complain(f"fieldNames: expected a dimension of the request, got {name:.100}")
    others = [name for name in every if name not in fields]
    limit, offset = reader.whole("limit"), reader.whole("offset")
    if limit < 1:
        reader.complain(f"limit: expected a positive number, which every pivot needs, got {limit}")
    if offset < 0:
        reader.say(f"offset must be positive. The API received offset = {offset}")
    return Pivot(
        fields=tuple(fields),
        order_bys=read_orders(reader, Orderable(fields, metrics, others)),
        offset=offset,
        limit=limit,
        aggregations=reader.enums("metricAggregations", AGGREGATIONS),
    )
