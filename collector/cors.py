"""CORS: browsers send hits with credentials, so the concrete origin is named, never ``*``."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

Headers = list[tuple[str, str]]

PREFLIGHT_SECONDS: Final = 86_400
_METHODS: Final = "GET, POST, OPTIONS"
HIT_HEADER: Final = "X-Tallymark-Hit"
"""The id of the recorded request, by which ``tallymark hit`` finds it."""
_EXPOSED: Final = ("Access-Control-Expose-Headers", HIT_HEADER)
_NOT_STORED: Final = ("Cache-Control", "no-store")


@lru_cache(maxsize=1_024)
def cors_headers(origin: str) -> Headers:
    """What an answer to a page of ``origin`` carries; none for one that is no plain text.

    The list is shared between answers, and not to be changed.
    """
    if not (origin and origin.isascii() and origin.isprintable()):
        return []
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    ]


@lru_cache(maxsize=2_048)
def answer_headers(origin: str, method: str) -> Headers:
    """What the answer to a hit carries; shared like those of ``cors_headers``.

    No cache keeps the answer to a POST that does not ask for it, so only others say anything of it.
    """
    allowed = cors_headers(origin)
    exposed = [_EXPOSED] if allowed else []
    return [*([_NOT_STORED, *allowed] if method != "POST" else allowed[:2]), *exposed]


def preflight_headers(environ: Mapping[str, Any]) -> Headers:
    """The answer to a preflight: what was asked for is allowed, for a day."""
    asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
    headers = [
        *cors_headers(environ.get("HTTP_ORIGIN", "")),
        ("Access-Control-Allow-Methods", _METHODS),
        ("Access-Control-Max-Age", str(PREFLIGHT_SECONDS)),
    ]
    if asked and asked.isascii() and asked.isprintable():
        headers.append(("Access-Control-Allow-Headers", asked))
    return headers
