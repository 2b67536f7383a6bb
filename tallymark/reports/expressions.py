"""Expressions: dimensions and metrics that a request derives from others."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tallymark.dimensions import Dimension, TimeUnit
from tallymark.metrics import AskedMetric, MetricType
from tallymark.reports.fields import Reader

MAX_FORMULA_CHARACTERS: Final = 500
MAX_DEPTH: Final = 20
MAX_DELIMITER_CHARACTERS: Final = 100
MAX_PARTS: Final = 100
"""Metrics or dimensions in one expression, those of expressions in it counted too."""
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>[0-9]{1,15}(?:\.[0-9]{1,15})?)"
    r"|(?P<name>[A-Za-z_]\w*(?::\w+)?(?:\[\w+\])?)"
    r"|(?P<sign>[-+*/()]))",
    re.ASCII,
)
_KINDS: Final = ("lowerCase", "upperCase", "concatenate")
_FINEST: Final[tuple[TimeUnit, ...]] = ("minute", "hour", "day")

Measures = Mapping[str, npt.NDArray[np.int64]]
Values = npt.NDArray[np.int64] | npt.NDArray[np.float64]
Formula = Callable[[Measures], Values]


@dataclass(frozen=True)
class DerivedMetric:
    """A metric that a formula gives.

    Attributes:
        name: As the request calls it.
        type: That of the metric where the formula is one alone, else a float.
        measures: The measures of all metrics in it.
        formula: Values from measures; what is divided by nothing is 0.
        parts: How many metrics are in it, those of formulas in it counted too.
    """

    name: str
    type: MetricType
    measures: tuple[str, ...]
    formula: Formula
    parts: int

    def value(self, measures: Measures) -> Values:
        """Its values from those of measures."""
        return self.formula(measures)


@dataclass(frozen=True, kw_only=True)
class DerivedDimension(Dimension):
    """A dimension that an expression gives.

    Attributes:
        parts: How many dimensions are in it, those of expressions in it counted too.
    """

    parts: int


class FormulaError(ValueError):
    """A formula that cannot be read; says what was expected where."""


def derived_metric(
    name: str, text: str, metric: Callable[[str], AskedMetric | None]
) -> DerivedMetric:
    """The metric that a formula of ``+ - * / ( )``, numbers and names of metrics gives.

    Args:
        name: What the request calls it.
        text: The formula.
        metric: The metric of a name that stands in it.

    Raises:
        FormulaError: when it is none.
    """
    if len(text) > MAX_FORMULA_CHARACTERS:
        raise FormulaError(f"expected at most {MAX_FORMULA_CHARACTERS} characters")
    parser = _Parser(text, metric)
    formula = parser.whole()
    used = parser.used
    if not used:
        raise FormulaError(f"expected at least one metric in {text!r:.120}")
    parts = sum(_parts(each) for each in used)
    if parts > MAX_PARTS:
        raise FormulaError(f"expected at most {MAX_PARTS} metrics, got {parts}")
    measures = tuple(dict.fromkeys(measure for each in used for measure in each.measures))
    if len(used) == 1 and parser.is_alone:
        return DerivedMetric(name, used[0].type, measures, used[0].value, parts)
    return DerivedMetric(name, "TYPE_FLOAT", measures, formula, parts)


def _parts(of: object) -> int:
    return of.parts if isinstance(of, DerivedMetric | DerivedDimension) else 1


class _Parser:
    """Reads one formula from left to right."""

    def __init__(self, text: str, metric: Callable[[str], AskedMetric | None]) -> None:
        self._text = text
        self._metric = metric
        self._place = 0
        self._word = ""
        self._kind: str | None = None
        self._depth = 0
        self.used: list[AskedMetric] = []
        self.is_alone = True
        self._next()

    def whole(self) -> Formula:
        """The formula, to its end."""
        found = self._sum()
        if self._kind is not None:
            raise self._unexpected("an operator")
        return found

    def _next(self) -> None:
        rest = self._text[self._place :]
        found = _TOKEN.match(rest)
        if found is None:
            self._kind, self._word = ("unknown", rest.strip()) if rest.strip() else (None, "")
            return
        self._kind, self._word = found.lastgroup, found[found.lastgroup or 0]
        self._place += found.end()

    def _unexpected(self, expected: str) -> FormulaError:
        came = f"{self._word:.40}" if self._word else "the end"
        return FormulaError(f"expected {expected}, got {came}, in {self._text!r:.120}")

    def _sum(self) -> Formula:
        return self._chain(self._product, "+-")

    def _product(self) -> Formula:
        return self._chain(self._factor, "*/")

    def _chain(self, part: Callable[[], Formula], signs: str) -> Formula:
        found = part()
        while self._kind == "sign" and self._word in signs:
            self.is_alone = False
            sign = self._word
            self._next()
            found = _combined(sign, found, part())
        return found

    def _factor(self) -> Formula:
        kind, word = self._kind, self._word
        if kind == "sign" and word in "(-":
            return self._inner(word)
        if kind not in ("number", "name"):
            raise self._unexpected("a metric, a number or (")
        self._next()
        if kind == "number":
            self.is_alone = False
            number = np.array([float(word)])
            return lambda _: number
        metric = self._metric(word)
        if metric is None:
            raise FormulaError(f"Field {word:.100} is not a valid metric")
        self.used.append(metric)
        return metric.value

    def _inner(self, sign: str) -> Formula:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FormulaError(f"expected at most {MAX_DEPTH} parentheses and signs in each other")
        self._next()
        if sign == "-":
            self.is_alone = False
            found = _combined("-", lambda _: np.array([0.0]), self._factor())
        else:
            found = self._sum()
            if (self._kind, self._word) != ("sign", ")"):
                raise self._unexpected("an operator or )")
            self._next()
        self._depth -= 1
        return found


def _combined(sign: str, left: Formula, right: Formula) -> Formula:
    operation = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[sign]

    def formula(measures: Measures) -> Values:
        with np.errstate(all="ignore"):
            found = operation(left(measures), right(measures), dtype=np.float64)
        return np.where(np.isfinite(found), found, 0.0)

    return formula


def derived_dimension(
    name: str, reader: Reader, dimension: Callable[[str], Dimension | None]
) -> Dimension | None:
    """The dimension of a ``dimensionExpression``; problems go to the reader's list.

    Args:
        name: What the request calls it.
        reader: The expression.
        dimension: The dimension of a name that stands in it.
    """
    reader.only(*_KINDS)
    given = [kind for kind in _KINDS if kind in reader.content]
    if len(given) != 1:
        reader.complain(f"expected exactly one of {', '.join(_KINDS)}")
        return None
    inner = reader.object(given[0])
    assert inner is not None
    if given[0] == "concatenate":
        inner.only("dimensionNames", "delimiter")
        asked, delimiter = inner.texts("dimensionNames"), inner.text("delimiter")
        if len(delimiter) > MAX_DELIMITER_CHARACTERS:
            inner.complain(f"delimiter: expected at most {MAX_DELIMITER_CHARACTERS} characters")
    else:
        inner.only("dimensionName")
        asked, delimiter = [inner.text("dimensionName")], ""
    parts = [(each, dimension(each)) for each in asked]
    for each in [each for each, known in parts if known is None][:MAX_PARTS]:
        inner.complain(f"Field {each:.100} is not a valid dimension")
    if not asked:
        inner.complain("dimensionNames: expected at least one")
    found = [known for _, known in parts if known is not None]
    if sum(map(_parts, found)) > MAX_PARTS:
        inner.complain(f"expected at most {MAX_PARTS} dimensions")
        return None
    if not asked or len(found) < len(asked):
        return None
    return _derived(name, found, _texts(given[0], found, delimiter))


def _derived(name: str, of: list[Dimension], value: Callable[[], pl.Expr]) -> Dimension:
    units = {each.time for each in of}
    return DerivedDimension(
        name=name,
        title=name,
        parts=sum(map(_parts, of)),
        category=of[0].category,
        keys=tuple(dict.fromkeys(key for each in of for key in each.keys)),
        value=value,
        time=next((unit for unit in _FINEST if unit in units), None),
    )


def _texts(kind: str, of: list[Dimension], delimiter: str) -> Callable[[], pl.Expr]:
    if kind == "lowerCase":
        return of[0].value().str.to_lowercase
    if kind == "upperCase":
        return of[0].value().str.to_uppercase
    return lambda: pl.concat_str([each.value() for each in of], separator=delimiter)
