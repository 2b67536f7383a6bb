"""The report API: GA4 Data API methods, passports of hits, the merchant's page, health."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flask import Blueprint, Flask, Response, g, request

from report_api import errors, exports, failures, health, pages, sequences, standard
from report_api.answer_cache import AnswerCache
from report_api.folded_hits import HitFolder
from report_api.hit_limits import HitLimits
from report_api.hit_reader import HitReader
from report_api.metrics import ReportMetrics
from report_api.parts import Parts, parts
from report_api.quotas import Quotas
from report_api.reader import STORE_SECONDS, ReportReader, rules_at
from report_api.requests import admitted, authorised, json_body, json_response, key_that_came
from stores.archive.port import Objects
from stores.live_audits import AuditNotes
from stores.passports import Passports
from stores.rules_cache.port import RulesCache
from stores.wide_rows.port import WideRows
from tallymark.hit_names import HitName
from tallymark.quotas import UNLIMITED, Category, QuotaLimits
from tallymark.report_names import STANDARD, names_of
from tallymark.reports import RUN_PIVOT_REPORT, RUN_REALTIME_REPORT, RUN_REPORT, Method
from tallymark.reports.batches import batch_requests
from tallymark.reports.catalogue import metadata_document
from tallymark.reports.services import BOTH, Services
from tallymark.reports.serving import Freshness

MAX_BODY_BYTES: Final = 262_144
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

routes = Blueprint("reports", __name__)


def create_app(
    *,
    wide_rows: WideRows,
    rules_cache: RulesCache,
    now_us: Callable[[], int],
    archive: Objects | None = None,
    collector_url: str = "",
    hit_limits: HitLimits | None = None,
    quota_limits: QuotaLimits = UNLIMITED,
    quotas_path: Path | None = None,
    answer_cache: AnswerCache | None = None,
    services: Services = BOTH,
    store_seconds: float = STORE_SECONDS,
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
        quota_limits: What may be asked of every property.
        quotas_path: The file in which workers tell each other what was asked; ``None``: this
            worker is the only one.
        answer_cache: Keeps answers; ``None``: each is computed anew.
        services: The report services that it answers.
        store_seconds: How long the store may take for one report.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    hits = None if archive is None else HitReader(archive, wide_rows, now_us, hit_limits)
    answers = answer_cache or AnswerCache(0, seed=0)
    app.extensions["tallymark"] = Parts(
        ReportReader(
            wide_rows, now_us, hits, answers=answers, services=services, seconds=store_seconds
        ),
        answers,
        Quotas(quota_limits, now_us, is_server_error=failures.is_server_error, path=quotas_path),
        rules_cache,
        now_us,
        ReportMetrics(),
        AuditNotes(wide_rows, now_us),
        wide_rows,
        None if archive is None else Passports(archive, wide_rows, rules_cache, now_us),
        collector_url,
        services,
        None if hits is None else HitFolder(hits, wide_rows, now_us),
    )
    app.register_blueprint(routes)
    app.register_blueprint(standard.routes)
    app.register_blueprint(exports.routes)
    if "behaviour" in services.names:
        app.register_blueprint(sequences.routes)
    if services.is_all:  # both make the page
        app.register_blueprint(pages.routes)
    app.register_blueprint(health.routes)
    failures.register(app)
    app.before_request(_begin)
    app.after_request(_end)
    return app


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
    with admitted(property_id) as (owner, _):
        return json_response(parts().reader.compatibility(owner, json_body()))


@routes.get("/v1beta/properties/<property_id>/metadata")
def metadata(property_id: str) -> Response:
    """The names that reports can ask for; of the property 0 those that all can."""
    if property_id == "0" and key_that_came():
        return json_response(metadata_document(0, parts().services.of(STANDARD)))
    with admitted(property_id) as (owner, _):
        names = parts().services.of(names_of(rules_at(owner, parts().now_us())))
        return json_response(metadata_document(owner.property_id, names))


@routes.get("/v1/properties/<property_id>/hits/<hit_id>")
def hit(property_id: str, hit_id: str) -> Response:
    """The passport of a hit of the property."""
    owner = authorised(property_id)
    passports = parts().passports
    if passports is None:
        raise errors.no_archive()
    return json_response(passports.passport(HitName.parse(hit_id), owner))


def _report(property_id: str, method: Method) -> Response:
    category: Category = "realtime" if method is RUN_REALTIME_REPORT else "core"
    with admitted(property_id, category) as (owner, admission):
        found = parts().reader.report(owner, json_body(), None, method)
        return json_response(admission.charged(found), found.freshness)


def _batch(property_id: str, method: Method, field: str, name: str) -> Response:
    with admitted(property_id) as (owner, admission):
        requests = batch_requests(json_body(), name, method)
        reader = parts().reader
        pointers = reader.pointers(owner.property_id)
        documents, receipts = [], []
        for each in requests:
            found = reader.report(owner, each, pointers, method)
            documents.append(admission.charged(found))
            receipts.append(found.freshness)
    together = {field: documents, "kind": f"analyticsData#{name}"}
    return json_response(together, Freshness.together(receipts))


def _begin() -> None:
    g.began = time.perf_counter()


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    method = (request.endpoint or "unknown").rpartition(".")[2]
    parts().metrics.answered(method, response.status_code, seconds)
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
