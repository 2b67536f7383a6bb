"""The tracker in a real browser: what a visit to a page makes the collector record."""

import http.server
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from selenium import webdriver
from werkzeug.serving import make_server

from tests.collector.workers import AskedWorker, worker_at

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

PAGE = b"""<!doctype html><title>Shop</title><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src %(host)s
'nonce-n'; connect-src %(host)s; img-src data:">
<script nonce="n">(window.tallymark = function () { tallymark.q.push(arguments) }).q = [];
tallymark('set', {user_id: 'u1'}); tallymark('event', 'early');</script>
<script src="%(host)s/t.js" data-measurement-id="G-SHOP"></script><h1>Shop</h1>"""


class Pages(http.server.BaseHTTPRequestHandler):
    collector = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE % {b"host": self.collector})

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[AskedWorker]:
    with worker_at(tmp_path) as worker:
        server = make_server("127.0.0.1", 0, worker.app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Pages.collector = b"http://127.0.0.1:%d" % server.port
        yield worker
        server.shutdown()
        server.server_close()


@pytest.fixture
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def hits(collector: AskedWorker, count: int) -> list[dict[str, str]]:
    """The parameters of what was recorded, once there are ``count``."""
    end = time.monotonic() + 20
    while len(rows := collector.rows()) < count:
        assert time.monotonic() < end, rows
        time.sleep(0.1)
    queries = [parse_qs(row["query"], strict_parsing=True) for row in rows]
    return [{name: values[0] for name, values in query.items()} for query in queries]


def in_order_sent(hits: list[dict[str, str]]) -> list[dict[str, str]]:
    """Hits of one load of a page: the browser sends each by itself, and they may overtake."""
    return sorted(hits, key=lambda hit: int(hit["_s"]))


def test_a_visit_sends_page_views_events_and_engagement(collector, site, browser):
    browser.get(f"{site}/first?utm_source=mail")
    view, early = in_order_sent(hits(collector, 2))
    expected = {"v": "2", "tid": "G-SHOP", "en": "page_view", "_fv": "1", "_ss": "1", "sct": "1"}
    assert expected.items() <= view.items()
    assert (view["dl"], view["dt"]) == (f"{site}/first?utm_source=mail", "Shop")
    assert view["uid"] == early["uid"] == "u1"
    assert early["en"] == "early"
    assert "_ss" not in early

    browser.execute_script("""
        tallymark('event', 'purchase', {value: 12.5, currency: 'CHF', coupon: 'A&B',
            transaction_id: 't1', items: [{item_id: 's~1', price: 2.5, quantity: 5}]});
        history.pushState({}, '', '/second');""")
    purchase, second = in_order_sent(hits(collector, 4)[2:])
    assert purchase["en"] == "purchase"
    assert (purchase["epn.value"], purchase["cu"], purchase["ep.coupon"]) == ("12.5", "CHF", "A&B")
    assert purchase["pr1"] == "ids~~1~pr2.5~qt5"
    assert (second["en"], second["dl"]) == ("page_view", f"{site}/second")
    assert second["dr"] == f"{site}/first?utm_source=mail"
    assert second["seg"] == "1"

    time.sleep(0.3)
    browser.get(f"{site}/third")
    found = hits(collector, 7)[4:]
    left = next(hit for hit in found if hit["en"] == "user_engagement")
    assert int(left["_et"]) >= 200
    assert left["dl"] == f"{site}/second"
    third = next(hit for hit in found if hit["en"] == "page_view")
    assert "_fv" not in third
    for name in ("cid", "sid", "sct"):
        assert len({hit[name] for hit in (view, early, purchase, second, left, third)}) == 1
    assert {row["origin"] for row in collector.rows()} <= {site, ""}
    assert {row["visitor_hash"] for row in collector.rows()} == {
        collector.rows()[0]["visitor_hash"]
    }


def test_without_beacons_hits_go_by_fetch_and_without_that_by_xhr(collector, site, browser):
    browser.get(f"{site}/")
    hits(collector, 2)
    browser.execute_script("navigator.sendBeacon = () => false; tallymark('event', 'fetched')")
    assert hits(collector, 3)[-1]["en"] == "fetched"
    browser.execute_script("window.fetch = undefined; tallymark('event', 'old')")
    assert hits(collector, 4)[-1]["en"] == "old"
