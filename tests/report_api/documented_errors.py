"""Errors as clients read them: what is asked, what is said, and who says it so.

Texts of Google's service are taken from recordings of it or from reports of its users; where
nothing of the kind is known the text is ours, and the source is ``OURS`` with what Google's
documentation (that of its client, ``google.analytics.data_v1beta.types``) says of the rule.
"""

from dataclasses import dataclass
from typing import Any

RECORDED = (
    "DiametralGroup/ga-mock, docs/CONFORMITE-REELLE.md: recorded from the service, 2026-09-02"
)
INCOMPATIBLE = "googleanalytics/ga-dev-tools, thread “Bug or Inconsistency in the GA4 API”"
SUGGESTED = "googleanalytics users: “400 Did you mean city? Field pageTitle is not a valid …”"
OURS = "ours"
DAYS = [{"startDate": "yesterday", "endDate": "today"}]
SCHEMA = "https://developers.google.com/analytics/devguides/reporting/data/v1/api-schema "
REALTIME_SCHEMA = SCHEMA.replace("api-schema", "realtime-api-schema")
TYPES = "type.googleapis.com/google.analytics.data.v1beta."


@dataclass(frozen=True, kw_only=True)
class Error:
    """One request that is refused with 400 and INVALID_ARGUMENT, and the whole message."""

    name: str
    method: str = "runReport"
    request: Any
    message: str
    source: str


def named(names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names.split()]


def sessions(**others: Any) -> dict[str, Any]:
    return {"dateRanges": DAYS, "metrics": named("sessions"), **others}


def ranged(first: str, last: str) -> dict[str, Any]:
    return sessions(dateRanges=[{"startDate": first, "endDate": last}])


def pivoted(**others: Any) -> dict[str, Any]:
    pivot = {"fieldNames": ["sessionSource"], "limit": 5}
    return sessions(dimensions=named("sessionSource"), pivots=[pivot | others])


def matching(*patterns: str) -> dict[str, Any]:
    """Sources that match one of the patterns."""
    leaves = [
        {
            "filter": {
                "fieldName": "sessionSource",
                "stringFilter": {"matchType": "PARTIAL_REGEXP", "value": pattern},
            }
        }
        for pattern in patterns
    ]
    return sessions(dimensionFilter={"orGroup": {"expressions": leaves}})


def nested(depth: int) -> dict[str, Any]:
    """A filter that is denied so often."""
    found: dict[str, Any] = {"filter": {"fieldName": "sessionSource", "emptyFilter": {}}}
    for _ in range(depth):
        found = {"notExpression": found}
    return found


