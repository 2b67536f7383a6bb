"""The tracker in a real browser: what a visit to a page makes the collector record."""

import io
import subprocess
import time
import wave
from pathlib import Path

import pytest
from flask import Flask
from selenium import webdriver
from selenium.webdriver.common.by import By

from collector.tracker import Tracker
from tests.collector.browsing import Collector, Shop, in_order_sent, needs_chromium
from tests.collector.workers import worker_at, write_properties

in_a_browser = [pytest.mark.slow, pytest.mark.browser, needs_chromium]
ROOT = Path(__file__).parents[2]
TERSER = ROOT / ".servers" / "tracking_clients" / "node_modules" / ".bin" / "terser"

STRICT = """<!doctype html><title>Shop</title><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src {host}
'nonce-n'; connect-src {host}; img-src data:">
<script nonce="n">(window.tallymark = function () {{ tallymark.q.push(arguments) }}).q = [];
tallymark('set', {{user_id: 'u1'}}); tallymark('event', 'early');</script>{tag}<h1>Shop</h1>"""
PLAIN = """<!doctype html><title>Shop</title><meta charset="utf-8"><h1>Shop</h1>"""


def plain_page(tag: str, body: str = "") -> bytes:
    return f"{PLAIN}{tag}{body}".encode()


class TestAVisit:
    pytestmark = in_a_browser

    def test_sends_page_views_events_and_engagement(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome
    ) -> None:
        page = STRICT.format(host=collector.address, tag=collector.tag())
        shop.pages["/"] = page.encode()
        site = shop.address()
        browser.get(f"{site}/first?utm_source=mail")
        view, early = in_order_sent(collector.hits(2))
        expected = {"v": "2", "tid": "G-SHOP", "en": "page_view", "_fv": "1", "_ss": "1"}
        assert expected.items() <= view.items()
        assert (view["sct"], view["gcs"]) == ("1", "G101")
        assert (view["dl"], view["dt"]) == (f"{site}/first?utm_source=mail", "Shop")
        assert view["uid"] == early["uid"] == "u1"
        assert early["en"] == "early"
        assert "_ss" not in early

        browser.execute_script("""
            tallymark('event', 'purchase', {value: 12.5, currency: 'CHF', coupon: 'A&B',
                transaction_id: 't1', items: [{item_id: 's~1', price: 2.5, quantity: 5}],
                event_callback: () => window.isCalledBack = true});
            history.pushState({}, '', '/second');""")
        purchase, second = in_order_sent(collector.hits(4)[2:])
        assert purchase["en"] == "purchase"
        assert (purchase["epn.value"], purchase["cu"]) == ("12.5", "CHF")
        assert (purchase["ep.coupon"], purchase["pr1"]) == ("A&B", "ids~~1~pr2.5~qt5")
        assert browser.execute_script("return window.isCalledBack")
        assert (second["en"], second["dl"]) == ("page_view", f"{site}/second")
        assert second["dr"] == f"{site}/first?utm_source=mail"
        assert second["seg"] == "1"

        time.sleep(0.3)
        browser.get(f"{site}/third")
        found = collector.hits(6)[4:]
        left = next(hit for hit in found if hit["en"] == "user_engagement")
        assert int(left["_et"]) >= 200
        assert left["dl"] == f"{site}/second"
        third = next(hit for hit in found if hit["en"] == "page_view")
        assert "_fv" not in third
        for name in ("cid", "sid", "sct"):
            assert len({hit[name] for hit in (view, early, purchase, second, left, third)}) == 1
        rows = collector.worker.rows()
        assert {row["origin"] for row in rows} <= {site, ""}
        assert len({row["visitor_hash"] for row in rows}) == 1
        assert all(row["has_balancer_id"] for row in rows)
        assert len({row["request_id"] for row in rows}) == len(rows)

    def test_back_from_the_cache_of_pages_is_a_view_and_a_hidden_tab_no_engagement(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome
    ) -> None:
        shop.pages["/"] = plain_page(collector.tag())
        browser.get(f"{shop.address()}/first")
        collector.hits(1)
        browser.get(f"{shop.address()}/second")
        collector.hits(3)
        browser.back()
        hits = collector.hits(5)
        is_cached = (
            browser.execute_script("return performance.getEntriesByType('navigation')[0].type")
            == "navigate"
        )
        assert is_cached, "the page was loaded again, not taken from the cache of pages"
        views = [hit["dl"].rsplit("/", 1)[1] for hit in hits if hit["en"] == "page_view"]
        assert sorted(views) == ["first", "first", "second"]

        first = browser.current_window_handle
        browser.switch_to.new_window("tab")
        told = len(collector.hits(6))  # what the page was looked at before it was hidden
        time.sleep(1.5)
        browser.switch_to.window(first)
        time.sleep(0.5)
        browser.execute_script("tallymark('event', 'seen')")
        seen = collector.hits(told + 1)[-1]
        assert seen["en"] == "seen"
        assert int(seen.get("_et", 0)) < 1_400
        browser.switch_to.new_window("tab")
        other = browser.current_window_handle
        browser.switch_to.window(first)
        time.sleep(0.4)
        count = len(collector.hits(told + 1))
        browser.close()
        browser.switch_to.window(other)
        closed = collector.hits(count + 1)[-1]
        assert closed["en"] == "user_engagement"
        assert len({hit["cid"] for hit in collector.hits(count + 1)}) == 1

    def test_interactions_are_measured_by_themselves(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome
    ) -> None:
        sound = io.BytesIO()
        with wave.open(sound, "wb") as file:
            file.setparams((1, 1, 8_000, 16_000, "NONE", ""))
            file.writeframes(b"\x80" * 16_000)
        shop.pages["/film.wav"] = sound.getvalue()
        shop.pages["/"] = plain_page(collector.tag(), """
            <a id=out class="big red" href="https://elsewhere.test/there" target=x>Out</a>
            <a id=file href="/files/Prices.PDF" target=x>Prices</a><a id=in href="/in">In</a>
            <form id=order name=orders action="/ordered" onsubmit="return false"><input name=size>
            <button>Order now</button></form>
            <video id=film title="A film" src="/film.wav" muted></video>
            <div style="height:5000px"></div>
            <script>document.addEventListener('click', event => {
                if (event.target.href) event.preventDefault() })</script>""")  # fmt: skip
        browser.get(f"{shop.address()}/list?Q=no&q=red+shoes")
        for element in ("out", "file", "in"):
            browser.find_element(By.ID, element).click()
        browser.find_element(By.NAME, "size").send_keys("42")
        browser.find_element(By.TAG_NAME, "button").click()
        browser.execute_script("window.scrollTo(0, 5000)")
        browser.execute_script("document.getElementById('film').play()")
        told = {"page_view", "view_search_results", "click", "file_download", "form_start",
                "form_submit", "scroll", "video_start", "video_complete"}  # fmt: skip
        end = time.monotonic() + 20
        while not told <= set(names := collector.names(1)):
            assert time.monotonic() < end, names
            time.sleep(0.2)
        by_name = {hit["en"]: hit for hit in collector.hits(1)}
        assert by_name["view_search_results"]["ep.search_term"] == "red shoes"
        click = by_name["click"]
        assert click["ep.link_url"] == "https://elsewhere.test/there"
        assert (click["ep.link_domain"], click["ep.link_id"]) == ("elsewhere.test", "out")
        assert (click["ep.link_classes"], click["ep.outbound"]) == ("big red", "true")
        download = by_name["file_download"]
        assert (download["ep.file_extension"], download["ep.file_name"]) == (
            "PDF", "/files/Prices.PDF")  # fmt: skip
        start, submit = by_name["form_start"], by_name["form_submit"]
        assert start["ep.form_id"] == submit["ep.form_id"] == "order"
        assert submit["ep.form_name"] == "orders"
        assert submit["ep.form_submit_text"] == "Order now"
        assert by_name["scroll"]["epn.percent_scrolled"] == "90"
        film = by_name["video_complete"]
        assert (film["ep.video_title"], film["epn.video_percent"]) == ("A film", "100")
        progress = [
            hit["epn.video_percent"] for hit in collector.hits(1) if hit["en"] == "video_progress"
        ]
        assert sorted(progress) == ["10", "25", "50", "75"]
        assert names.count("click") == names.count("scroll") == names.count("form_start") == 1

    def test_what_is_switched_off_is_not_measured(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome
    ) -> None:
        tag = collector.tag(measure="none", page_view="manual")
        shop.pages["/"] = plain_page(tag, '<a id=out href="#" onclick="return false">x</a>')
        browser.get(f"{shop.address()}/list?q=shoes")
        browser.find_element(By.ID, "out").click()
        browser.execute_script("tallymark('event', 'page_view', {page_title: 'Mine'})")
        time.sleep(0.3)
        (view,) = collector.hits(1)
        assert (view["en"], view["dt"]) == ("page_view", "Mine")


