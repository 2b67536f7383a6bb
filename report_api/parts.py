"""What the application is made of, for its routes."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import current_app

from report_api.answer_cache import AnswerCache
from report_api.folded_hits import HitFolder
from report_api.metrics import ReportMetrics
from report_api.quotas import Quotas
from report_api.reader import ReportReader
from stores.live_audits import AuditNotes
from stores.passports import Passports
from stores.rules_cache.port import RulesCache
from stores.wide_rows.port import WideRows
from tallymark.reports.services import Services


@dataclass(frozen=True)
class Parts:
    """What the application was made of."""

    reader: ReportReader
    answers: AnswerCache
    quotas: Quotas
    rules_cache: RulesCache
    now_us: Callable[[], int]
    metrics: ReportMetrics
    audit_notes: AuditNotes
    wide_rows: WideRows
    passports: Passports | None
    collector_url: str
    services: Services
    folder: HitFolder | None


def parts() -> Parts:
    """Those of the application that answers the request."""
    found: Parts = current_app.extensions["tallymark"]
    return found
