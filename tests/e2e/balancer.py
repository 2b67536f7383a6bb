"""A balancer in front of the collector that runs some requests twice, as real ones do."""

import http.client
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from stores.clock import ScaledClock

_OWN: Final = ("host", "connection", "content-length")


class Balancer:
    """Gives every request an id and a time of its own and runs every ``nth`` of them twice.

    Copies travel over a connection of their own, so that any worker may take them.

    Args:
        collector_url: Where requests go on to.
        clock: What it takes for the time.
        nth: Which requests are run twice.
    """

    def __init__(self, collector_url: str, clock: ScaledClock, nth: int) -> None:
        self._host = urlsplit(collector_url).netloc
        self._clock = clock
        self._nth = nth
        self._numbers = itertools.count(1)
        self.copies = 0

    def forward(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Run a request, and perhaps its copy at the same time; the status of the first answer."""
        number = next(self._numbers)
        now_us = self._clock.utc_us()
        told = headers | {
            "X-Request-Id": f"balanced-{number}",
            "X-Request-Start": f"t={now_us // 1_000_000}.{now_us // 1_000 % 1_000:03d}",
        }
        if number % self._nth:
            return self._send(path, told, body)
        self.copies += 1
        copy = threading.Thread(target=self._send, args=(path, told, body))
        copy.start()
        try:
            return self._send(path, told, body)
        finally:
            copy.join()

    def _send(self, path: str, headers: dict[str, str], body: bytes) -> int:
        connection = http.client.HTTPConnection(self._host, timeout=30)
        try:
            connection.request("POST", path, body, headers)
            return connection.getresponse().status
        finally:
            connection.close()


@contextmanager
def balancing(balancer: Balancer) -> Iterator[str]:
    """The address on which a balancer listens."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {key: value for key, value in self.headers.items() if key.lower() not in _OWN}
            self.send_response(balancer.forward(self.path, headers, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *_arguments: Any) -> None:  # noqa: A002
            """Nothing is said of a request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
