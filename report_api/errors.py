"""Errors in the shape that Google's clients turn into exceptions."""

from typing import Final

import orjson
from flask import Response

_TURN_SECONDS: Final = 5
"""What most reports of hits take at the longest."""


class ApiError(Exception):
    """An answer that is not what was asked for.

    Args:
        code: HTTP status.
        status: Google's name of it.
        message: For the caller.
        headers: Further headers.
    """

    def __init__(
        self, code: int, status: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.headers = headers or {}

    def response(self) -> Response:
        """``{"error": {"code", "message", "status"}}``."""
        document = {"code": self.code, "message": self.message, "status": self.status}
        return Response(
            orjson.dumps({"error": document}),
            status=self.code,
            mimetype="application/json",
            headers=self.headers,
        )


def unauthenticated() -> ApiError:
    """401: no key came."""
    return ApiError(
        401,
        "UNAUTHENTICATED",
        "Request is missing required authentication credential. Expected the property's read key"
        " as Authorization: Bearer KEY or X-Goog-Api-Key: KEY.",
        {"WWW-Authenticate": "Bearer"},
    )


def permission_denied() -> ApiError:
    """403: the key does not open the property; whether there is such a property stays unsaid."""
    return ApiError(
        403,
        "PERMISSION_DENIED",
        "User does not have sufficient permissions for this property. To learn more about Property"
        " ID, see https://developers.google.com/analytics/devguides/reporting/data/v1/property-id.",
    )


def invalid_argument(message: str) -> ApiError:
    """400: the request is wrong."""
    return ApiError(400, "INVALID_ARGUMENT", message)


def not_found(message: str) -> ApiError:
    """404: there is no such thing, or it is another's."""
    return ApiError(404, "NOT_FOUND", message)


def no_archive() -> ApiError:
    """501: what was recorded is kept where this report API cannot read it."""
    return ApiError(
        501,
        "UNIMPLEMENTED",
        "This report API has no archive, so it cannot tell of single hits. Whoever runs it can "
        "give it one (tallymark serve reports --archive), or ask tallymark hit.",
    )


def data_loss() -> ApiError:
    """500: a file of the archive is damaged; which one is in the log."""
    return ApiError(
        500, "DATA_LOSS", "A part of the archive that may hold the answer cannot be read."
    )


def too_many(message: str) -> ApiError:
    """429: the same request may be answered when others are."""
    return ApiError(
        429, "RESOURCE_EXHAUSTED", f"{message} Retry later.", {"Retry-After": str(_TURN_SECONDS)}
    )


def quota_exhausted(message: str, retry_after_seconds: int) -> ApiError:
    """429: a quota of the property is used up."""
    return ApiError(429, "RESOURCE_EXHAUSTED", message, {"Retry-After": str(retry_after_seconds)})


def deadline_exceeded(retry_after_seconds: int) -> ApiError:
    """504: the store is too slow; the same request may succeed later."""
    return ApiError(
        504,
        "DEADLINE_EXCEEDED",
        "Deadline expired before operation could complete.",
        {"Retry-After": str(retry_after_seconds)},
    )


def unavailable(retry_after_seconds: int) -> ApiError:
    """503: the store does not answer; the same request may succeed later."""
    return ApiError(
        503,
        "UNAVAILABLE",
        "The reports cannot be read at the moment. Retry later.",
        {"Retry-After": str(retry_after_seconds)},
    )
