"""The recorder: one HTTP request in, one record in the spool out, and a peek at what is wrong."""

import re
from typing import Any, Final
from urllib.parse import unquote_plus

import orjson

from collector.bodies import recorded_body
from collector.browsers import Browsers
from collector.header_text import header_text, query_text
from collector.known_properties import KnownProperties
from collector.masking import masked_query, may_hold_masked
from collector.peers import TrustedProxies, country_hint
from collector.rate_limits import RateLimits
from collector.reasons import Advice
from collector.request_ids import named_request_id
from collector.spools import Spool
from tallymark.secret_verdicts import VALID

_HIT_KEY: Final = re.compile(r"&_tk=([0-9]{13})\.([0-9]{6,40})&_ta=[0-9]{1,9}$")
"""What our tracker ends a query with: time and name of the hit, by which a copy is known, age."""
_MEASUREMENT_ID: Final = re.compile(r"(?:^|[&\n])(?:tid|measurement_id)=([^&\r\n]*)")


class Recorder:
    """Records requests into a worker's spool.

    Args:
        spool: Where they are appended.
        known: What the peek and the secret's verdict go by.
        browsers: What is recorded of browsers and visitors.
        proxies: Whose forwarding headers are believed.
        limits: How much is taken a second; ``None`` for any amount.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        known: KnownProperties,
        browsers: Browsers,
        proxies: TrustedProxies,
        limits: RateLimits | None = None,
    ) -> None:
        self._spool = spool
        self._known = known
        self._browsers = browsers
        self._proxies = proxies
        self._limits = limits

    def record(self, environ: dict[str, Any], body: bytes) -> tuple[int, Advice, str]:
        """Record a request; returns the bytes it took, the reason why it may not count, and its id.

        The reason is advisory: "" if nothing is known against the request.

        Raises:
            RateLimitedError: when its network or property is beyond its limit.
            SpoolClosedError: when the worker is stopping.
            OSError: when the disk does not take it.
        """
        address = environ["REMOTE_ADDR"]
        request_id, country = None, ""
        if not self._proxies.are_none and self._proxies.trusts(address):
            address = self._proxies.client_address(environ)
            country = country_hint(environ)
            request_id = named_request_id(
                environ.get("HTTP_X_REQUEST_ID", ""), environ.get("HTTP_X_REQUEST_START", "")
            )
        if self._limits is not None:
            self._limits.admit_network(address)
        query = environ["QUERY_STRING"]
        if key := _HIT_KEY.search(query):
            request_id = named_request_id(key[2], key[1])
        if not query.isascii():
            query = query_text(query)
        text, encoding, secret = "", "utf-8", ""
        if body.isascii():
            text = body.decode()
        if not body.isascii() or may_hold_masked(query, text):
            query, secret = masked_query(query)
            text, encoding, body_secret = recorded_body(body)
            secret = secret or body_secret
        verdict, reason = self._peek(environ, query, text, secret)
        columns = orjson.dumps(
            {
                "has_balancer_id": request_id is not None,
                "method": environ["REQUEST_METHOD"],
                "path": environ["PATH_INFO"],
                "query": query,
                "body": text,
                "body_encoding": encoding,
                "referer": header_text(environ.get("HTTP_REFERER", "")),
                "secret_verdict": verdict,
            }
        )
        fields = self._browsers.columns(environ, address, country) + columns[1:]
        return len(fields), reason, self._spool.append(fields, request_id).decode()

    def _peek(
        self, environ: dict[str, Any], query: str, body: str, secret: str
    ) -> tuple[str, Advice]:
        """The verdict on the secret, and why the request may not count."""
        found = _MEASUREMENT_ID.search(query) or (_MEASUREMENT_ID.search(body) if body else None)
        measurement_id = found[1] if found else ""
        if "%" in measurement_id or "+" in measurement_id:
            measurement_id = unquote_plus(measurement_id)
        verdict = self._known.verdict(measurement_id, secret) if secret else ""
        if not measurement_id:
            return verdict, "missing_measurement_id"
        stream = self._known.find(measurement_id)
        if stream is None and self._known.is_unknown(measurement_id):
            return verdict, "unknown_measurement_id"
        if self._limits is not None:
            self._limits.admit_property(measurement_id)
        if not secret and environ["PATH_INFO"] == "/mp/collect":
            return verdict, "missing_api_secret"
        if stream is None:  # nothing is known against it yet
            return verdict, ""
        if secret and verdict != VALID:
            return verdict, "invalid_api_secret"
        named = environ.get("HTTP_ORIGIN", ""), environ.get("HTTP_REFERER", "")
        return verdict, "" if stream.allows_page_of(*named) else "host_not_allowed"
