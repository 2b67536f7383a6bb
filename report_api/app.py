"""The report API: GA4 Data API methods, passports of hits, the merchant's page, health."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from flask import Blueprint, Flask, Response, current_app, g, request, send_from_directory
from werkzeug.exceptions import HTTPException

from report_api import errors
from report_api.errors import ApiError
from report_api.hit_reader import BeyondLimitsError, HitLimits, HitReader
from report_api.metrics import CONTENT_TYPE, ReportMetrics
from report_api.overview import overview_document
from report_api.reader import ReportReader, rules_at
from report_api.turns import TooManyReportsError
from stores.archive.damage import ArchiveDamageError
from stores.archive.port import Objects
from stores.doubts import misruled_hours
from stores.live_audits import AuditNotes
from stores.passports import HitNotFoundError, Passports
from stores.rules_cache.port import RulesCache, RulesUnavailableError
from stores.wide_rows.port import WideRows, WideRowsUnavailableError
from tallymark.hit_names import HitName, HitNameError
from tallymark.properties import Property, secret_hash
from tallymark.report_names import STANDARD, names_of
from tallymark.reports import (
    RUN_PIVOT_REPORT,
    RUN_REALTIME_REPORT,
    RUN_REPORT,
    InvalidRequestError,
    Method,
)
from tallymark.reports.batches import batch_requests
from tallymark.reports.catalogue import metadata_document
from tallymark.reports.serving import Freshness

MAX_BODY_BYTES: Final = 262_144
_RULES_AGAIN_SECONDS: Final = 5
FRESHNESS_HEADER: Final = "X-Tallymark-Freshness"
"""JSON: what an answer was computed from. A header, as strict clients refuse unknown fields."""
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_STATIC: Final = Path(__file__).parent / "static"

routes = Blueprint("reports", __name__)


@dataclass(frozen=True)
class _Parts:
    """What the application was made of."""

    reader: ReportReader
    rules_cache: RulesCache
    now_us: Callable[[], int]
    metrics: ReportMetrics
    audit_notes: AuditNotes
    wide_rows: WideRows
    passports: Passports | None
    collector_url: str


def create_app(
    *,
    wide_rows: WideRows,
    rules_cache: RulesCache,
    now_us: Callable[[], int],
    archive: Objects | None = None,
    collector_url: str = "",
    hit_limits: HitLimits | None = None,
) -> Flask:
    """The WSGI application.

    Args:
        wide_rows: Where cells and pointers are.
        rules_cache: Properties, their keys, time zones and currencies.
        now_us: UTC µs, what "today" refers to.
        archive: Recorded requests and clean hits, for passports of hits and for reports that no
            rollup answers; ``None`` where it is not here.
        collector_url: For the snippet that the page shows; "" where it is not known.
        hit_limits: What one report may take that is answered from hits; ``None``: the usual.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions["tallymark"] = _Parts(
        ReportReader(
            wide_rows,
            now_us,
            None if archive is None else HitReader(archive, wide_rows, now_us, hit_limits),
        ),
        rules_cache,
        now_us,
        ReportMetrics(),
        AuditNotes(wide_rows, now_us),
        wide_rows,
        None if archive is None else Passports(archive, wide_rows, rules_cache, now_us),
        collector_url,
    )
    app.register_blueprint(routes)
    app.register_error_handler(ApiError, ApiError.response)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(InvalidRequestError, _invalid)
    app.register_error_handler(HitNameError, _invalid)
    app.register_error_handler(HitNotFoundError, _not_found)
    app.register_error_handler(ArchiveDamageError, _damaged)
    app.register_error_handler(BeyondLimitsError, _beyond_limits)
    app.register_error_handler(TooManyReportsError, _too_many)
    app.register_error_handler(WideRowsUnavailableError, _unavailable)
    app.register_error_handler(RulesUnavailableError, _without_rules)
    app.before_request(_begin)
    app.after_request(_end)
    return app


def _parts() -> _Parts:
    parts: _Parts = current_app.extensions["tallymark"]
    return parts


@routes.post("/v1beta/properties/<property_id>:runReport")
def run_report(property_id: str) -> Response:
    """One report."""
    return _report(property_id, RUN_REPORT)


@routes.post("/v1beta/properties/<property_id>:runPivotReport")
def run_pivot_report(property_id: str) -> Response:
    """One report with rows and columns."""
    return _report(property_id, RUN_PIVOT_REPORT)


@routes.post("/v1beta/properties/<property_id>:runRealtimeReport")
def run_realtime_report(property_id: str) -> Response:
    """One report of the last minutes."""
    return _report(property_id, RUN_REALTIME_REPORT)


@routes.post("/v1beta/properties/<property_id>:batchRunReports")
def batch_run_reports(property_id: str) -> Response:
    """Up to five reports, all through the pointers of one moment."""
    return _batch(property_id, RUN_REPORT, "reports", "batchRunReports")


@routes.post("/v1beta/properties/<property_id>:batchRunPivotReports")
def batch_run_pivot_reports(property_id: str) -> Response:
    """Up to five pivot reports, all through the pointers of one moment."""
    return _batch(property_id, RUN_PIVOT_REPORT, "pivotReports", "batchRunPivotReports")


@routes.post("/v1beta/properties/<property_id>:checkCompatibility")
def check_compatibility(property_id: str) -> Response:
    """What else a report may ask for."""
    owner = _authorised(property_id)
    return _document(_parts().reader.compatibility(owner, _json()))


