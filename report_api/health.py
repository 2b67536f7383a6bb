"""Health and metrics of the report API."""

from contextlib import suppress

from flask import Blueprint, Response

from report_api.metrics import CONTENT_TYPE
from report_api.parts import parts
from report_api.requests import json_response
from stores.doubts import misruled_hours
from stores.wide_rows.port import WideRowsUnavailableError

routes = Blueprint("health", __name__)


@routes.get("/healthz")
def healthz() -> Response:
    """Alive."""
    return json_response({"status": "ok"})


@routes.get("/readyz")
def readyz() -> Response:
    """Able to answer: the store can be read. Raises what makes it a 503 otherwise."""
    pointers = parts().reader.pointers(0)
    return json_response({"status": "ok", "pointerMap": pointers.map_version})


@routes.get("/metrics")
def metrics() -> Response:
    """For Prometheus."""
    of = parts()
    with suppress(WideRowsUnavailableError):  # what was said before stays
        of.metrics.audited(len(of.audit_notes.alerts()))
        found = misruled_hours(of.wide_rows, of.now_us())
        of.metrics.misruled(found.doubtful, found.wrong)
    of.metrics.cached(of.answers.hits, of.answers.misses, of.answers.size_bytes)
    return Response(of.metrics.text(), content_type=CONTENT_TYPE)
