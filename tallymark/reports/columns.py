"""Columns: the dimensions and metrics of a request, those that it derives itself among them."""

import difflib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from tallymark.dimensions import Dimension
from tallymark.metrics import AskedMetric
from tallymark.report_names import REALTIME, ReportNames
from tallymark.reports.comparisons import COMPARISON
from tallymark.reports.expressions import FormulaError, derived_dimension, derived_metric
from tallymark.reports.fields import Reader
from tallymark.reports.filters import Filter

MAX_DIMENSIONS: Final = 9
MAX_METRICS: Final = 10
DATE_RANGE: Final = "dateRange"
"""The dimension that reports of several date ranges have besides those asked for."""
RESERVED: Final = (DATE_RANGE, COMPARISON)
_OWN_NAME: Final = re.compile("[a-zA-Z0-9_]+")
_SCHEMA: Final = "https://developers.google.com/analytics/devguides/reporting/data/v1/"

Column = TypeVar("Column", Dimension, AskedMetric)
Lookup = Callable[[str], Column | None]


@dataclass(frozen=True)
class Columns:
    """What a request calls by name.

    Attributes:
        names: What may be asked for.
        dimensions: Those of the request, in its order.
        metrics: Those of the request, in its order.
        invisible: Names of metrics that the response leaves out.
    """

    names: ReportNames
    dimensions: dict[str, Dimension]
    metrics: dict[str, AskedMetric]
    invisible: frozenset[str]

    def dimension(self, name: str) -> Dimension | None:
        """The dimension of a name: the request's own, else one of the catalogue."""
        return self.dimensions.get(name) or self.names.dimension(name)

    def metric(self, name: str) -> AskedMetric | None:
        """The metric of a name: the request's own, else one of the catalogue."""
        return self.metrics.get(name) or self.names.metric(name)

    def filtered_by(
        self, reader: Reader, place: str, found: Filter | None
    ) -> tuple[Dimension, ...]:
        """The dimensions of a filter; problems go to the reader's list."""
        known = {name: self.dimension(name) for name in (found.fields() if found else ())}
        for name, dimension in known.items():
            if dimension is None:
                sentence = invalid_field(name, "dimension", self.names)
                reader.say(f"{place}: {sentence}")
        return tuple(dimension for dimension in known.values() if dimension is not None)


def read_columns(request: Reader, names: ReportNames) -> Columns:
    """The dimensions and metrics of a request; problems go to the reader's list."""
    dimensions = _Resolver(
        request.objects("dimensions")[:MAX_DIMENSIONS], _read_dimension, names, names.dimension
    )
    metrics = _Resolver(request.objects("metrics")[:MAX_METRICS], _read_metric, names, names.metric)
    for name in metrics.repeated:
        request.say(f"Duplicate metrics are not allowed. Found duplicate metrics: {name:.100}")
    for name in dimensions.repeated:
        request.say(f"Found duplicate dimensions: {name:.100}")
    return Columns(names, dimensions.found(), metrics.found(), _read_invisible(request))


class _Resolver(Generic[Column]):
    """Reads columns that may be derived from each other, in whatever order they stand."""

    def __init__(
        self,
        readers: Sequence[Reader],
        read: Callable[[Reader, ReportNames, Lookup[Column]], Column | None],
        names: ReportNames,
        known: Lookup[Column],
    ) -> None:
        self._read: Callable[[Reader, ReportNames, Lookup[Column]], Column | None] = read
        self._names = names
        self._known: Lookup[Column] = known
        self._found: dict[str, Column | None] = {}
        self._pending: dict[str, Reader] = {}
        self.repeated: list[str] = []
        for reader in readers:
            name = reader.text("name")
            if name in self._pending:
                self.repeated.append(name)
            self._pending[name] = reader

    def found(self) -> dict[str, Column]:
        """All that could be read, by name, in the order of the request."""
        every = {name: self._column(name) for name in [*self._pending]}
        return {name: column for name, column in every.items() if column is not None}

    def _column(self, name: str) -> Column | None:
        """The column of a name: the request's own, unless it needs itself, else a known one."""
        if name in self._pending:
            self._found[name] = None
            self._found[name] = self._read(self._pending.pop(name), self._names, self._column)
        return self._found[name] if name in self._found else self._known(name)


def limit_columns(request: Reader, columns: Columns, filtered_by: Collection[Dimension]) -> None:
    """Complain about more columns than one request may have; filters count among dimensions."""
    others = {dimension.name for dimension in filtered_by} - columns.dimensions.keys()
    for kind, most, asked in (
        ("dimensions", MAX_DIMENSIONS, len(request.objects("dimensions")) + len(others)),
        ("metrics", MAX_METRICS, len(request.objects("metrics"))),
    ):
        if asked > most:
            request.say(
                f"Requests are limited to {most} {kind} within a nested request.\n"
                f"  This request is for {asked} {kind}."
            )


def invalid_field(name: str, kind: str, names: ReportNames) -> str:
    """What is said of a name that nothing has; the spaces are those of Google's own servers."""
    known = names.dimensions if kind == "dimension" else names.metrics
    close = difflib.get_close_matches(name[:100], known, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    space = " " if kind == "dimension" else "  "
    schema = "realtime-api-schema" if names is REALTIME else "api-schema"
    return (
        f"{hint}Field {name:.100} is not a valid {kind}.{space}For a list of valid dimensions and"
        f" metrics, see {_SCHEMA}{schema} "
    )


def _read_invisible(request: Reader) -> frozenset[str]:
    return frozenset(
        reader.text("name") for reader in request.objects("metrics") if reader.flag("invisible")
    )


def _read_metric(
    reader: Reader, names: ReportNames, other: Lookup[AskedMetric]
) -> AskedMetric | None:
    reader.only("name", "expression", "invisible")
    name, text = reader.text("name"), reader.text("expression")
    if not text:
        return _known(reader, name, names.metric(name), "metric", names)
    if not _is_own_name(reader, name):
        return None
    try:
        return derived_metric(name, text, other)
    except FormulaError as error:
        reader.complain(f"expression: {error}")
        return None


def _read_dimension(
    reader: Reader, names: ReportNames, other: Lookup[Dimension]
) -> Dimension | None:
    reader.only("name", "dimensionExpression")
    name, expression = reader.text("name"), reader.object("dimensionExpression")
    if expression is None:
        return _known(reader, name, names.dimension(name), "dimension", names)
    if not _is_own_name(reader, name):
        return None
    return derived_dimension(name, expression, other)


def _known(
    reader: Reader, name: str, found: Column | None, kind: str, names: ReportNames
) -> Column | None:
    if found is None:
        reader.say(invalid_field(name, kind, names))
    return found


def _is_own_name(reader: Reader, name: str) -> bool:
    is_good = bool(_OWN_NAME.fullmatch(name)) and name not in RESERVED
    if not is_good:
        reader.complain(
            "name: expected letters, digits and _, and no name that the API itself uses, got"
            f" {name!r:.100}"
        )
    return is_good