@routes.get("/v1beta/properties/<property_id>/metadata")
def metadata(property_id: str) -> Response:
    """The names that reports can ask for; of the property 0 those that all can."""
    if property_id == "0" and _key():
        return _document(metadata_document(0, STANDARD))
    owner = _authorised(property_id)
    names = names_of(rules_at(owner, _parts().now_us()))
    return _document(metadata_document(owner.property_id, names))


@routes.get("/v1/properties/<property_id>/overview")
def overview(property_id: str) -> Response:
    """What the page shows."""
    owner = _authorised(property_id)
    parts = _parts()
    document = overview_document(parts.reader, owner, parts.now_us)
    return _document(document | {"collectorUrl": parts.collector_url})


@routes.get("/v1/properties/<property_id>/hits/<hit_id>")
def hit(property_id: str, hit_id: str) -> Response:
    """The passport of a hit of the property."""
    owner = _authorised(property_id)
    passports = _parts().passports
    if passports is None:
        raise errors.no_archive()
    return _document(passports.passport(HitName.parse(hit_id), owner))


@routes.get("/")
def page() -> Response:
    """The merchant's page."""
    return send_from_directory(_STATIC, "index.html", max_age=0)


@routes.get("/static/<path:name>")
def static_file(name: str) -> Response:
    """A file of the page."""
    return send_from_directory(_STATIC, name, max_age=0)


@routes.get("/healthz")
def healthz() -> Response:
    """Alive."""
    return _document({"status": "ok"})


@routes.get("/readyz")
def readyz() -> Response:
    """Able to answer: the store can be read. Raises what makes it a 503 otherwise."""
    pointers = _parts().reader.pointers(0)
    return _document({"status": "ok", "pointerMap": pointers.map_version})


@routes.get("/metrics")
def metrics() -> Response:
    """For Prometheus."""
    parts = _parts()
    with suppress(WideRowsUnavailableError):  # what was said before stays
        parts.metrics.audited(len(parts.audit_notes.alerts()))
        found = misruled_hours(parts.wide_rows, parts.now_us())
        parts.metrics.misruled(found.doubtful, found.wrong)
    return Response(parts.metrics.text(), content_type=CONTENT_TYPE)


def _report(property_id: str, method: Method) -> Response:
    owner = _authorised(property_id)
    found = _parts().reader.report(owner, _json(), None, method)
    return _document(found.document, found.freshness)


def _batch(property_id: str, method: Method, field: str, name: str) -> Response:
    owner = _authorised(property_id)
    requests = batch_requests(_json(), name, method)
    reader = _parts().reader
    pointers = reader.pointers(owner.property_id)
    answers = [reader.report(owner, each, pointers, method) for each in requests]
    document = {field: [found.document for found in answers], "kind": f"analyticsData#{name}"}
    return _document(document, Freshness.together([each.freshness for each in answers]))


def _key() -> str:
    """The key that came; 401 without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else ""
    key = key or request.headers.get("X-Goog-Api-Key", "")
    if not key:
        raise errors.unauthenticated()
    return key


def _authorised(property_id: str) -> Property:
    """The property, if the key that came opens it."""
    key = _key()
    is_number = property_id.isascii() and property_id.isdecimal() and len(property_id) < 19
    owner = _parts().rules_cache.by_property_id(int(property_id)) if is_number else None
    if owner is None:
        secret_hash(key)  # takes as long as if there were one
        raise errors.permission_denied()
    if not owner.accepts_read_key(key, _parts().now_us()):
        raise errors.permission_denied()
    return owner


def _json() -> Any:
    body = request.get_data()
    if not body:
        return {}
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.invalid_argument(f"Invalid JSON payload received. {error}") from error


def _document(content: dict[str, Any], freshness: Freshness | None = None) -> Response:
    response = Response(orjson.dumps(content), mimetype="application/json")
    if freshness is not None:
        response.headers[FRESHNESS_HEADER] = orjson.dumps(freshness).decode()
    return response


def _begin() -> None:
    g.began = time.perf_counter()


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    method = (request.endpoint or "unknown").rpartition(".")[2]
    _parts().metrics.answered(method, response.status_code, seconds)
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _http_error(error: HTTPException) -> Response:
    code = error.code or 500
    status = {404: "NOT_FOUND", 405: "UNIMPLEMENTED", 413: "INVALID_ARGUMENT"}.get(code, "UNKNOWN")
    return ApiError(code, status, error.description or error.name).response()


def _invalid(error: InvalidRequestError | HitNameError) -> Response:
    return errors.invalid_argument(str(error)).response()


def _not_found(error: HitNotFoundError) -> Response:
    return errors.not_found(str(error)).response()


def _beyond_limits(error: BeyondLimitsError) -> Response:
    return errors.invalid_argument(f"No rollup holds this combination. {error}").response()


def _too_many(error: TooManyReportsError) -> Response:
    return errors.too_many(f"No rollup holds this combination, and {error}.").response()


def _damaged(error: ArchiveDamageError) -> Response:
    current_app.logger.error("%s", error)
    return errors.data_loss().response()


def _without_rules(error: RulesUnavailableError) -> Response:
    current_app.logger.warning("the rules cannot be asked: %s", error)
    return errors.unavailable(_RULES_AGAIN_SECONDS).response()


def _unavailable(error: WideRowsUnavailableError) -> Response:
    current_app.logger.warning("the wide rows do not answer: %s", error)
    return errors.unavailable(max(1, math.ceil(error.retry_after_seconds))).response()
