"""Routes of the report services: their standard reports, each ready to be asked for."""

from typing import Any

from flask import Blueprint, Response

from report_api import errors
from report_api.parts import parts
from report_api.requests import admitted, authorised, json_body, json_response
from tallymark.reports import InvalidRequestError
from tallymark.reports.services import SERVICES
from tallymark.reports.standard_reports import STANDARD_REPORTS, StandardReport

routes = Blueprint("standard", __name__)


@routes.get("/v1/services")
def services() -> Response:
    """The report services that this process answers."""
    return json_response(parts().services.document())


@routes.get("/v1/properties/<property_id>/<service>/reports")
def standard_reports(property_id: str, service: str) -> Response:
    """The standard reports of a service."""
    authorised(property_id)
    _answered(service)
    own = [each.document() for each in STANDARD_REPORTS.values() if each.service == service]
    return json_response({"reports": own})


@routes.get("/v1/properties/<property_id>/<service>/reports/<name>")
def standard_report(property_id: str, service: str, name: str) -> Response:
    """One of them, with the request that it is."""
    authorised(property_id)
    return json_response(_report(service, name).document())


@routes.post("/v1/properties/<property_id>/<service>/reports/<name>:run")
def run_standard_report(property_id: str, service: str, name: str) -> Response:
    """One of them, answered; the body may change its dates, filters, orders and pages."""
    with admitted(property_id) as (owner, admission):
        found = parts().reader.report(owner, standard_request(service, name))
        return json_response(admission.charged(found), found.freshness)


def standard_request(service: str, name: str) -> dict[str, Any]:
    """The request of a standard report, as the body of this one changes it.

    Raises:
        ApiError: 404 when it is not answered here.
        InvalidRequestError: when the body changes what cannot be changed.
    """
    return _report(service, name).request(_changes(json_body()))


def _answered(service: str) -> None:
    """Refuse a service that there is not, or not here."""
    if service not in SERVICES:
        raise errors.not_found(f"expected a service of {', '.join(SERVICES)}, got {service!r}")
    here = parts().services.names
    if service not in here:
        raise errors.not_found(
            f"this process answers {' and '.join(here)} alone; ask the one that answers {service}"
        )


def _report(service: str, name: str) -> StandardReport:
    _answered(service)
    report = STANDARD_REPORTS.get(name)
    if report is None or report.service != service:
        own = ", ".join(each.name for each in STANDARD_REPORTS.values() if each.service == service)
        raise errors.not_found(f"expected a report of {own}, got {name!r}")
    return report


def _changes(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise InvalidRequestError(["expected an object of what is to be otherwise"])
    return body
