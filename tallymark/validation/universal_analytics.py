"""Validation of Universal Analytics, as ``/debug/collect`` answers it.

The shape of the answer: Google's guide "Validating hits". The words of the descriptions are ours.
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

from tallymark.protocol_limits import MAX_PAYLOADS

HIT_TYPES: Final = (
    "pageview", "screenview", "appview", "event", "transaction", "item", "social", "timing",
    "exception",
)  # fmt: skip
REQUIRED: Final = {
    "event": ("ec", "ea"),
    "transaction": ("ti",),
    "item": ("ti", "in"),
    "social": ("sn", "sa", "st"),
    "timing": ("utc", "utv", "utt"),
    "screenview": ("cd",),
}
"""Parameters that a type of hit has to have."""
MAX_PAYLOAD_BYTES: Final = 8_192


def hit_parsing_result(method: str, path: str, query: str, body: str) -> dict[str, Any]:
    """What is right or wrong with each payload of a request.

    Args:
        method: Of HTTP.
        path: The address that was asked.
        query: Without ``?``.
        body: A payload a line, or nothing.
    """
    lines = [line for line in body.splitlines() if line.strip()] or [""]
    results = [_result(_payload(query, line), method, path) for line in lines]
    said = f"Found {len(lines)} hit{'s' if len(lines) > 1 else ''} in the request."
    parser = [_message("INFO", said)]
    if len(lines) > MAX_PAYLOADS:
        parser.append(_message("ERROR", f"At most {MAX_PAYLOADS} hits are allowed in a request."))
    return {"hitParsingResult": results, "parserMessage": parser}


def _payload(query: str, line: str) -> str:
    return "&".join(part for part in (line, query) if part)


def _result(payload: str, method: str, path: str) -> dict[str, Any]:
    sent: dict[str, str] = {}
    for name, value in parse_qsl(payload, keep_blank_values=True):
        sent.setdefault(name, value)
    messages = list(_problems(sent, payload))
    is_valid = not any(message["messageType"] == "ERROR" for message in messages)
    return {"valid": is_valid, "parserMessage": messages, "hit": f"{method} {path}?{payload}"}


def _problems(sent: dict[str, str], payload: str) -> Iterator[dict[str, str]]:
    if len(payload.encode()) > MAX_PAYLOAD_BYTES:
        yield _message("ERROR", f"A hit may have {MAX_PAYLOAD_BYTES} bytes at most.")
    if sent.get("v") != "1":
        yield _message("ERROR", "The version must be 1.", "v")
    if not sent.get("tid"):
        yield _message("ERROR", "The id of the property is missing.", "tid")
    if not (sent.get("cid") or sent.get("uid")):
        yield _message("ERROR", "The id of a client or a user is missing.", "cid")
    hit_type = sent.get("t", "")
    if hit_type not in HIT_TYPES:
        expected = ", ".join(HIT_TYPES)
        yield _message("ERROR", f"The type of the hit must be one of {expected}.", "t")
    for name in REQUIRED.get(hit_type, ()):
        if not sent.get(name):
            yield _message("ERROR", f"A hit of type {hit_type} must have '{name}'.", name)
    if hit_type == "pageview" and not (sent.get("dl") or (sent.get("dh") and sent.get("dp"))):
        yield _message("WARN", "A page view should have 'dl', or 'dh' and 'dp'.", "dl")


def _message(kind: str, description: str, parameter: str = "") -> dict[str, str]:
    message = {"messageType": kind, "description": description}
    return message | {"parameter": parameter} if parameter else message
