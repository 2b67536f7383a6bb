"""Google's own Python client against the report API in a process of its own."""

import json

import pytest
from google.analytics.data_v1beta import BetaAnalyticsDataClient
from google.analytics.data_v1beta.services.beta_analytics_data.transports.rest import (
    BetaAnalyticsDataRestInterceptor,
    BetaAnalyticsDataRestTransport,
)
from google.analytics.data_v1beta.types import (
    BatchRunReportsRequest,
    DateRange,
    Dimension,
    Filter,
    FilterExpression,
    FilterExpressionList,
    Metric,
    MetricAggregation,
    MetricType,
    NumericValue,
    OrderBy,
    RunReportRequest,
    RunReportResponse,
)
from google.api_core import exceptions
from google.oauth2.credentials import Credentials

from tests.report_api.conftest import NASTY, Server

pytestmark = pytest.mark.slow


def client_of(server: Server, key: str) -> BetaAnalyticsDataClient:
    return BetaAnalyticsDataClient(
        transport="rest",
        credentials=Credentials(token=key),
        client_options={"api_endpoint": server.url},
    )


def request_of(server: Server, dimensions: str, metrics: str, **others: object) -> RunReportRequest:
    return RunReportRequest(
        property=f"properties/{server.shop.property_id}",
        date_ranges=[DateRange(start_date="yesterday", end_date="today")],
        dimensions=[Dimension(name=name) for name in dimensions.split()],
        metrics=[Metric(name=name) for name in metrics.split()],
        **others,
    )


def rows_of(response: RunReportResponse) -> list[tuple[str, ...]]:
    return [
        tuple(cell.value for cell in (*row.dimension_values, *row.metric_values))
        for row in response.rows
    ]


class KeepsReceipts(BetaAnalyticsDataRestInterceptor):
    """Keeps what came in the headers of reports."""

    def __init__(self) -> None:
        self.receipts: list[str] = []

    def post_run_report_with_metadata(self, response, metadata):  # type: ignore[no-untyped-def]
        self.receipts += [value for name, value in metadata if name == "x-tallymark-freshness"]
        return response, metadata


def test_the_receipt_of_a_report_reaches_the_client(server: Server) -> None:
    interceptor = KeepsReceipts()
    transport = BetaAnalyticsDataRestTransport(
        host=server.url,
        url_scheme="http",
        credentials=Credentials(token=server.shop.read_key),
        interceptor=interceptor,
    )
    BetaAnalyticsDataClient(transport=transport).run_report(
        request_of(server, "sessionSource", "sessions")
    )
    (receipt,) = map(json.loads, interceptor.receipts)
    assert (receipt["computed_from"], receipt["rules_versions"]) == ("cells", [1])


def test_reports_filters_orders_totals_and_errors(server: Server) -> None:
    client = client_of(server, server.shop.read_key)
    request = request_of(
        server,
        "pagePath",
        "screenPageViews totalUsers",
        dimension_filter=FilterExpression(
            or_group=FilterExpressionList(
                expressions=[
                    FilterExpression(
                        filter=Filter(
                            field_name="pagePath",
                            string_filter=Filter.StringFilter(
                                match_type=Filter.StringFilter.MatchType.PARTIAL_REGEXP,
                                value="^/<SCRIPT>",
                            ),
                        )
                    ),
                    FilterExpression(
                        filter=Filter(
                            field_name="pagePath",
                            in_list_filter=Filter.InListFilter(values=["/"]),
                        )
                    ),
                ]
            )
        ),
        metric_filter=FilterExpression(
            filter=Filter(
                field_name="screenPageViews",
                numeric_filter=Filter.NumericFilter(
                    operation=Filter.NumericFilter.Operation.GREATER_THAN,
                    value=NumericValue(int64_value=1),
                ),
            )
        ),
        order_bys=[OrderBy(metric=OrderBy.MetricOrderBy(metric_name="totalUsers"))],
        metric_aggregations=[MetricAggregation.TOTAL, MetricAggregation.MAXIMUM],
        limit=10,
    )
    response = client.run_report(request)
    assert rows_of(response) == [(NASTY, "3", "1"), ("/", "9", "3")]
    assert [value.value for value in response.totals[0].metric_values] == ["12", "3"]
    assert response.totals[0].dimension_values[0].value == "RESERVED_TOTAL"
    assert response.metric_headers[0].type_ == MetricType.TYPE_INTEGER
    assert response.row_count == 2
    assert response.metadata.currency_code == "EUR"
    assert response.kind == "analyticsData#runReport"

    batch = client.batch_run_reports(
        BatchRunReportsRequest(
            property=f"properties/{server.shop.property_id}",
            requests=[request_of(server, "eventName", "eventCount"), request],
        )
    )
    assert rows_of(batch.reports[0]) == [("page_view", "12"), ("purchase", "1")]

    metadata = client.get_metadata(name=f"properties/{server.shop.property_id}/metadata")
    assert "sessionSource" in {dimension.api_name for dimension in metadata.dimensions}

    with pytest.raises(exceptions.BadRequest, match="make the request compatible"):
        client.run_report(request_of(server, "eventName", "sessions"))
    with pytest.raises(exceptions.Forbidden):
        client_of(server, "wrong").run_report(request)


def test_what_a_property_has_defined_is_named_and_reported(server: Server) -> None:
    client = client_of(server, server.shop.read_key)
    metadata = client.get_metadata(name=f"properties/{server.shop.property_id}/metadata")
    custom = {
        field.api_name: field.ui_name
        for field in (*metadata.dimensions, *metadata.metrics)
        if field.custom_definition
    }
    assert custom == {
        "customEvent:author": "Author",
        "customEvent:wait": "wait",
        "averageCustomEvent:wait": "Average wait",
        "countCustomEvent:wait": "Count wait",
        "sessionCustomChannelGroup:own": "Session Ours",
        "firstUserCustomChannelGroup:own": "First user Ours",
    }

    request = request_of(server, "sessionCustomChannelGroup:own", "sessions totalUsers")
    assert rows_of(client.run_report(request)) == [("Search", "2", "2"), ("Unassigned", "1", "1")]

    request = request_of(server, "customEvent:author", "eventCount sessions totalUsers")
    assert rows_of(client.run_report(request)) == [
        ("(not set)", "11", "3", "2"),
        ("Ann", "9", "2", "2"),
    ]
    metrics = "customEvent:wait averageCustomEvent:wait countCustomEvent:wait"
    report = client.run_report(request_of(server, "eventName", metrics))
    assert rows_of(report) == [("page_view", "6.5", "1.625", "4")]
    assert report.metric_headers[0].type_ == MetricType.TYPE_SECONDS
