"""The recorder: one HTTP request in, one record in the spool out, and a peek at what is wrong."""

import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote_plus

import orjson

from collector.bodies import recorded_body
from collector.known_properties import KnownProperties
from collector.masking import masked_query
from collector.peers import TrustedProxies, country_hint, network_of
from collector.request_ids import balancer_request_id
from collector.spools import Spool
from collector.visitors import VisitorHashes

_CLIENT_HINTS: Final = (
    "Sec-CH-UA",
    "Sec-CH-UA-Arch",
    "Sec-CH-UA-Bitness",
    "Sec-CH-UA-Form-Factors",
    "Sec-CH-UA-Full-Version",
    "Sec-CH-UA-Full-Version-List",
    "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Model",
    "Sec-CH-UA-Platform",
    "Sec-CH-UA-Platform-Version",
    "Sec-CH-UA-WoW64",
)
CLIENT_HINT_KEYS: Final = tuple("HTTP_" + name.upper().replace("-", "_") for name in _CLIENT_HINTS)
_HEADER_COLUMNS: Final = ("user_agent", "accept_language", "referer", "origin")
_MEASUREMENT_ID: Final = re.compile(r"(?:^|&)(?:tid|measurement_id)=([^&]*)")
_PRINTABLE: Final = "".join(chr(code) for code in range(128))


class Recorder:
    """Records requests into a worker's spool.

    Args:
        spool: Where they are appended.
        known: What the peek and the secret's verdict go by.
        visitors: Hashes of visitors.
        proxies: Whose forwarding headers are believed.
        clock: UTC µs.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        known: KnownProperties,
        visitors: VisitorHashes,
        proxies: TrustedProxies,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self._spool = spool
        self._known = known
        self._visitors = visitors
        self._proxies = proxies
        self._clock = clock

    def record(self, environ: Mapping[str, Any], body: bytes) -> tuple[int, str]:
        """Record a request; returns the bytes it took and the reason why it may not count.

        The reason is advisory: "" if nothing is known against the request.

        Raises:
            SpoolClosedError: when the worker is stopping.
            OSError: when the disk does not take it.
        """
        get = environ.get
        address = environ["REMOTE_ADDR"]
        request_id, country = None, ""
        if not self._proxies.are_none and self._proxies.trusts(address):
            address = self._proxies.client_address(environ)
            country = country_hint(environ)
            request_id = balancer_request_id(
                get("HTTP_X_REQUEST_ID", ""), get("HTTP_X_REQUEST_START", "")
            )
        query = environ["QUERY_STRING"]
        if not query.isascii():
            query = _encoded(query)
        query, secret = masked_query(query)
        text, encoding = "", "utf-8"
        if body:
            text, encoding, body_secret = recorded_body(body)
            secret = secret or body_secret
        verdict, reason = self._peek(query, environ["PATH_INFO"], secret)
        user_agent = get("HTTP_USER_AGENT", "")
        columns = {
            "has_balancer_id": request_id is not None,
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"],
            "query": query,
            "body": text,
            "body_encoding": encoding,
            "user_agent": user_agent,
            "accept_language": get("HTTP_ACCEPT_LANGUAGE", ""),
            "referer": get("HTTP_REFERER", ""),
            "origin": get("HTTP_ORIGIN", ""),
            "client_hints": _client_hints(*map(get, CLIENT_HINT_KEYS)),
            "ip_network": network_of(address),
            "visitor_hash": self._visitors.of(
                address, user_agent, get("HTTP_HOST", ""), self._clock()
            ),
            "secret_verdict": verdict,
            "do_not_track": get("HTTP_DNT") == "1",
            "global_privacy_control": get("HTTP_SEC_GPC") == "1",
            "country_hint": country,
        }
        try:
            fields = orjson.dumps(columns)
            if not fields.isascii():
                fields = _decoded(columns)
        except TypeError:  # half a character, which no UTF-8 can express
            fields = _decoded(columns)
        fields = fields[1:]
        self._spool.append(fields, request_id)
        return len(fields), reason

    def _peek(self, query: str, path: str, secret: str) -> tuple[str, str]:
        """The verdict on the secret, and why the request may not count."""
        found = _MEASUREMENT_ID.search(query)
        if found is None or not found[1]:
            return "invalid" if secret else "", "missing_measurement_id"
        measurement_id = found[1]
        if "%" in measurement_id or "+" in measurement_id:
            measurement_id = unquote_plus(measurement_id)
        if not secret:
            if not self._known.knows(measurement_id):
                return "", "unknown_measurement_id"
            return "", "missing_api_secret" if path == "/mp/collect" else ""
        if self._known.accepts_secret(measurement_id, secret):
            return "valid", ""
        if not self._known.knows(measurement_id):
            return "invalid", "unknown_measurement_id"
        return "invalid", "invalid_api_secret"


@lru_cache(maxsize=4_096)
def _client_hints(*values: str | None) -> str:
    """The client hints as JSON; browsers repeat theirs with every hit."""
    hints = {
        name: _header_text(value)
        for name, value in zip(_CLIENT_HINTS, values, strict=True)
        if value is not None
    }
    return orjson.dumps(hints).decode() if hints else ""


def _decoded(columns: dict[str, Any]) -> bytes:
    """The columns as JSON where something is not plain ASCII, maybe a header."""
    decoded = {name: _header_text(columns[name]) for name in _HEADER_COLUMNS}
    return orjson.dumps(columns | decoded)


def _encoded(query: str) -> str:
    """The query as ASCII: bytes that should have been percent-encoded are."""
    return quote(_bytes(query), safe=_PRINTABLE)


def _header_text(value: str) -> str:
    """A header as text: servers hand its bytes over as Latin-1, clients mean UTF-8."""
    if value.isascii():
        return value
    return _bytes(value).decode("utf-8", "replace")


def _bytes(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace")
