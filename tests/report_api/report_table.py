"""A table of reports, each as a request of the API and as SQL: what clients are tried with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.report_api.plain_sql import DIMENSIONS, METRICS, SET_TEXTS, Asked, Range

Json = dict[str, Any]


@dataclass(frozen=True)
class Days:
    """The days that the table is about, counted back from the newest."""

    ago: Callable[[int], Any]

    def range(self, first: int, last: int, name: str = "") -> Range:
        return Range(self.ago(first), self.ago(last), name)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One report; ``asked`` is what it should say."""

    name: str
    request: Json
    asked: Asked


TABLE_OF = {
    "first": "first_user", "newVs": "visitors", "landing": "landing", "device": "technology",
    "browser": "technology", "operating": "technology", "host": "pages", "page": "pages",
    "unified": "pages", "event": "events", "session": "acquisition",
}  # fmt: skip
SOURCE = SET_TEXTS["sessionSource"]
HOUR = "strftime(local, '%H')::int"


def named(names: str) -> list[Json]:
    return [{"name": name} for name in names.split()]


def number(value: float) -> Json:
    return {"doubleValue": value} if isinstance(value, float) else {"int64Value": str(value)}


def text(match: str, value: str, field: str = "sessionSource", *, strict: bool = False) -> Json:
    content = {"matchType": match, "value": value} | ({"caseSensitive": True} if strict else {})
    return {"filter": {"fieldName": field, "stringFilter": content}}


def among(*values: str, strict: bool = False) -> Json:
    content: Json = {"values": list(values)} | ({"caseSensitive": True} if strict else {})
    return {"filter": {"fieldName": "sessionSource", "inListFilter": content}}


def compare(field: str, operation: str, value: float) -> Json:
    content = {"operation": operation, "value": number(value)}
    return {"filter": {"fieldName": field, "numericFilter": content}}


def between(field: str, low: float, high: float) -> Json:
    content = {"fromValue": number(low), "toValue": number(high)}
    return {"filter": {"fieldName": field, "betweenFilter": content}}


def empty(field: str) -> Json:
    return {"filter": {"fieldName": field, "emptyFilter": {}}}


def every(*parts: Json) -> Json:
    return {"andGroup": {"expressions": list(parts)}}


def either(*parts: Json) -> Json:
    return {"orGroup": {"expressions": list(parts)}}


def no(part: Json) -> Json:
    return {"notExpression": part}


