"""What a request may be: names, sizes and spans, and the errors that say so as Google's do."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc

MAX_REQUEST_BYTES: Final = 10_000_000
"""Bytes of messages in one publish."""
MAX_MESSAGES_PER_PUBLISH: Final = 1_000
MAX_ATTRIBUTES: Final = 100
MAX_ATTRIBUTE_KEY_BYTES: Final = 256
MAX_ATTRIBUTE_VALUE_BYTES: Final = 1_024
DEFAULT_ACK_DEADLINE_SECONDS: Final = 10
MAX_DEADLINE_SECONDS: Final = 600
MIN_RETENTION_SECONDS: Final = 600
MAX_RETENTION_SECONDS: Final = 31 * 86_400
DEFAULT_SUBSCRIPTION_RETENTION_SECONDS: Final = 7 * 86_400

_NAME = re.compile(
    r"projects/(?P<project>[^/]+)/(?P<kind>topics|subscriptions)/"
    r"(?!goog)[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}"
)
_PROJECT = re.compile(r"projects/[^/]+")


class RefusedError(Exception):
    """A request that is answered with an error status.

    Attributes:
        status: The gRPC status to answer.
    """

    def __init__(self, status: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.status = status


def invalid(message: str) -> RefusedError:
    """The answer to a request that breaks a rule."""
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(name: str) -> RefusedError:
    """The answer to a request for something that does not exist."""
    return RefusedError(
        grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={name.rpartition('/')[2]})."
    )


def already_exists(name: str) -> RefusedError:
    """The answer to the creation of something that exists."""
    return RefusedError(
        grpc.StatusCode.ALREADY_EXISTS,
        f"Resource already exists in the project (resource={name.rpartition('/')[2]}).",
    )


@contextmanager
def refusals(context: grpc.ServicerContext) -> Iterator[None]:
    """Answer a ``RefusedError`` raised inside with its status."""
    try:
        yield
    except RefusedError as error:
        context.abort(error.status, str(error))


def answering(
    method: Callable[[Any, grpc.ServicerContext], Any],
) -> Callable[[Any, grpc.ServicerContext], Any]:
    """A unary handler that answers refusals with their status."""

    def handler(request: Any, context: grpc.ServicerContext) -> Any:
        with refusals(context):
            return method(request, context)

    return handler


def check_name(name: str, kind: str) -> str:
    """``name`` if it is that of a ``kind`` (``topics`` or ``subscriptions``)."""
    match = _NAME.fullmatch(name)
    if match is None or match["kind"] != kind:
        raise invalid(
            f"Invalid resource name given (name={name}): expected projects/PROJECT/{kind}/ID, the "
            "ID 3 to 255 letters, digits or -_.~+% after a letter, and not starting with goog."
        )
    return name


def check_project(name: str) -> str:
    """``name`` if it is ``projects/PROJECT``."""
    if not _PROJECT.fullmatch(name):
        raise invalid(f"Invalid resource name given (name={name}): expected projects/PROJECT.")
    return name


def check_retention(duration: Any, *, present: bool, default_seconds: int) -> int:
    """Seconds of a retention, ``default_seconds`` where the request has none."""
    if not present:
        return default_seconds
    seconds: int = duration.seconds
    if not MIN_RETENTION_SECONDS <= seconds <= MAX_RETENTION_SECONDS:
        raise invalid(
            f"Invalid message retention: expected {MIN_RETENTION_SECONDS} to "
            f"{MAX_RETENTION_SECONDS} seconds, got {seconds}."
        )
    return seconds


def check_ack_deadline(seconds: int) -> int:
    """A subscription's acknowledgement deadline, 10 seconds where the request has none."""
    if seconds == 0:
        return DEFAULT_ACK_DEADLINE_SECONDS
    if not DEFAULT_ACK_DEADLINE_SECONDS <= seconds <= MAX_DEADLINE_SECONDS:
        raise invalid(f"Invalid ack deadline given: expected 10 to 600 seconds, got {seconds}.")
    return seconds


def check_extension(seconds: int) -> int:
    """The deadline that a ModifyAckDeadline asks for."""
    if not 0 <= seconds <= MAX_DEADLINE_SECONDS:
        raise invalid(f"Invalid ack deadline given: expected 0 to 600 seconds, got {seconds}.")
    return seconds


def check_messages(request: Any) -> None:
    """Refuse a publish that is empty, too large, or has a message without content."""
    if not 1 <= len(request.messages) <= MAX_MESSAGES_PER_PUBLISH:
        raise invalid(
            f"Invalid number of messages: expected 1 to {MAX_MESSAGES_PER_PUBLISH}, "
            f"got {len(request.messages)}."
        )
    total_bytes = sum(len(message.data) for message in request.messages)
    if total_bytes > MAX_REQUEST_BYTES:
        raise invalid(
            f"The value for request_size is too large. You passed {total_bytes} in the request, "
            f"but the maximum value is {MAX_REQUEST_BYTES}."
        )
    for message in request.messages:
        if not message.data and not message.attributes:
            raise invalid("Some messages in the publish request are empty: give data or attributes")
        _check_attributes(message.attributes)


def _check_attributes(attributes: Any) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise invalid(f"A message has {len(attributes)} attributes, the most is {MAX_ATTRIBUTES}.")
    for key, value in attributes.items():
        if not 1 <= len(key.encode()) <= MAX_ATTRIBUTE_KEY_BYTES:
            raise invalid(f"Attribute key {key[:40]!r}: expected 1 to 256 bytes.")
        if len(value.encode()) > MAX_ATTRIBUTE_VALUE_BYTES:
            raise invalid(f"The value of attribute {key!r} is longer than 1024 bytes.")
