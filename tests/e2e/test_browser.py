"""A real page in a real browser, from the tracker's script to the numbers that a merchant sees."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from .chromium import chromium, needs_chromium
from .pages import served
from .reports import ask
from .stack import Site, Stack, eventually, running

DEMO_MOVES_SECONDS = 15.0
MOVING_NUMBERS = ("recent-events", "recent-views", "today-screenPageViews")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(300),
    needs_chromium,
]

AGAIN = """
    // Send once more all that this page has sent, as if no answer had come, some time later.
    const [ageMs, done] = arguments;
    const isHit = entry => entry.name.includes('/g/collect') && entry.name.includes('_tk=');
    Promise.all(performance.getEntriesByType('resource').filter(isHit).map(entry =>
        fetch(entry.name.replace(/_ta=.*/, '_ta=' + ageMs), {method: 'POST'}))).then(done)"""

PAGE = """<!doctype html><title>Page of a shop</title>
<script async src="{collector}/t.js" data-measurement-id="{measurement_id}"></script>
<h1>Shoes</h1>"""


@pytest.fixture(name="browser")
def _browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path / "profile") as browser:
        yield browser


@pytest.fixture(name="shop")
def _shop(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder of pages and the address of the server that serves them."""
    with served(tmp_path / "shop") as shop:
        yield shop


def test_views_and_events_of_a_real_page_arrive_in_the_reports(
    tmp_path: Path, browser: webdriver.Chrome, shop: tuple[Path, str]
) -> None:
    folder, address = shop
    with running(tmp_path / "stack", "--flush-seconds=1") as stack:
        site = stack.create_property("Real shop")
        page = PAGE.format(collector=stack.collector_url, measurement_id=site.measurement_id)
        (folder / "shoes.html").write_text(page)

        browser.get(f"{address}/shoes.html?utm_source=letter&utm_medium=email&utm_campaign=spring")
        _wait_for_tracker(browser)
        browser.execute_script("history.pushState({}, '', '/shoes/red')")
        browser.execute_script("tallymark('event', 'add_to_wishlist', {colour: 'red'})")
        browser.execute_script(
            "tallymark('event', 'purchase', {value: 12.5, currency: 'USD', transaction_id: 'T1'})"
        )
        _arrives(stack, site, ("pagePath",), ("screenPageViews",), {
            ("/shoes.html",): (1,), ("/shoes/red",): (1,)})  # fmt: skip
        by_name = ask(stack, site, ("eventName",), ("eventCount", "purchaseRevenue"))
        assert by_name["page_view",] == (2, 0)
        assert by_name["add_to_wishlist",] == (1, 0)
        assert by_name["purchase",] == (1, 12.5)
        by_source = ask(stack, site, ("sessionSource", "sessionMedium"), ("sessions", "newUsers"))
        assert by_source == {("letter", "email"): (1, 1)}
        by_browser = ask(stack, site, ("browser", "deviceCategory"), ("totalUsers",))
        assert by_browser == {("HeadlessChrome", "desktop"): (1,)}
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [entry for entry in severe if "favicon" not in entry["message"]] == []


def test_a_visit_over_two_domains_with_hits_sent_again_is_reported_as_it_went(
    tmp_path: Path, browser: webdriver.Chrome, shop: tuple[Path, str]
) -> None:
    folder, address = shop
    paying = address.replace("127.0.0.1", "localhost")
    with running(tmp_path / "stack", "--flush-seconds=1") as stack:
        site = stack.create_property("Shop of two domains")
        tag = f"""<!doctype html><title>Shop</title><script src="{stack.collector_url}/t.js"
            data-measurement-id="{site.measurement_id}" data-domains="localhost 127.0.0.1">
            </script>"""
        (folder / "shoes.html").write_text(f'{tag}<a id=pay href="{paying}/pay.html">Pay</a>')
        (folder / "pay.html").write_text(tag)

        browser.get(f"{address}/shoes.html?utm_source=letter&utm_medium=email")
        _wait_for_tracker(browser)
        browser.execute_script("history.pushState({}, '', '/shoes/red')")
        browser.find_element(By.ID, "pay").click()
        _wait_for_tracker(browser)
        browser.execute_script(
            "tallymark('event', 'purchase', {value: 12.5, currency: 'USD', transaction_id: 'T1'})"
        )
        browser.execute_async_script(AGAIN, 2_500)
        browser.execute_async_script(AGAIN, 5_000)
        browser.back()
        _arrives(stack, site, ("pagePath",), ("screenPageViews",), {
            ("/shoes.html",): (1,), ("/shoes/red",): (2,), ("/pay.html",): (1,)})  # fmt: skip
        _arrives(stack, site, ("sessionSource", "sessionMedium"),
                 ("sessions", "newUsers", "totalUsers", "purchaseRevenue", "screenPageViews"),
                 {("letter", "email"): (1, 1, 1, 12.5, 4)})  # fmt: skip
        by_name = ask(stack, site, ("eventName",), ("eventCount",))
        assert by_name["purchase",] == (1,)


def test_the_demo_shows_moving_numbers_soon_after_it_is_ready(
    tmp_path: Path, browser: webdriver.Chrome
) -> None:
    with running(tmp_path / "stack", "--demo") as stack:
        demo = json.loads((stack.data / "demo.json").read_text())
        key = f"property={demo['property_id']}&key={demo['read_key']}"
        browser.get(f"{stack.report_url}/#{key}")
        first: dict[str, int] = {}

        def all_moved() -> bool:
            now = {name: _shown_number(browser, name) for name in MOVING_NUMBERS}
            for name, number in now.items():
                if number:
                    first.setdefault(name, number)
            return all(number > first.get(name, number) for name, number in now.items())

        seconds = eventually(
            all_moved, within_seconds=DEMO_MOVES_SECONDS, what="moving numbers on the page"
        )
        browser.save_screenshot(str(tmp_path / "demo.png"))
        print(f"numbers moved after {seconds:.1f} s; see {tmp_path / 'demo.png'}")  # noqa: T201


def _wait_for_tracker(browser: webdriver.Chrome) -> None:
    eventually(
        lambda: bool(browser.execute_script("return typeof tallymark === 'function'")),
        within_seconds=10,
        what="the tracker's script",
    )


def _arrives(
    stack: Stack, site: Site, dimensions: tuple[str, ...], metrics: tuple[str, ...],
    expected: dict[tuple[str, ...], tuple[float, ...]],
) -> None:  # fmt: skip
    eventually(
        lambda: ask(stack, site, dimensions, metrics) == expected,
        within_seconds=30,
        what=f"{expected} by {dimensions}",
    )


def _shown_number(browser: webdriver.Chrome, test_id: str) -> int:
    found = browser.find_elements(By.CSS_SELECTOR, f"[data-testid='{test_id}']")
    digits = "".join(char for element in found[:1] for char in element.text if char.isdigit())
    return int(digits or 0)