DIMENSION_FILTERS: list[tuple[Json, str]] = [
    (text("EXACT", "google"), f"{SOURCE} = 'google'"),
    (text("EXACT", "LETTER"), f"lower({SOURCE}) = 'letter'"),
    (text("EXACT", "Letter", strict=True), f"{SOURCE} = 'Letter'"),
    (text("MATCH_TYPE_UNSPECIFIED", "bing"), f"{SOURCE} = 'bing'"),
    (text("BEGINS_WITH", "LET"), f"lower({SOURCE}) like 'let%'"),
    (text("BEGINS_WITH", "let", strict=True), f"{SOURCE} like 'let%'"),
    (text("ENDS_WITH", "OOGLE"), f"lower({SOURCE}) like '%oogle'"),
    (text("ENDS_WITH", "oogle", strict=True), f"{SOURCE} like '%oogle'"),
    (text("CONTAINS", "I"), f"lower({SOURCE}) like '%i%'"),
    (text("CONTAINS", "t", strict=True), f"{SOURCE} like '%t%'"),
    (text("CONTAINS", "%", "sessionCampaignName"), "campaign like '%\\%%' escape '\\'"),
    (text("FULL_REGEXP", "g.*e|b[a-z]ng"), f"{SOURCE} in ('google', 'bing')"),
    (text("FULL_REGEXP", "G.*", strict=True), "false"),
    (text("PARTIAL_REGEXP", "^[gl]"), f"lower({SOURCE})[1] in ('g', 'l')"),
    (text("PARTIAL_REGEXP", "^L", strict=True), f"{SOURCE}[1] = 'L'"),
    (text("EXACT", "organic", "sessionMedium"), "medium = 'organic'"),
    (text("EXACT", "Email", "sessionDefaultChannelGrouping"), "channel = 'Email'"),
    (text("ENDS_WITH", "/ cpc", "sessionSourceMedium"), "medium = 'cpc'"),
    (among("LETTER", "bing"), f"lower({SOURCE}) in ('letter', 'bing')"),
    (among("LETTER", "bing", strict=True), f"{SOURCE} = 'bing'"),
    (compare("hour", "EQUAL", 12), f"{HOUR} = 12"),
    (compare("hour", "LESS_THAN", 9), f"{HOUR} < 9"),
    (compare("hour", "LESS_THAN_OR_EQUAL", 9), f"{HOUR} <= 9"),
    (compare("hour", "GREATER_THAN", 12.5), f"{HOUR} > 12.5"),
    (compare("hour", "GREATER_THAN_OR_EQUAL", 13), f"{HOUR} >= 13"),
    (compare("sessionSource", "GREATER_THAN", 0), "false"),
    (between("hour", 6, 18.0), f"{HOUR} between 6 and 18"),
    (between("dayOfWeek", 1, 5), "strftime(local, '%w')::int between 1 and 5"),
    (empty("sessionSource"), "source = ''"),
    (no(empty("sessionCampaignName")), "campaign <> ''"),
    (no(text("EXACT", "google")), f"{SOURCE} <> 'google'"),
    (
        every(text("BEGINS_WITH", "g"), text("EXACT", "cpc", "sessionMedium")),
        "source like 'g%' and medium = 'cpc'",
    ),
    (
        either(among("bing"), every(text("CONTAINS", "letter"), compare("hour", "LESS_THAN", 12))),
        f"source = 'bing' or (lower(source) = 'letter' and {HOUR} < 12)",
    ),
    (
        no(either(among("bing"), no(compare("hour", "GREATER_THAN", 3)))),
        f"not (source = 'bing' or not ({HOUR} > 3))",
    ),
    ({}, "true"),
]
METRIC_FILTERS: list[tuple[Json, str]] = [
    (compare("sessions", "EQUAL", 6), "sessions = 6"),
    (compare("sessions", "LESS_THAN", 20), "sessions < 20"),
    (compare("sessions", "LESS_THAN_OR_EQUAL", 20), "sessions <= 20"),
    (compare("sessions", "GREATER_THAN", 20), "sessions > 20"),
    (compare("totalUsers", "GREATER_THAN_OR_EQUAL", 10.5), '"totalUsers" >= 10.5'),
    (between("sessions", 10, 30), "sessions between 10 and 30"),
    (no(between("sessions", 10, 30)), "sessions not between 10 and 30"),
    (
        every(compare("sessions", "GREATER_THAN", 5), compare("totalUsers", "LESS_THAN", 30)),
        'sessions > 5 and "totalUsers" < 30',
    ),
    (
        either(compare("sessions", "LESS_THAN", 5), compare("totalUsers", "GREATER_THAN", 25)),
        'sessions < 5 or "totalUsers" > 25',
    ),
]
BY_SOURCE = [{"dimension": {"dimensionName": "sessionSource"}}]
ORDERS: list[tuple[list[Json], str]] = [
    ([], 'sessions desc, "sessionSource"'),
    ([{"metric": {"metricName": "sessions"}}], 'sessions, "sessionSource"'),
    (
        [{"metric": {"metricName": "totalUsers"}, "desc": True}],
        '"totalUsers" desc, "sessionSource"',
    ),
    (BY_SOURCE, '"sessionSource"'),
    ([BY_SOURCE[0] | {"desc": True}], '"sessionSource" desc'),
    (
        [{"dimension": {"dimensionName": "sessionSource",
                        "orderType": "CASE_INSENSITIVE_ALPHANUMERIC"}}, BY_SOURCE[0]],
        'lower("sessionSource"), "sessionSource"',
    ),
    (
        [{"dimension": {"dimensionName": "sessionSource", "orderType": "ALPHANUMERIC"}}],
        '"sessionSource"',
    ),
    (
        [{"metric": {"metricName": "totalUsers"}},
         {"dimension": {"dimensionName": "sessionSource"}, "desc": True}],
        '"totalUsers", "sessionSource" desc',
    ),
]  # fmt: skip


