"""Validation endpoints: a request is looked at, answered, and neither recorded nor counted."""

from collections.abc import Callable
from typing import Any, Final

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from collector.bodies import BodyCutShortError, BodyTooLargeError, read_body
from collector.cors import answer_headers, preflight_headers
from tallymark.validation.measurement_protocol import validation_messages
from tallymark.validation.universal_analytics import hit_parsing_result

METHODS: Final = ["GET", "POST", "OPTIONS"]


def validation(clock: Callable[[], int], max_body_bytes: int) -> Blueprint:
    """``/debug/mp/collect`` and ``/debug/collect``.

    Args:
        clock: UTC µs.
        max_body_bytes: A longer body is answered 413.
    """
    endpoints = Blueprint("validation", __name__)

    def answered(check: Callable[[bytes], dict[str, Any]]) -> ResponseReturnValue:
        if request.method == "OPTIONS":
            return "", 204, preflight_headers(request.environ)
        try:
            body = read_body(request.environ, max_body_bytes) if request.method == "POST" else b""
        except BodyTooLargeError:
            return jsonify({"error": f"at most {max_body_bytes} bytes are taken"}), 413
        except BodyCutShortError:
            return jsonify({"error": "the body ended before its length"}), 400
        response = jsonify(check(body))
        response.headers.extend(answer_headers(request.headers.get("Origin", ""), "GET"))
        return response

    @endpoints.route("/debug/mp/collect", methods=METHODS, provide_automatic_options=False)
    def measurement_protocol() -> ResponseReturnValue:
        return answered(lambda body: {"validationMessages": validation_messages(body, clock())})

    @endpoints.route("/debug/collect", methods=METHODS, provide_automatic_options=False)
    def universal_analytics() -> ResponseReturnValue:
        return answered(
            lambda body: hit_parsing_result(
                request.method,
                request.path,
                request.query_string.decode(errors="replace"),
                body.decode(errors="replace"),
            )
        )

    return endpoints