class TestTheDataStream:
    pytestmark = in_a_browser

    def test_says_what_is_measured_and_which_hosts_are_linked(
        self, tmp_path: Path, collector: Collector, shop: Shop, browser: webdriver.Chrome
    ) -> None:
        tag = f'<script src="{collector.address}/t.js?id=G-SHOP"></script>'
        other = shop.address("127.0.0.1")
        body = f"""<a id=out href="https://elsewhere.test/" target=x>Out</a>
            <a id=pay href="{other}/pay">Pay</a><div style="height:5000px"></div>
            <script nonce="n">document.addEventListener('click', event => {{
                if (event.target.id == 'out') event.preventDefault() }})</script>"""
        shop.pages["/"] = STRICT.format(host=collector.address, tag=tag).encode() + body.encode()
        switched_off = ["page_views", "scrolls", "site_search"]
        hosts = ["localhost", "127.0.0.1"]
        write_properties(tmp_path, stream={"switched_off": switched_off}, cross_domain_hosts=hosts)
        collector.worker.worker.known.refresh()
        browser.get(f"{shop.address()}/list?q=shoes")
        browser.execute_script("""window.scrollTo(0, 5000); history.pushState({}, '', '/next');
            tallymark('event', 'done')""")
        browser.find_element(By.ID, "out").click()
        names = ["click", "done", "early", "page_view"]
        assert collector.names(4) == names
        browser.find_element(By.ID, "pay").click()
        time.sleep(0.5)
        hits = collector.hits(6)
        assert {hit["en"] for hit in hits} == {*names, "user_engagement"}
        assert len({(hit["cid"], hit["sid"]) for hit in hits}) == 1
        assert browser.current_url == f"{other}/pay"