class Cases:
    """Builds the table."""

    def __init__(self, days: Days) -> None:
        self._days = days
        self._whole = days.range(5, 0)
        self.found: list[Case] = []

    def add(
        self, name: str, by: str, metrics: str, table: str, extra: Json, /, **asked: Any
    ) -> None:
        """A report of all days, unless ``ranges`` says others."""
        ranges: Sequence[Range] = asked.pop("ranges", [self._whole])
        dates = [
            {"startDate": str(each.first), "endDate": str(each.last)}
            | ({"name": each.name} if not each.name.startswith("date_range_") else {})
            for each in ranges
        ]
        request = {"dateRanges": dates, "dimensions": named(by), "metrics": named(metrics)} | extra
        sql = asked.pop("by", {name: DIMENSIONS[name] for name in by.split()})
        worked_out = asked.pop("metrics", {each: METRICS[each] for each in metrics.split()})
        self.found.append(
            Case(
                name=name,
                request=request,
                asked=Asked(table=table, by=sql, metrics=worked_out, ranges=ranges, **asked),
            )
        )

    def columns(self) -> None:
        """Each dimension, and each metric."""
        for name in DIMENSIONS:
            prefix = next((each for each in TABLE_OF if name.startswith(each)), "")
            table = TABLE_OF.get(prefix, "totals")
            metrics = "eventCount totalUsers"
            if "inute" in name:
                table = "minutes"
            self.add(f"by {name}", name, metrics, table, {})
        for name in METRICS:
            table = "pages" if name in ("entrances", "exits") else "totals"
            self.add(f"{name} of all", "", name, table, {})
            self.add(f"{name} by date", "date", name, table, {})
        self.add("nine dimensions", "date year month day hour dayOfWeek week isoWeek isoYear",
                 "sessions", "totals", {})  # fmt: skip
        self.add("ten metrics", "date", " ".join(list(METRICS)[:10]), "totals", {})
        self.add("no metric", "sessionSource", "", "acquisition", {})

    def filters(self) -> None:
        """Each filter of dimensions, shown or not, and of metrics."""
        for number_, (tree, where) in enumerate(DIMENSION_FILTERS):
            extra = {"dimensionFilter": tree}
            by = "sessionSource" if number_ % 2 else "date sessionMedium"
            self.add(f"dimension filter {number_}", by, "sessions totalUsers", "acquisition",
                     extra, where=where)  # fmt: skip
        for number_, (tree, having) in enumerate(METRIC_FILTERS):
            self.add(f"metric filter {number_}", "sessionSource", "sessions totalUsers",
                     "acquisition", {"metricFilter": tree}, having=having)  # fmt: skip

    def orders(self) -> None:
        """Each order, and pages of rows."""
        for number_, (orders, sql) in enumerate(ORDERS):
            self.add(f"order {number_}", "sessionSource", "sessions totalUsers", "acquisition",
                     {"orderBys": orders}, order=sql)  # fmt: skip
        numeric = {"dimension": {"dimensionName": "hour", "orderType": "NUMERIC"}, "desc": True}
        self.add("numeric order", "hour", "sessions", "totals", {"orderBys": [numeric]},
                 order="hour::int desc")  # fmt: skip
        for limit, offset in ((1, 0), (2, 3), (100, 5), (10, 99)):
            self.add(
                f"{limit} rows from {offset}", "sessionSource", "sessions", "acquisition",
                {"orderBys": BY_SOURCE, "limit": str(limit), "offset": str(offset)},
                order='"sessionSource"', page=f"limit {limit} offset {offset}",
            )  # fmt: skip

    def ranges(self) -> None:
        """Several date ranges, overlapping ones among them, and comparisons."""
        days = self._days
        two = [days.range(2, 0, "date_range_0"), days.range(5, 1, "date_range_1")]
        four = [days.range(index, index, f"day {index}") for index in range(4)]
        for name, ranges in (("two", two), ("four", four)):
            self.add(f"{name} date ranges", "sessionSource", "sessions totalUsers", "acquisition",
                     {}, ranges=ranges)  # fmt: skip
            self.add(f"nth day of {name} date ranges", "nthDay", "sessions", "totals", {},
                     ranges=ranges)  # fmt: skip
        self.add("one day", "hour", "eventCount", "totals", {}, ranges=[days.range(1, 1)])
        self.add("rows of nothing", "sessionSource hour", "keyEvents", "acquisition",
                 {"keepEmptyRows": True}, keep_empty=True)  # fmt: skip
        self.add("no rows of nothing", "sessionSource hour", "keyEvents", "acquisition", {})
        letters = text("CONTAINS", "letter")
        for name, tree, where in (("l", letters, "lower(source) = 'letter'"), ("a", {}, "true")):
            comparison = {"name": name, "dimensionFilter": tree}
            self.add(f"compared by {name}", "sessionMedium", "sessions totalUsers", "acquisition",
                     {"comparisons": [comparison]}, where=where,
                     labels={"comparison": f"'{name}'"})  # fmt: skip

    def derived(self) -> None:
        """Expressions."""
        lower = {"lowerCase": {"dimensionName": "sessionSource"}}
        upper = {"upperCase": {"dimensionName": "sessionMedium"}}
        joined = {"concatenate": {"dimensionNames": ["sessionSource", "hour"], "delimiter": " at "}}
        medium = SET_TEXTS["sessionMedium"]
        for name, expression, sql in (
            ("lower", lower, f"lower({SOURCE})"),
            ("upper", upper, f"upper({medium})"),
            ("joined", joined, f"{SOURCE} || ' at ' || strftime(local, '%H')"),
        ):
            own = {"dimensions": [{"name": name, "dimensionExpression": expression}]}
            self.add(f"{name} dimension", "", "sessions totalUsers", "acquisition", own,
                     by={name: sql})  # fmt: skip
        sessions, users, events = (
            METRICS[each] for each in ("sessions", "totalUsers", "eventCount")
        )
        for formula, sql in (
            ("eventCount/totalUsers", f"coalesce({events} / nullif({users}::double, 0), 0)"),
            ("(sessions + 2) * 3 - eventCount", f"({sessions} + 2) * 3 - {events}"),
            ("-sessions * 0.25", f"-{sessions} * 0.25"),
            ("engagementRate * 100", f"({METRICS['engagementRate']}) * 100"),
            ("sessions", sessions),
        ):
            own = {"metrics": [{"name": "own", "expression": formula}]}
            self.add(f"metric {formula}", "sessionMedium", "", "acquisition", own,
                     metrics={"own": sql})  # fmt: skip
        revenue = f"{METRICS['totalRevenue']} / 0.8"
        self.add("another currency", "date", "totalRevenue", "totals", {"currencyCode": "USD"},
                 metrics={"totalRevenue": revenue})  # fmt: skip
        hidden = {"metrics": [{"name": "totalUsers"}, {"name": "sessions", "invisible": True}],
                  "orderBys": [{"metric": {"metricName": "sessions"}}]}  # fmt: skip
        self.add("invisible metric", "sessionSource", "totalUsers", "acquisition", hidden,
                 metrics={"totalUsers": users})  # fmt: skip


def report_table(days: Days) -> list[Case]:
    """All cases, each under a name of its own."""
    cases = Cases(days)
    cases.columns()
    cases.filters()
    cases.orders()
    cases.ranges()
    cases.derived()
    return cases.found
