"""Reports drawn at random: each as a request of the API and as SQL."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from hypothesis import strategies as st

from tests.e2e.cells_reader import LAYOUTS
from tests.report_api.plain_sql import DIMENSIONS, KEYS, METRICS, Asked, Range

Json = dict[str, Any]
TABLES = (
    "totals", "acquisition", "first_user", "visitors", "landing", "technology", "pages", "events",
)  # fmt: skip
BY_TIME = [name for name in DIMENSIONS if name not in KEYS and "ourceMedium" not in name]
BY_TIME = [name for name in BY_TIME if "inute" not in name]
TEXTS = (
    "google 100%", "Google 100%", "ärztin", "ÄRZTIN", "(not set)", "(direct)", "email", "/",
    "/größe_1", "_", "%", "page", "purchase", "new", "Chrome", "mobile", "shop.example", "e",
    "2023", "",
)  # fmt: skip
PATTERNS = ("g.*", ".*%", "[a-z]+", "^/", "e$", "Ä.*", "(page|scroll).*", "2023110[2-5].*", ".")
_TEXT_TESTS = {
    "EXACT": "{it} = {value}",
    "BEGINS_WITH": "starts_with({it}, {value})",
    "ENDS_WITH": "ends_with({it}, {value})",
    "CONTAINS": "contains({it}, {value})",
}
_PATTERN_TESTS = {"FULL_REGEXP": "regexp_full_match", "PARTIAL_REGEXP": "regexp_matches"}
_COMPARED = {
    "EQUAL": "=", "LESS_THAN": "<", "LESS_THAN_OR_EQUAL": "<=", "GREATER_THAN": ">",
    "GREATER_THAN_OR_EQUAL": ">=",
}  # fmt: skip


@dataclass(frozen=True)
class Test:
    """A filter, as JSON and as SQL."""

    tree: Json
    sql: str


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A report.

    Attributes:
        request: Of ``runReport``.
        asked: What it should say.
        ordered_by: Columns by which its rows are in order.
    """

    request: Json
    asked: Asked
    ordered_by: Sequence[str]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@st.composite
def text_tests(draw: st.DrawFn, names: Sequence[str]) -> Test:
    """A test of a text."""
    name = draw(st.sampled_from(names))
    it, strict = DIMENSIONS[name], draw(st.booleans())
    kind = draw(st.sampled_from(["text", "text", "list", "pattern", "empty"]))
    folded: Callable[[str], str] = str if strict else lambda sql: f"lower({sql})"
    if kind == "list":
        values = draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3))
        among = ", ".join(folded(quoted(value)) for value in values)
        leaf: Json = {"inListFilter": {"values": values, "caseSensitive": strict}}
        return Test({"filter": {"fieldName": name} | leaf}, f"{folded(it)} in ({among})")
    if kind == "empty" and name in ("pagePath", "hostName", "landingPage", "eventName"):
        return Test({"filter": {"fieldName": name, "emptyFilter": {}}}, f"{KEYS[name]} = ''")
    if kind == "pattern":
        match, function = draw(st.sampled_from(sorted(_PATTERN_TESTS.items())))
        value = draw(st.sampled_from(PATTERNS))
        sql = f"{function}({it}, {quoted(value)}, '{'c' if strict else 'i'}')"
    else:
        match, form = draw(st.sampled_from(sorted(_TEXT_TESTS.items())))
        value = draw(st.sampled_from(TEXTS[:-1]))
        sql = form.format(it=folded(it), value=folded(quoted(value)))
    content = {"matchType": match, "value": value, "caseSensitive": strict}
    return Test({"filter": {"fieldName": name, "stringFilter": content}}, sql)


@st.composite
def number_tests(draw: st.DrawFn, name: str, sql: str, values: st.SearchStrategy[float]) -> Test:
    """A test of a number."""
    low, high = sorted((draw(values), draw(values)))
    if draw(st.booleans()):
        tree = {"betweenFilter": {"fromValue": number(low), "toValue": number(high)}}
        return Test({"filter": {"fieldName": name} | tree}, f"{sql} between {low} and {high}")
    operation, sign = draw(st.sampled_from(sorted(_COMPARED.items())))
    content = {"operation": operation, "value": number(low)}
    return Test({"filter": {"fieldName": name, "numericFilter": content}}, f"{sql} {sign} {low}")


def number(value: float) -> Json:
    return {"doubleValue": value} if isinstance(value, float) else {"int64Value": str(value)}