ERRORS = [
    Error(
        name="nothing at all", request={}, message="A dateRange is required.", source=RECORDED
    ),
    Error(
        name="no object",
        request=[],
        message=(
            'Invalid JSON payload received. Unknown name "": Root element must be a message.'
        ),
        source=RECORDED,
    ),
    Error(
        name="unknown fields",
        request=sessions(colour=1, dateRange=2),
        message=(
            'Invalid JSON payload received. Unknown name "colour": Cannot find field.\n'
            'Invalid JSON payload received. Unknown name "dateRange": Cannot find field.'
        ),
        source=RECORDED,
    ),
    Error(
        name="unknown inner field",
        request=sessions(dateRanges=[DAYS[0] | {"start": "today"}]),
        message=(
            'Invalid JSON payload received. Unknown name "start" at'
            " 'date_ranges[0]': Cannot find field."
        ),
        source=RECORDED,
    ),
    Error(
        name="unknown enum",
        request=sessions(metricAggregations=["MEDIAN"]),
        message=f"Invalid value at 'metric_aggregations[0]' ({TYPES}MetricAggregation), \"MEDIAN\"",
        source=RECORDED,
    ),
    Error(
        name="unknown dimension",
        request=sessions(dimensions=named("xyzzyPlugh")),
        message=(
            "Field xyzzyPlugh is not a valid dimension. For a list of valid dimensions and"
            f" metrics, see {SCHEMA}"
        ),
        source=RECORDED,
    ),
    Error(
        name="unknown metric",
        request=sessions(metrics=named("xyzzyPlugh")),
        message=(
            "Field xyzzyPlugh is not a valid metric.  For a list of valid dimensions and"
            f" metrics, see {SCHEMA}"
        ),
        source=RECORDED,
    ),
    Error(
        name="misspelt dimension",
        request=sessions(dimensions=named("sessionSouce")),
        message=(
            "Did you mean sessionSource? Field sessionSouce is not a valid dimension. For a list"
            f" of valid dimensions and metrics, see {SCHEMA}"
        ),
        source=SUGGESTED,
    ),
    Error(
        name="realtime dimension",
        method="runRealtimeReport",
        request={"dimensions": named("pageTitle"), "metrics": named("activeUsers")},
        message=(
            "Field pageTitle is not a valid dimension. For a list of valid dimensions and"
            f" metrics, see {REALTIME_SCHEMA}"
        ),
        source=SUGGESTED,
    ),
    Error(
        name="dimension twice",
        request=sessions(dimensions=named("date date")),
        message="Found duplicate dimensions: date",
        source=RECORDED,
    ),
    Error(
        name="metric twice",
        request=sessions(metrics=named("sessions sessions")),
        message="Duplicate metrics are not allowed. Found duplicate metrics: sessions",
        source=RECORDED,
    ),
    Error(
        name="negative limit",
        request=sessions(limit=-1),
        message="limit must be positive. The API received limit = -1",
        source=RECORDED,
    ),
    Error(
        name="negative offset",
        request=sessions(offset="-1"),
        message="offset must be positive. The API received offset = -1",
        source=RECORDED,
    ),
    Error(
        name="five date ranges",
        request=sessions(dateRanges=[*DAYS * 5]),
        message=(
            "Requests are limited to 4 dateRanges.\n  This request contains 5 dateRanges."
        ),
        source=RECORDED,
    ),
    Error(
        name="no date",
        request=ranged("last week", "today"),
        message=(
            "Invalid startDate : last week. startDate must be YYYY-MM-DD, NdaysAgo, yesterday, or"
            " today."
        ),
        source=RECORDED,
    ),
    Error(
        name="reversed range",
        request=ranged("2023-02-02", "2023-02-01"),
        message=(
            "start_date must be less than or equal to end_date. start_date = 2023-02-02 and"
            " end_date = 2023-02-01"
        ),
        source=RECORDED,
    ),
    Error(
        name="ancient date",
        request=ranged("1970-01-01", "today"),
        message=(
            "start_date = 1970-01-01 must be greater than 1999-12-31 and less than 2200-01-01."
        ),
        source=f"{RECORDED}; the bounds are ours, since older history can be imported",
    ),
    Error(
        name="ten dimensions",
        request=sessions(dimensions=named("date year month day week hour isoWeek nthDay isoYear")
                         + named("minute")),
        message=(
            "Requests are limited to 9 dimensions within a nested request.\n"
            "  This request is for 10 dimensions."
        ),
        source=RECORDED,
    ),
    Error(
        name="eleven metrics",
        request=sessions(
            metrics=[{"name": f"m{index}", "expression": "sessions"} for index in range(11)]
        ),
        message=(
            "Requests are limited to 10 metrics within a nested request.\n"
            "  This request is for 11 metrics."
        ),
        source=RECORDED,
    ),
    Error(
        name="no columns",
        request={"dateRanges": DAYS},
        message="Requests require dimensions and/or metrics. Most requests include both.",
        source=RECORDED,
    ),
    Error(
        name="order by what is not asked for",
        request=sessions(orderBys=[{"metric": {"metricName": "exits"}}]),
        message=(
            "Field exits exists in OrderBy but is not defined in input Dimensions/Metrics list"
        ),
        source=RECORDED,
    ),
    Error(
        name="count",
        request=sessions(metricAggregations=["COUNT"]),
        message="Metric aggregation Count is not supported in ReportRequest.",
        source=RECORDED,
    ),
    Error(
        name="empty batch",
        method="batchRunReports",
        request={"requests": []},
        message="The batchRunReportsRequest must contain at least one runReportRequest.",
        source=RECORDED,
    ),
    Error(
        name="six reports",
        method="batchRunReports",
        request={"requests": [sessions()] * 6},
        message=(
            "Batch requests are limited to 5 requests.\n"
            "  This batch request contains 6 requests."
        ),
        source=RECORDED,
    ),
    Error(
        name="incompatible",
        request=sessions(dimensions=named("eventName")),
        message=(
            "Please remove eventName to make the request compatible for example. The request's"
            " dimensions & metrics are incompatible. To learn more, see"
            " https://ga-dev-tools.web.app/ga4/dimensions-metrics-explorer/"
        ),
        source=INCOMPATIBLE,
    ),
    Error(
        name="cohorts",
        request=sessions(cohortSpec={"cohorts": []}),
        message=(
            "cohortSpec is not served: compare firstUser dimensions or dateRanges instead."
        ),
        source=f"{OURS}: the service takes cohorts",
    ),
    Error(
        name="saved comparison",
        request=sessions(comparisons=[{"comparison": "comparisons/1234"}]),
        message=(
            "comparisons[0]: comparison: no comparisons are saved; give its dimensionFilter."
        ),
        source=f"{OURS}: Comparison.comparison names a saved comparison",
    ),
    Error(
        name="other property in a batch",
        method="batchRunReports",
        request={"requests": [sessions(property="properties/1")]},
        message="property: expected none or {property}.",
        source=f"{OURS}: RunReportRequest.property has to be consistent with that of the batch",
    ),
    Error(
        name="reserved name of a range",
        request=sessions(dateRanges=[DAYS[0] | {"name": "date_range_7"}]),
        message=(
            "dateRanges[0]: name: expected one that starts with no reserved prefix, got"
            " date_range_7."
        ),
        source=f"{OURS}: DateRange.name cannot begin with date_range_ or RESERVED_",
    ),
    Error(
        name="other currency",
        request=sessions(currencyCode="USD"),
        message=(
            "currencyCode: expected EUR, the property's, or one that its rules have exchange rates"
            " of (of EUR), got USD."
        ),
        source=f"{OURS}: the service has rates of its own",
    ),
    Error(
        name="pattern",
        request=sessions(
            dimensionFilter={
                "filter": {
                    "fieldName": "sessionSource",
                    "stringFilter": {"matchType": "FULL_REGEXP", "value": "("},
                }
            }
        ),
        message=(
            "dimensionFilter.filter.stringFilter: value: expected a regular expression in RE2"
            " syntax, got '('."
        ),
        source=OURS,
    ),
    Error(
        name="pivot without limit",
        method="runPivotReport",
        request=pivoted(limit=0),
        message=(
            "pivots[0]: limit: expected a positive number, which every pivot needs, got 0."
        ),
        source=f"{OURS}: Pivot.limit is required",
    ),
    Error(
        name="too many cells",
        method="runPivotReport",
        request=pivoted(limit=250_001),
        message=(
            "pivots: expected limits whose product is at most 250000, got 250001."
        ),
        source=f"{OURS}: Pivot.limit, the product must not exceed 250,000",
    ),
    Error(
        name="old minutes",
        method="runRealtimeReport",
        request={
            "metrics": named("activeUsers"), "minuteRanges": [{"startMinutesAgo": 30}],
        },
        message=(
            "minuteRanges[0]: expected minutes from 29 to 0 ago, startMinutesAgo not after"
            " endMinutesAgo, got 30 to 0."
        ),
        source=f"{OURS}: MinuteRange.startMinutesAgo <= 29 of standard properties",
    ),
    Error(
        name="three minute ranges",
        method="runRealtimeReport",
        request={"metrics": named("activeUsers"), "minuteRanges": [
            {"name": "a"}, {"name": "b"}, {"name": "c"}]},
        message=(
            "Requests are limited to 2 minuteRanges.\n  This request contains 3 minuteRanges."
        ),
        source=f"{OURS}, after the words for date ranges: MinuteRange, up to 2 of them",
    ),
    Error(
        name="formula",
        request=sessions(metrics=[{"name": "x", "expression": "sessions / "}]),
        message=(
            "metrics[0]: expression: expected a metric, a number or (, got the end, in"
            " 'sessions / '."
        ),
        source=OURS,
    ),
    Error(
        name="metrics made of each other",
        request=sessions(
            metrics=[{"name": "a", "expression": "b + 1"}, {"name": "b", "expression": "a + 1"}]
        ),
        message=(
            "metrics[1]: expression: Field a is not a valid metric.\n"
            "metrics[0]: expression: Field b is not a valid metric."
        ),
        source=OURS,
    ),
    Error(
        name="dimension made of itself",
        request=sessions(
            dimensions=[
                {"name": "a", "dimensionExpression": {"lowerCase": {"dimensionName": "a"}}}
            ]
        ),
        message=(
            "dimensions[0].dimensionExpression.lowerCase: Field a is not a valid dimension."
        ),
        source=OURS,
    ),
    Error(
        name="metrics that double",
        request=sessions(
            metrics=[
                {"name": "m0", "expression": "sessions + sessions"},
                *(
                    {"name": f"m{n}", "expression": f"m{n - 1} + m{n - 1}"} for n in range(1, 7)
                ),
            ]
        ),
        message="metrics[6]: expression: expected at most 100 metrics, got 128.",
        source=OURS,
    ),
    Error(
        name="pattern that explodes",
        request=matching("(((a{1,100}){1,100}){1,100}){1,100}"),
        message=(
            "dimensionFilter: expected regular expressions that repeat less: compiled they would"
            " be too large."
        ),
        source=OURS,
    ),
    Error(
        name="patterns that are large together",
        request=matching(*[r"\w{80}"] * 5),
        message=(
            "dimensionFilter: expected regular expressions that repeat less: compiled they would"
            " be too large."
        ),
        source=OURS,
    ),
    Error(
        name="pattern with a reference back",
        request=matching(r"(a)\1"),
        message=(
            "dimensionFilter.orGroup.expressions[0].filter.stringFilter: value: expected a regular"
            " expression in RE2 syntax, got '(a)\\\\1'."
        ),
        source=OURS,
    ),
    Error(
        name="201 filters",
        request=matching(*["a"] * 201),
        message="dimensionFilter: expected at most 200 filters.",
        source=OURS,
    ),
    Error(
        name="filters in each other",
        request=sessions(dimensionFilter=nested(45)),
        message="The request is nested deeper than 40 levels.",
        source=OURS,
    ),
    Error(
        name="long formula",
        request=sessions(metrics=[{"name": "x", "expression": "sessions" + "+1" * 300}]),
        message="metrics[0]: expression: expected at most 500 characters.",
        source=OURS,
    ),
    Error(
        name="ten dimensions with those of filters",
        request=sessions(
            dimensions=named("date year month day week hour isoWeek nthDay isoYear"),
            dimensionFilter={"filter": {"fieldName": "minute", "stringFilter": {"value": "1"}}},
        ),
        message=(
            "Requests are limited to 9 dimensions within a nested request.\n"
            "  This request is for 10 dimensions."
        ),
        source=OURS,
    ),
]  # fmt: skip
