"""Reports: from a request of the GA4 Data API to a plan, and from decoded cells to its rows."""

from tallymark.reports.answer import Report, answer
from tallymark.reports.pivot_answer import PivotReport, answer_pivots
from tallymark.reports.plan import Plan, plan, plan_of_hits
from tallymark.reports.problems import InvalidRequestError
from tallymark.reports.request import (
    CHECK_COMPATIBILITY,
    RUN_PIVOT_REPORT,
    RUN_REALTIME_REPORT,
    RUN_REPORT,
    Method,
    ReportRequest,
    parse_request,
)
from tallymark.reports.response import response_document

__all__ = [
    "CHECK_COMPATIBILITY",
    "RUN_PIVOT_REPORT",
    "RUN_REALTIME_REPORT",
    "RUN_REPORT",
    "InvalidRequestError",
    "Method",
    "PivotReport",
    "Plan",
    "Report",
    "ReportRequest",
    "answer",
    "answer_pivots",
    "parse_request",
    "plan",
    "plan_of_hits",
    "response_document",
]
