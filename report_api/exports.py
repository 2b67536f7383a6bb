"""Routes of exports: any report, and the hits of a day, as a file."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import orjson
from flask import Blueprint, Response, request, send_file

from report_api import errors
from report_api.hit_export import day_of_hits
from report_api.parts import parts
from report_api.reader import Answer
from report_api.requests import FRESHNESS_HEADER, admitted, json_body
from report_api.standard import standard_request
from tallymark.properties import Property
from tallymark.quotas import Category
from tallymark.reports import RUN_PIVOT_REPORT, RUN_REALTIME_REPORT, RUN_REPORT, Method
from tallymark.reports.files import FORMATS, table_of
from tallymark.reports.prices import price

Kind = TypeVar("Kind")
METHODS: Final = {each.name: each for each in (RUN_REPORT, RUN_PIVOT_REPORT, RUN_REALTIME_REPORT)}

routes = Blueprint("exports", __name__)


@routes.post("/v1/properties/<property_id>:exportReport")
def export_report(property_id: str) -> Response:
    """The answer of a reporting method as a file; the body is that of the method."""
    method = _chosen("method", METHODS, "runReport")
    return _exported(property_id, method, json_body, method.name)


@routes.post("/v1/properties/<property_id>/<service>/reports/<name>:export")
def export_standard_report(property_id: str, service: str, name: str) -> Response:
    """A standard report as a file; the body is that of ``:run``."""
    return _exported(
        property_id, RUN_REPORT, lambda: standard_request(service, name), f"{service}-{name}"
    )


@routes.get("/v1/properties/<property_id>/hits/<day>.parquet")
def export_hits(property_id: str, day: str) -> Response:
    """All hits of a day, in the schema of GA4's BigQuery export."""
    with admitted(property_id) as (owner, admission):
        folder = parts().folder
        if folder is None:
            raise errors.no_archive()
        found = day_of_hits(folder, owner, day)
        admission.charge(price(hits=found.freshness.hits_read, rows=found.rows))
    name = f"tallymark-{owner.property_id}-events_{day.replace('-', '')}.parquet"
    response = send_file(
        found.content,
        mimetype=FORMATS["parquet"].media_type,
        as_attachment=True,
        download_name=name,
    )
    response.headers[FRESHNESS_HEADER] = orjson.dumps(found.freshness).decode()
    return response


def _exported(property_id: str, method: Method, asked: Any, title: str) -> Response:
    ending = request.args.get("format", "csv")
    form = _chosen("format", FORMATS, "csv")
    category: Category = "realtime" if method is RUN_REALTIME_REPORT else "core"
    with admitted(property_id, category) as (owner, admission):
        found = parts().reader.report(owner, asked(), None, method)
        admission.charged(found)
        told = _told(owner, found, title)
        content = form.encode(table_of(found.document), told)
    name = f"tallymark-{owner.property_id}-{title}.{ending}"
    return Response(
        content,
        content_type=form.media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            FRESHNESS_HEADER: orjson.dumps(found.freshness).decode(),
        },
    )


def _told(owner: Property, found: Answer, title: str) -> dict[str, str]:
    """What a file tells of itself."""
    metadata = found.document.get("metadata", {})
    return {
        "property": str(owner.property_id),
        "report": title,
        "rows": str(found.document.get("rowCount", len(found.document.get("rows", ())))),
        "time_zone": metadata.get("timeZone", ""),
        "currency": metadata.get("currencyCode", ""),
        "freshness": orjson.dumps(found.freshness).decode(),
    }


def _chosen(field: str, known: Mapping[str, Kind], usual: str) -> Kind:
    """What a parameter of the address names.

    Raises:
        ApiError: 400 when there is no such thing.
    """
    name = request.args.get(field, usual)
    if name not in known:
        raise errors.invalid_argument(f"{field}: expected one of {', '.join(known)}, got {name!r}")
    return known[name]
