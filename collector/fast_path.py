"""The fast path: hits are answered before Flask has begun to route.

Everything that is no hit is handed on to the Flask application.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from collector.answers import ANSWERS, Answer
from collector.bodies import BodyCutShortError, BodyTooLargeError, read_body
from collector.cors import HIT_HEADER, Headers, answer_headers, preflight_headers
from collector.metrics import Counts
from collector.recorder import Recorder
from collector.shared_cpu import SharedCpu
from collector.space import SpoolSpace
from collector.spools import SpoolClosedError
from stores import failpoints

StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

RETRY_AFTER_SECONDS: Final = 10
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
            self._counts.refused_full += 1
            return _unavailable(headers, "spool_full")
        try:
            body = read_body(environ, self._max_body_bytes) if method == "POST" else b""
            size_bytes, reason, request_id = self._recorder.record(environ, body)
            if self._sync is not None:
                self._sync()
        except BodyTooLargeError:
            self._counts.refused_large += 1
            return "413 Content Too Large", [*headers, ("X-Tallymark-Reason", "body_too_large")]
        except BodyCutShortError:
            return "400 Bad Request", [*headers, ("X-Tallymark-Reason", "body_cut_short")]
        except SpoolClosedError:
            return _unavailable(headers, "stopping")
        except OSError:
            self._counts.refused_disk += 1
            return _unavailable(headers, "disk")
        failpoints.reach("collector.recorded-before-answer")
        self._space.used_bytes += size_bytes
        self._counts.recorded += 1
        self._counts.recorded_bytes += size_bytes
        headers = [*headers, *taken.headers, (HIT_HEADER, request_id)]
        if reason:
            self._counts.doubted += 1
            headers = [*headers, ("X-Tallymark-Reason", reason)]
        return taken.status, headers


def _unavailable(headers: Headers, reason: str) -> tuple[str, Headers]:
    retry = [("Retry-After", str(RETRY_AFTER_SECONDS)), ("X-Tallymark-Reason", reason)]
    return "503 Service Unavailable", [*headers, *retry]
