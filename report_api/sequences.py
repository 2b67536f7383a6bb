"""Routes of what is asked of the order of hits: funnels, paths, retention."""

from flask import Blueprint, Response

from report_api import errors
from report_api.parts import parts
from report_api.requests import admitted, json_body, json_response
from report_api.sequence_reader import FUNNEL, PATH, RETENTION, Sequence, sequence_answer
from tallymark.reports.prices import price

routes = Blueprint("sequences", __name__)


@routes.post("/v1alpha/properties/<property_id>:runFunnelReport")
def run_funnel_report(property_id: str) -> Response:
    """How many users take one step after another."""
    return _answered(property_id, FUNNEL)


@routes.post("/v1/properties/<property_id>:runPathReport")
def run_path_report(property_id: str) -> Response:
    """From which page or event visits go to which."""
    return _answered(property_id, PATH)


@routes.post("/v1/properties/<property_id>:runRetentionReport")
def run_retention_report(property_id: str) -> Response:
    """How many of those who came first in a period were there in later ones."""
    return _answered(property_id, RETENTION)


def _answered(property_id: str, sequence: Sequence) -> Response:
    with admitted(property_id, "funnel") as (owner, admission):
        folder = parts().folder
        if folder is None:
            raise errors.no_archive()
        body = json_body()
        found = sequence_answer(folder, owner, sequence, body)
        left = admission.charge(price(hits=found.freshness.hits_read))
        tells = isinstance(body, dict) and body.get("returnPropertyQuota") is True
        quota = {"propertyQuota": left} if tells else {}
        return json_response(found.document | quota, found.freshness)
