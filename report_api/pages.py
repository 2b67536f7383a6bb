"""Routes of the page that merchants look at, and of what it shows."""

from pathlib import Path
from typing import Final

from flask import Blueprint, Response, send_from_directory

from report_api.overview import overview_document
from report_api.parts import parts
from report_api.requests import authorised, json_response

_STATIC: Final = Path(__file__).parent / "static"

routes = Blueprint("pages", __name__)


@routes.get("/v1/properties/<property_id>/overview")
def overview(property_id: str) -> Response:
    """What the page shows."""
    owner = authorised(property_id)
    of = parts()
    shown = overview_document(of.reader, owner, of.now_us)
    return json_response(shown | {"collectorUrl": of.collector_url})


@routes.get("/")
def page() -> Response:
    """The merchant's page."""
    return send_from_directory(_STATIC, "index.html", max_age=0)


@routes.get("/static/<path:name>")
def static_file(name: str) -> Response:
    """A file of the page."""
    return send_from_directory(_STATIC, name, max_age=0)
