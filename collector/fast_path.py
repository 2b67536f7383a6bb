"""The fast path: hits are answered before Flask has begun to route.

Everything that is no hit is handed on to the Flask application.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from collector.answers import ANSWERS, Answer
from collector.bodies import BodyCutShortError, BodyTooLargeError, read_body
from collector.cors import HIT_HEADER, Headers, answer_headers, preflight_headers
from collector.metrics import Counts
from collector.rate_limits import RateLimitedError
from collector.reasons import (
    CUT_SHORT,
    DISK,
    HEADER,
    SPOOL_FULL,
    STOPPING,
    TOO_LARGE,
    Refusal,
)
from collector.recorder import Recorder
from collector.shared_cpu import SharedCpu
from collector.space import SpoolSpace
from collector.spools import SpoolClosedError
from stores import failpoints

StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

_REFUSALS: Final[dict[type[Exception], Refusal]] = {
    BodyTooLargeError: TOO_LARGE,
    BodyCutShortError: CUT_SHORT,
    SpoolClosedError: STOPPING,
}
_EMPTY: Final = (b"",)


class FastPath:
    """A WSGI application that records hits and leaves the rest to another.

    Args:
        others: Answers what is no hit.
        recorder: Records the hits.
        space: Says when there is no room for more.
        counts: What the metrics are made of.
        sync: Waits until what was recorded survives the death of the machine; ``None`` where
            surviving that of the process is enough.
        max_body_bytes: A longer body is answered 413.
        cpu: Where the threads that ask are brought together, if they are.
    """

    def __init__(
        self,
        others: WsgiApp,
        *,
        recorder: Recorder,
        space: SpoolSpace,
        counts: Counts,
        sync: Callable[[], None] | None,
        max_body_bytes: int,
        cpu: SharedCpu | None = None,
    ) -> None:
        self._others = others
        self._recorder = recorder
        self._space = space
        self._counts = counts
        self._sync = sync
        self._max_body_bytes = max_body_bytes
        self._cpu = cpu

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        if self._cpu is not None:
            self._cpu.join()
        taken = ANSWERS.get(environ["PATH_INFO"])
        if taken is None:
            return self._others(environ, start_response)
        method = environ["REQUEST_METHOD"]
        if method in ("POST", "GET"):
            status, headers = self._collect(environ, method, taken)
        elif method == "OPTIONS":
            status, headers = "204 No Content", preflight_headers(environ)
        else:
            status, headers = "405 Method Not Allowed", [("Allow", "GET, POST, OPTIONS")]
        start_response(status, headers)
        return taken.body if status == taken.status else _EMPTY

    def _collect(self, environ: dict[str, Any], method: str, taken: Answer) -> tuple[str, Headers]:
        headers = answer_headers(environ.get("HTTP_ORIGIN", ""), method)
        if self._space.is_full:
            return self._refused(SPOOL_FULL, headers)
        try:
            body = read_body(environ, self._max_body_bytes) if method == "POST" else b""
            size_bytes, reason, request_id = self._recorder.record(environ, body)
            if self._sync is not None:
                self._sync()
        except RateLimitedError as limited:
            return self._refused(limited.refusal, headers)
        except (BodyTooLargeError, BodyCutShortError, SpoolClosedError, OSError) as error:
            return self._refused(_REFUSALS.get(type(error), DISK), headers)
        failpoints.reach("collector.recorded-before-answer")
        self._space.used_bytes += size_bytes
        self._counts.recorded += 1
        self._counts.recorded_bytes += size_bytes
        headers = [*headers, *taken.headers, (HIT_HEADER, request_id)]
        if reason:
            self._counts.doubted += 1
            headers = [*headers, (HEADER, reason)]
        return taken.status, headers

    def _refused(self, refusal: Refusal, headers: Headers) -> tuple[str, Headers]:
        counted_as = refusal.counted_as
        if counted_as:
            setattr(self._counts, counted_as, getattr(self._counts, counted_as) + 1)
        return refusal.status, [*headers, *refusal.headers]