class TestDelivery:
    pytestmark = in_a_browser

    def test_goes_by_beacon_where_there_is_no_fetch(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome
    ) -> None:
        shop.pages["/"] = plain_page(collector.tag())
        browser.get(f"{shop.address()}/")
        collector.hits(1)
        browser.execute_script("window.fetch = undefined; tallymark('event', 'old')")
        assert collector.hits(2)[-1]["en"] == "old"

    @pytest.mark.parametrize("status", ["503 Service Unavailable", "429 Too Many Requests"])
    def test_is_tried_again_under_the_same_name_when_it_was_not_taken(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome, status: str
    ) -> None:
        shop.pages["/"] = plain_page(collector.tag())
        collector.instead = status
        collector.loses_answers = True
        browser.get(f"{shop.address()}/")
        lost = collector.hits(1)[0]
        collector.loses_answers = False
        time.sleep(0.5)
        browser.execute_script("window.dispatchEvent(new Event('online'))")
        again = collector.hits(2)[1]
        assert int(lost.pop("_ta")) < 400 < int(again.pop("_ta"))
        assert lost == again
        first, second = collector.worker.rows()
        assert first["request_id"] == second["request_id"]
        assert first["has_balancer_id"]

    def test_what_happens_offline_arrives_with_its_age_even_from_another_page(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome
    ) -> None:
        shop.pages["/"] = plain_page(collector.tag())
        browser.get(f"{shop.address()}/")
        collector.hits(1)
        conditions = {"latency": 0, "download_throughput": -1, "upload_throughput": -1}
        browser.set_network_conditions(offline=True, **conditions)
        browser.execute_script("tallymark('event', 'in_the_tunnel')")
        time.sleep(1.2)
        browser.set_network_conditions(offline=False, **conditions)
        browser.get(f"{shop.address()}/next")
        end = time.monotonic() + 20
        while not (found := [h for h in collector.hits(3) if h["en"] == "in_the_tunnel"]):
            assert time.monotonic() < end
            time.sleep(0.2)
        assert 1_100 < int(found[0]["_ta"]) < 20_000
        assert browser.execute_script("return localStorage._tmq") == "[]"


