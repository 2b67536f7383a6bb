"""Failures: what each exception is to whoever asked."""

import math
from typing import Final

from flask import Flask, Response, current_app
from werkzeug.exceptions import HTTPException

from report_api import errors
from report_api.errors import ApiError
from report_api.hit_limits import BeyondLimitsError
from report_api.turns import NoTurnError, TooManyReportsError
from stores.archive.damage import ArchiveDamageError
from stores.passports import HitNotFoundError
from stores.rules_cache.port import RulesUnavailableError
from stores.wide_rows.deadline import DeadlineExceededError
from stores.wide_rows.port import WideRowsUnavailableError
from tallymark.hit_names import HitNameError
from tallymark.quotas import QuotaExhaustedError
from tallymark.reports import InvalidRequestError

_RULES_AGAIN_SECONDS: Final = 5
_SLOW_AGAIN_SECONDS: Final = 5
_STATUSES: Final = {404: "NOT_FOUND", 405: "UNIMPLEMENTED", 413: "INVALID_ARGUMENT"}


_EXPECTED: Final = (
    InvalidRequestError,
    HitNameError,
    HitNotFoundError,
    BeyondLimitsError,
    TooManyReportsError,
    NoTurnError,
    QuotaExhaustedError,
    RulesUnavailableError,
    WideRowsUnavailableError,
    DeadlineExceededError,
)
"""What is no fault of the server, or passes by itself."""


def register(app: Flask) -> None:
    """Let the application answer failures in Google's shape."""
    app.register_error_handler(ApiError, ApiError.response)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(InvalidRequestError, _invalid)
    app.register_error_handler(HitNameError, _invalid)
    app.register_error_handler(HitNotFoundError, _not_found)
    app.register_error_handler(ArchiveDamageError, _damaged)
    app.register_error_handler(BeyondLimitsError, _beyond_limits)
    app.register_error_handler(TooManyReportsError, _too_many)
    app.register_error_handler(NoTurnError, _no_turn)
    app.register_error_handler(WideRowsUnavailableError, _unavailable)
    app.register_error_handler(RulesUnavailableError, _without_rules)
    app.register_error_handler(DeadlineExceededError, _too_slow)
    app.register_error_handler(QuotaExhaustedError, _exhausted)


def is_server_error(error: BaseException) -> bool:
    """Whether an exception is the server's fault, so that it counts as a server error of a quota.

    A store that is away is nobody's: who asks again while it is would else be locked out for an
    hour after it has come back.
    """
    if isinstance(error, ApiError | HTTPException):
        return (error.code or 500) >= 500
    return not isinstance(error, _EXPECTED)


def _http_error(error: HTTPException) -> Response:
    code = error.code or 500
    status = _STATUSES.get(code, "INTERNAL" if code >= 500 else "UNKNOWN")
    return ApiError(code, status, error.description or error.name).response()


def _invalid(error: InvalidRequestError | HitNameError) -> Response:
    return errors.invalid_argument(str(error)).response()


def _not_found(error: HitNotFoundError) -> Response:
    return errors.not_found(str(error)).response()


def _beyond_limits(error: BeyondLimitsError) -> Response:
    return errors.invalid_argument(f"No rollup holds this combination. {error}").response()


def _too_many(error: TooManyReportsError) -> Response:
    return errors.too_many(f"No rollup holds this combination, and {error}.").response()


def _no_turn(_: NoTurnError) -> Response:
    return errors.too_many("So many reports are being computed that this one was not.").response()


def _exhausted(error: QuotaExhaustedError) -> Response:
    return errors.quota_exhausted(str(error), error.retry_after_seconds).response()


def _damaged(error: ArchiveDamageError) -> Response:
    current_app.logger.error("%s", error)
    return errors.data_loss().response()


def _without_rules(error: RulesUnavailableError) -> Response:
    current_app.logger.warning("the rules cannot be asked: %s", error)
    return errors.unavailable(_RULES_AGAIN_SECONDS).response()


def _too_slow(error: DeadlineExceededError) -> Response:
    current_app.logger.warning("the wide rows are too slow: %s", error)
    return errors.deadline_exceeded(_SLOW_AGAIN_SECONDS).response()


def _unavailable(error: WideRowsUnavailableError) -> Response:
    current_app.logger.warning("the wide rows do not answer: %s", error)
    return errors.unavailable(max(1, math.ceil(error.retry_after_seconds))).response()
