"""Answers: what clients of each protocol expect when a hit has been taken."""

import base64
from dataclasses import dataclass
from typing import Final

from collector.cors import Headers

GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent image of one pixel."""


@dataclass(frozen=True)
class Answer:
    """What is said to a hit that was recorded, beside what browsers need of it.

    Attributes:
        status: Of HTTP.
        headers: That go with ``body``.
        body: A single part.
    """

    status: str
    headers: Headers
    body: tuple[bytes, ...]


def _with_body(mimetype: str, body: bytes) -> Answer:
    headers = [("Content-Type", mimetype), ("Content-Length", str(len(body)))]
    return Answer("200 OK", headers, (body,))


_NOTHING: Final = Answer("204 No Content", [], (b"",))
_IMAGE: Final = _with_body("image/gif", GIF)

ANSWERS: Final = {
    "/g/collect": _NOTHING,
    "/mp/collect": _NOTHING,
    "/p.gif": _IMAGE,
    "/collect": _IMAGE,
    "/r/collect": _IMAGE,
    "/batch": _IMAGE,
    # analytics.js obeys the digits of this answer; 1 asks for nothing more.
    "/j/collect": _with_body("text/plain", b"1"),
}
"""The answer at each path that takes hits."""