class TestTheVisitorsSay:
    pytestmark = in_a_browser

    def test_held_hits_are_sent_once_there_is_consent_and_cookies_go_when_it_is_taken_back(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome
    ) -> None:
        shop.pages["/"] = plain_page(collector.tag(consent="denied"))
        browser.get(f"{shop.address()}/")
        browser.execute_script("tallymark('event', 'early')")
        time.sleep(0.5)
        assert collector.hits(0) == []
        assert browser.get_cookies() == []
        browser.execute_script("tallymark('consent', 'update', {analytics_storage: 'granted'})")
        view, early = in_order_sent(collector.hits(2))
        assert (view["en"], early["en"]) == ("page_view", "early")
        assert int(view["_ta"]) >= 500
        assert len({hit["_tk"] for hit in (view, early)}) == 2
        assert view["cid"] == early["cid"]
        assert {cookie["name"] for cookie in browser.get_cookies()} == {"_tm", "_tms"}
        browser.execute_script("""tallymark('consent', 'update', {analytics_storage: 'denied'});
            tallymark('event', 'after')""")
        time.sleep(0.3)
        assert collector.names(2) == ["early", "page_view"]
        assert browser.get_cookies() == []

    def test_without_consent_a_cookieless_page_sends_hits_without_a_client(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome
    ) -> None:
        shop.pages["/"] = plain_page(collector.tag(consent="cookieless"))
        browser.get(f"{shop.address()}/")
        (view,) = collector.hits(1)
        assert not {"cid", "sid", "_fv"} & set(view)
        assert view["gcs"] == "G100"
        assert collector.worker.row()["visitor_hash"] != ""
        assert browser.get_cookies() == []
        assert browser.execute_script("return localStorage.length") == 0

    def test_blocked_cookies_send_hits_without_a_client(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome
    ) -> None:
        shop.pages["/"] = plain_page(collector.tag())
        browser.execute_cdp_cmd("Emulation.setDocumentCookieDisabled", {"disabled": True})
        browser.get(f"{shop.address()}/")
        (view,) = collector.hits(1)
        assert not {"cid", "sid", "_fv"} & set(view)

    @pytest.mark.parametrize("signal", ["globalPrivacyControl = true", "doNotTrack = '1'"])
    def test_a_signal_of_privacy_is_respected_where_the_property_says_so(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome, signal: str
    ) -> None:
        name, value = signal.split(" = ")
        source = f"Object.defineProperty(navigator, '{name}', {{value: {value}}})"
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})
        shop.pages["/respectful"] = plain_page(collector.tag(signals="respect"))
        shop.pages["/"] = plain_page(collector.tag())
        browser.get(f"{shop.address()}/respectful")
        browser.execute_script("tallymark('consent', 'update', {analytics_storage: 'granted'})")
        time.sleep(0.3)
        browser.get(f"{shop.address()}/")
        (view,) = collector.hits(1)
        assert view["dl"] == f"{shop.address()}/"


