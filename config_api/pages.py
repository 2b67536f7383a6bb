"""Pages that need no key: rules for people (whose browser asks with one), the documentation of the
API, the health of the service."""

from contextlib import suppress
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, send_from_directory

from config_api import answers
from config_api.errors import DatabaseUnavailableError
from config_api.feed import newest_position
from config_api.metrics import CONTENT_TYPE
from config_api.openapi import openapi_document
from config_api.parts import parts_here

_STATIC: Final = Path(__file__).parent / "static"

pages = Blueprint("pages", __name__)


@pages.get("/openapi.json")
def openapi() -> Response:
    """The API's document."""
    return answers.document(openapi_document())


@pages.get("/")
def rules() -> Response:
    """Rules of a property: edit, try, save, compare, go back."""
    return send_from_directory(_STATIC, "rules.html", max_age=0)


@pages.get("/docs")
def docs() -> Response:
    """The API's documentation, which shows the document."""
    return send_from_directory(_STATIC, "docs.html", max_age=0)


@pages.get("/static/<path:name>")
def static_file(name: str) -> Response:
    """A file of the pages."""
    return send_from_directory(_STATIC, name, max_age=0)


@pages.get("/healthz")
def healthz() -> Response:
    """Alive."""
    return answers.document({"status": "ok"})


@pages.get("/readyz")
def readyz() -> Response:
    """Able to answer: the database can be read. Raises what makes it a 503 otherwise."""
    return answers.document({"status": "ok", "position": newest_position(parts_here().database)})


@pages.get("/metrics")
def metrics() -> Response:
    """For Prometheus."""
    parts = parts_here()
    with suppress(DatabaseUnavailableError):  # what was said before stays
        parts.metrics.at(newest_position(parts.database))
    return Response(parts.metrics.text(), content_type=CONTENT_TYPE)