def trees(leaves: st.SearchStrategy[Test]) -> st.SearchStrategy[Test]:
    """Tests, joined and turned round."""

    def joined(parts: list[Test], group: str, word: str) -> Test:
        trees = [part.tree for part in parts]
        return Test(
            {group: {"expressions": trees}}, f" {word} ".join(f"({part.sql})" for part in parts)
        )

    def wider(inner: st.SearchStrategy[Test]) -> st.SearchStrategy[Test]:
        several = st.lists(inner, min_size=1, max_size=3)
        return st.one_of(
            several.map(lambda parts: joined(parts, "andGroup", "and")),
            several.map(lambda parts: joined(parts, "orGroup", "or")),
            inner.map(lambda part: Test({"notExpression": part.tree}, f"not ({part.sql})")),
        )

    return st.recursive(leaves, wider, max_leaves=4)


def metrics_of(table: str) -> list[str]:
    """The metrics that the columns of a table tell."""
    columns = {*LAYOUTS[table].sums, *LAYOUTS[table].sets}
    if table == "pages":  # one of several pages of a session counts it too
        columns -= {"sessions"}
    every = {*LAYOUTS["totals"].sums, *LAYOUTS["totals"].sets, "entrances", "exits"}
    return [
        name for name, sql in METRICS.items() if set(re.findall("[a-z_]+", sql)) & every <= columns
    ]


@st.composite
def drawn_reports(draw: st.DrawFn, day: Callable[[int], date]) -> Drawn:
    """Any report that one rollup answers."""
    table = draw(st.sampled_from(TABLES))
    own = [name for name in DIMENSIONS if KEYS.get(name, "") in LAYOUTS[table].keys]
    by = draw(st.lists(st.sampled_from(own), min_size=1, max_size=3, unique=True)) if own else []
    by += draw(st.lists(st.sampled_from(BY_TIME), max_size=2, unique=True))
    by = draw(st.permutations(by))
    metrics = draw(
        st.lists(st.sampled_from(metrics_of(table)), min_size=1, max_size=5, unique=True)
    )
    ranges = draw(_ranges(day))
    request: Json = {
        "dateRanges": [_dates(each) for each in ranges],
        "dimensions": [{"name": name} for name in by],
        "metrics": [{"name": name} for name in metrics],
    }
    asked: Json = {"keep_empty": draw(st.booleans())}
    request["keepEmptyRows"] = asked["keep_empty"]
    if test := draw(st.none() | trees(_dimension_tests(own))):
        request["dimensionFilter"], asked["where"] = test.tree, test.sql
    if test := draw(st.none() | st.none() | trees(_metric_tests(metrics))):
        request["metricFilter"], asked["having"] = test.tree, test.sql
    labels = ["dateRange"] if len(ranges) > 1 else []
    ordered_by, orders = draw(_orders([*by, *labels], metrics))
    request["orderBys"] = orders
    return Drawn(
        request=request,
        asked=Asked(
            table=table,
            by={name: DIMENSIONS[name] for name in by},
            metrics={name: METRICS[name] for name in metrics},
            ranges=ranges,
            **asked,
        ),
        ordered_by=ordered_by,
    )


def _dimension_tests(own: Sequence[str]) -> st.SearchStrategy[Test]:
    hours = number_tests("hour", "strftime(local, '%H')::int", st.integers(-1, 24) | st.just(12.5))
    days = text_tests(["date", "dayOfWeekName"])
    return st.one_of(text_tests(own), days, hours) if own else st.one_of(days, hours)


def _metric_tests(metrics: Sequence[str]) -> st.SearchStrategy[Test]:
    return st.sampled_from(metrics).flatmap(
        lambda name: number_tests(
            name, f'"{name}"', st.sampled_from((-1, 0.37, 1.5, 3, 7, 12.5, 40, 1_000))
        )
    )


def _dates(days: Range) -> Json:
    named = {} if days.name.startswith("date_range_") else {"name": days.name}
    return {"startDate": str(days.first), "endDate": str(days.last)} | named


@st.composite
def _ranges(draw: st.DrawFn, day: Callable[[int], date]) -> list[Range]:
    found = []
    for index in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        last = draw(st.integers(0, 5))
        first = draw(st.integers(last, 6))
        name = draw(st.sampled_from((f"date_range_{index}", f"Zeitraum ä{index}")))
        found.append(Range(day(first), day(last), name))
    return found


@st.composite
def _orders(
    draw: st.DrawFn, by: Sequence[str], metrics: Sequence[str]
) -> tuple[list[str], list[Json]]:
    """What rows are ordered by, "-" in front of what descends, and the same as JSON."""
    chosen = draw(st.lists(st.sampled_from([*by, *metrics]), max_size=2, unique=True))
    names, orders = [], []
    for name in chosen:
        descends = draw(st.booleans())
        kind: Json = (
            {"metric": {"metricName": name}}
            if name in metrics
            else {"dimension": {"dimensionName": name}}
        )
        names.append(f"-{name}" if descends else name)
        orders.append(kind | {"desc": descends})
    return names, orders