class TestTwoDomains:
    pytestmark = in_a_browser

    def test_are_one_visit_where_they_are_linked(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome
    ) -> None:
        other = shop.address("127.0.0.1")
        tag = collector.tag(domains="localhost, 127.0.0.1")
        shop.pages["/"] = plain_page(tag, f'<a id=pay href="{other}/pay?basket=7">Pay</a>')
        browser.get(f"{shop.address()}/")
        collector.hits(1)
        browser.find_element(By.ID, "pay").click()
        hits = collector.hits(3)
        assert sorted(hit["en"] for hit in hits) == ["page_view", "page_view", "user_engagement"]
        assert len({(hit["cid"], hit["sid"], hit["sct"]) for hit in hits}) == 1
        assert {hit["dl"] for hit in hits} == {f"{shop.address()}/", f"{other}/pay?basket=7"}
        assert browser.current_url == f"{other}/pay?basket=7"

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_are_one_visit_by_a_form_too(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome, method: str
    ) -> None:
        other = shop.address("127.0.0.1")
        tag = collector.tag(domains="localhost 127.0.0.1")
        form = f"""<form method={method} action="{other}/pay?x=1">
            <input name=action value=7><button>Pay</button></form>"""
        shop.pages["/"] = plain_page(tag, form)
        browser.get(f"{shop.address()}/")
        collector.hits(1)
        browser.find_element(By.TAG_NAME, "button").click()
        views = {hit["dl"]: hit for hit in collector.hits(4) if hit["en"] == "page_view"}
        paid = f"{other}/pay?" + ("action=7" if method == "get" else "x=1")
        assert set(views) == {f"{shop.address()}/", paid}
        assert len({(hit["cid"], hit["sid"]) for hit in views.values()}) == 1
        assert browser.current_url == paid

    @pytest.mark.parametrize("forged", [
        "1.2*3.4*1.1.0.1*99", "abc", "***", "%00", "1*<script>*2*3",
    ])  # fmt: skip
    def test_take_no_visit_from_a_link_that_is_old_or_made_up(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome, forged: str
    ) -> None:
        shop.pages["/"] = plain_page(collector.tag(domains="localhost 127.0.0.1"))
        browser.get(f"{shop.address()}/?_tml={forged}")
        (view,) = collector.hits(1)
        assert view["_fv"] == "1"
        assert view["dl"] == f"{shop.address()}/"


class TestGtag:
    pytestmark = in_a_browser

    def test_calls_are_understood_when_only_the_scripts_address_was_changed(
        self, collector: Collector, shop: Shop, browser: webdriver.Chrome
    ) -> None:
        shop.pages["/"] = f"""{PLAIN}
            <script async src="{collector.address}/t.js?id=G-SHOP"></script><script>
            window.dataLayer = window.dataLayer || [];
            function gtag() {{ dataLayer.push(arguments); }}
            gtag('js', new Date());
            gtag('consent', 'default', {{ad_storage: 'denied', analytics_storage: 'denied'}});
            gtag('config', 'G-SHOP', {{user_id: 'u7', page_title: 'Renamed', plan: 'gold'}});
            gtag('config', 'AW-1', {{send_page_view: false}});
            gtag('event', 'sign_up', {{method: 'mail'}});
            </script>""".encode()
        browser.get(f"{shop.address()}/")
        time.sleep(0.3)
        browser.execute_script("""gtag('consent', 'update', {analytics_storage: 'granted'});
            gtag('set', 'user_properties', {size: 'L', visits: 3});
            gtag('event', 'search', {search_term: 'x'});""")
        view, sign_up, search = in_order_sent(collector.hits(3))
        assert (view["en"], view["uid"], view["dt"]) == ("page_view", "u7", "Renamed")
        assert view["ep.plan"] == "gold"
        assert (sign_up["en"], sign_up["ep.method"]) == ("sign_up", "mail")
        assert (search["en"], search["up.size"], search["upn.visits"]) == ("search", "L", "3")


