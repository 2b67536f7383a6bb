"""Reports: from a request of the GA4 Data API to a plan, and from decoded cells to its rows."""

from tallymark.reports.answer import Report, answer
from tallymark.reports.plan import Plan, plan
from tallymark.reports.problems import InvalidRequestError
from tallymark.reports.request import ReportRequest, parse_request
from tallymark.reports.response import response_document

__all__ = [
    "InvalidRequestError",
    "Plan",
    "Report",
    "ReportRequest",
    "answer",
    "parse_request",
    "plan",
    "response_document",
]
