"""Answers: documents as JSON, and everything that is refused in the one shape of errors."""

from typing import Any, Final

import orjson
from flask import Response
from werkzeug.exceptions import HTTPException

from config_api import errors
from config_api.authorisation import ForbiddenError, UnauthenticatedError
from config_api.endpoints.rules import difference, problem_answer
from config_api.models import ErrorAnswer, ErrorBody
from stores.wide_rows.port import WideRowsUnavailableError

_STATUSES: Final[dict[type[Exception], tuple[int, str]]] = {
    UnauthenticatedError: (401, "UNAUTHENTICATED"),
    ForbiddenError: (403, "PERMISSION_DENIED"),
    errors.NotFoundError: (404, "NOT_FOUND"),
    errors.ConflictError: (409, "ALREADY_EXISTS"),
    errors.PositionError: (410, "OUT_OF_RANGE"),
    errors.ChangedMeanwhileError: (412, "FAILED_PRECONDITION"),
    errors.InvalidConfigurationError: (400, "INVALID_ARGUMENT"),
    errors.DatabaseUnavailableError: (503, "UNAVAILABLE"),
    WideRowsUnavailableError: (503, "UNAVAILABLE"),
}
REFUSED: Final = tuple(_STATUSES)
"""Errors that ``refusal`` has an answer for."""
_HTTP_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    413: "INVALID_ARGUMENT",
}


def document(content: Any, status: int = 200) -> Response:
    """JSON."""
    return Response(orjson.dumps(content), status=status, mimetype="application/json")


def refusal(error: Exception) -> Response:
    """What is answered instead; errors of this service alone."""
    code, status = _STATUSES[type(error)]
    told = [problem_answer(each) for each in getattr(error, "problems", [])]
    message = "The request is wrong." if told else str(error)
    body = ErrorBody(code=code, status=status, message=message, problems=told)
    if isinstance(error, errors.ChangedMeanwhileError):
        changes = [difference(each) for each in error.changes]
        body = body.model_copy(update={"version": error.current, "changes": changes})
    return _refused(body)


def http_refusal(error: HTTPException) -> Response:
    """What the framework refuses, in the same shape."""
    code = error.code or 500
    status = _HTTP_STATUSES.get(code, "UNKNOWN")
    body = ErrorBody(code=code, status=status, message=error.description or error.name)
    response = _refused(body)
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _refused(body: ErrorBody) -> Response:
    answer = ErrorAnswer(error=body).model_dump(mode="json")
    for name in ("version", "changes"):
        if answer["error"][name] is None:
            del answer["error"][name]
    response = document(answer, body.code)
    if body.code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if body.code == 503:
        response.headers["Retry-After"] = "1"
    return response