def test_the_script_is_less_than_3_kb_compressed() -> None:
    tracker = Tracker.load()
    assert len(tracker.encoded["br"]) < 3_000


@pytest.mark.parametrize(("accepted", "encoding"), [
    ("gzip, deflate, br", "br"), ("gzip", "gzip"), ("br;q=0, gzip", "gzip"), ("identity", None),
    ("", None),
])  # fmt: skip
def test_the_script_is_sent_as_the_browser_accepts_it(accepted: str, encoding: str | None) -> None:
    app, tracker = Flask(__name__), Tracker.load()
    app.add_url_rule("/t.js", view_func=tracker.response)
    client = app.test_client()
    answer = client.get("/t.js", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.data == tracker.encoded[encoding or "identity"]
    known = {"Accept-Encoding": accepted, "If-None-Match": answer.headers["ETag"]}
    assert client.get("/t.js", headers=known).status_code == 304


SETTINGS = {
    "": ("G-OTHER", 300, "{}"),
    "nothing": ("", 3600, "{}"),
    "the default": ("G-SHOP", 300, "{}"),
}


@pytest.mark.parametrize(("measurement_id", "max_age", "settings"), SETTINGS.values(), ids=SETTINGS)
def test_the_script_is_cached_for_less_long_where_it_is_that_of_a_stream(
    tmp_path: Path, measurement_id: str, max_age: int, settings: str
) -> None:
    with worker_at(tmp_path) as worker:
        answer = worker.ask("/t.js", f"id={measurement_id}" if measurement_id else "")
        assert answer.headers["Cache-Control"] == f"public, max-age={max_age}"
        assert answer.body.endswith(f"({settings})".encode())


def test_a_change_of_the_stream_changes_the_script_and_its_tag(tmp_path: Path) -> None:
    with worker_at(tmp_path) as worker:
        first = worker.ask("/t.js", "id=G-SHOP")
        known = {"HTTP_IF_NONE_MATCH": first.headers["ETag"]}
        assert worker.ask("/t.js", "id=G-SHOP", **known).status == 304
        off = ["outbound_clicks", "file_downloads", "video_engagement", "form_interactions"]
        write_properties(
            tmp_path, stream={"switched_off": [*off, "scrolls", "site_search", "page_views"]}
        )
        worker.worker.known.refresh()
        second = worker.ask("/t.js", "id=G-SHOP", **known)
        assert second.status == 200
        assert second.body.endswith(b'({"measure":"none","page-view":"load"})')


def test_who_cannot_be_asked_about_a_stream_leaves_browsers_what_they_have(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("key")
    place = f"http://127.0.0.1:9?key={tmp_path / 'key'}&copies="
    with worker_at(tmp_path, rules=place) as worker:
        fresh = worker.ask("/t.js", "id=G-ABCDE12345")
        assert (fresh.status, fresh.headers["Cache-Control"]) == (200, "public, max-age=10")
        held = worker.ask("/t.js", "id=G-ABCDE12345", HTTP_IF_NONE_MATCH='"of-before"')
        assert (held.status, held.headers["ETag"]) == (304, '"of-before"')


@pytest.mark.slow
@pytest.mark.skipif(not TERSER.exists(), reason="run deploy/servers/install_tracking_clients.sh")
def test_the_script_is_built_of_its_parts(tmp_path: Path) -> None:
    subprocess.run([ROOT / "scripts" / "build_tracker.sh", tmp_path / "t.js"], check=True)
    built = (tmp_path / "t.js").read_bytes()
    assert built == (ROOT / "collector" / "static" / "t.js").read_bytes()
