"""Health and metrics of the report API."""

from contextlib import suppress

from flask import Blueprint, Response

from report_api.metrics import CONTENT_TYPE
from report_api.parts import parts
from report_api.requests import json_response
from stores.doubts import misruled_hours
from stores.wide_rows.breaker import BreakingWideRows
from stores.wide_rows.port import WideRowsUnavailableError

routes = Blueprint("health", __name__)


@routes.get("/healthz")
def healthz() -> Response:
    """Alive, and what it thinks of the store."""
    return json_response({"status": "ok", "wideRows": _circuit()})


@routes.get("/readyz")
def readyz() -> Response:
    """Able to answer: the store can be read. Raises what makes it a 503 otherwise."""
    pointers = parts().reader.pointers(0)
    found = {"status": "ok", "pointerMap": pointers.map_version, "wideRows": _circuit()}
    return json_response(found)


@routes.get("/metrics")
def metrics() -> Response:
    """For Prometheus."""
    of = parts()
    with suppress(WideRowsUnavailableError):  # what was said before stays
        of.metrics.audited(len(of.audit_notes.alerts()))
        found = misruled_hours(of.wide_rows, of.now_us())
        of.metrics.misruled(found.doubtful, found.wrong)
    if isinstance(of.wide_rows, BreakingWideRows):
        of.metrics.circuit(of.wide_rows.state, of.wide_rows.opened)
    of.metrics.cached(of.answers.hits, of.answers.misses, of.answers.size_bytes)
    return Response(of.metrics.text(), content_type=CONTENT_TYPE)


def _circuit() -> str:
    """What the circuit before the store is; closed where there is none."""
    wide_rows = parts().wide_rows
    return wide_rows.state if isinstance(wide_rows, BreakingWideRows) else "closed"
