"""A shop's pages, a collector and a browser: what a visit to a page makes the collector record."""

import http.server
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from selenium import webdriver
from werkzeug.serving import make_server

from tests.collector.workers import AskedWorker, worker_at

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"
)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
ARRIVES_SECONDS = 20.0


class Shop:
    """Pages by path, as a site serves them; what is unknown is the page of "/"."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        shop = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def do_GET(self) -> None:
                page = shop.pages.get(self.path.split("?")[0], shop.pages["/"])
                self.send_response(200)
                kind = "audio/wav" if page.startswith(b"RIFF") else "text/html; charset=utf-8"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def address(self, host: str = "localhost") -> str:
        """Its address under one of the names of this machine."""
        return f"http://{host}:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Collector:
    """A worker that listens on a port, and may be made to answer 503, or another status, to what it
    has recorded."""

    def __init__(self, worker: AskedWorker) -> None:
        self.worker = worker
        self.loses_answers = False
        self.instead = "503 Service Unavailable"
        self._server = make_server("127.0.0.1", 0, self._app, threaded=True)
        self.address = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _app(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        is_lost = self.loses_answers and environ["PATH_INFO"] == "/g/collect"

        def unavailable(_: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start(self.instead, headers, exc_info)

        body: Iterable[bytes] = self.worker.app(environ, unavailable if is_lost else start)
        return body

    def tag(self, **attributes: str) -> str:
        """The tag of the tracker's script, with ``data-`` attributes."""
        attributes.setdefault("measurement_id", "G-SHOP")
        told = " ".join(f'data-{n.replace("_", "-")}="{v}"' for n, v in attributes.items())
        return f'<script src="{self.address}/t.js" {told}></script>'

    def hits(self, count: int) -> list[dict[str, str]]:
        """The parameters of what was recorded, once there are ``count``."""
        end = time.monotonic() + ARRIVES_SECONDS
        while len(rows := self.worker.rows()) < count:
            assert time.monotonic() < end, rows
            time.sleep(0.1)
        queries = [parse_qs(row["query"], strict_parsing=True) for row in rows]
        return [{name: values[0] for name, values in query.items()} for query in queries]

    def names(self, count: int) -> list[str]:
        """The names of the events recorded, sorted, once there are ``count``."""
        return sorted(hit["en"] for hit in self.hits(count))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def collecting(folder: Path) -> Iterator[Collector]:
    """A collector over a folder."""
    with worker_at(folder) as worker:
        collector = Collector(worker)
        try:
            yield collector
        finally:
            collector.close()


@contextmanager
def browsing() -> Iterator[webdriver.Chrome]:
    """A browser without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def in_order_sent(hits: list[dict[str, str]]) -> list[dict[str, str]]:
    """Hits of one load of a page: the browser sends each by itself, and they may overtake."""
    return sorted(hits, key=lambda hit: int(hit["_s"]))
