"""The merchant's page in Chromium."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.report_api.conftest import NASTY, Server, make_shop, write_cells

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1280,1000",
)  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium and driver here"),
]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = Chrome(options=options, service=ChromeService(executable_path=DRIVER))
    yield opened
    opened.quit()


def text(browser: Chrome, name: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, f'[data-testid="{name}"]').text


def shows(name: str, expected: str) -> Callable[[Chrome], bool]:
    return lambda browser: text(browser, name) == expected


def rows(browser: Chrome, table: str) -> list[list[str]]:
    found = browser.find_elements(By.CSS_SELECTOR, f'[data-testid="{table}"] tbody tr')
    return [[cell.text for cell in row.find_elements(By.TAG_NAME, "td")] for row in found]


def open_page(browser: Chrome, server: Server) -> None:
    key = server.shop.read_key
    browser.get(f"{server.url}/#property={server.shop.property_id}&key={key}")
    WebDriverWait(browser, 15).until(shows("today-sessions", "3"))


def test_the_page_shows_the_numbers_and_follows_them(browser: Chrome, server: Server) -> None:
    open_page(browser, server)
    assert "key" not in browser.current_url
    assert text(browser, "recent-users") == "2"
    assert text(browser, "recent-views") == "4"
    assert text(browser, "today-screenPageViews") == "12"
    assert text(browser, "today-engagementRate") == "66.7%"
    assert text(browser, "today-totalRevenue") == "€49.90"
    assert rows(browser, "pages") == [
        ["/", "9", "3"],
        [NASTY, "3", "1"],
    ]
    assert rows(browser, "sources")[0] == ["google / organic", "2", "1"]
    assert rows(browser, "events")[0] == ["page_view", "12", "3"]
    assert len(browser.find_elements(By.CSS_SELECTOR, ".chart canvas")) == 2

    write_cells(server.shop, "totals", [{"sessions": 1234, "views": 5, "users": {1}}])
    WebDriverWait(browser, 15).until(shows("today-sessions", "1,234"))

    browser.refresh()  # the key is kept in the tab
    WebDriverWait(browser, 15).until(shows("today-sessions", "1,234"))
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


def test_a_wrong_key_is_said_and_a_right_one_opens(browser: Chrome, server: Server) -> None:
    browser.get(server.url)
    form = browser.find_element(By.CSS_SELECTOR, '[data-testid="sign-in"]')
    WebDriverWait(browser, 15).until(lambda _: form.is_displayed())
    for key, test in (
        ("wrong", shows("problem", "This key does not open this property.")),
        (server.shop.read_key, shows("today-sessions", "3")),
    ):
        for name, value in (("property", str(server.shop.property_id)), ("key", key)):
            field = form.find_element(By.NAME, name)
            field.clear()
            field.send_keys(value)
        form.submit()
        WebDriverWait(browser, 15).until(test)


def test_a_property_without_hits_sees_the_snippet(browser: Chrome, server: Server) -> None:
    empty = make_shop(server.shop.data_dir, server.shop.now_us, "New")
    time.sleep(1.1)  # the server looks at the rules once a second
    browser.get(f"{server.url}/#property={empty.property_id}&key={empty.read_key}")
    expected = (
        '<script async src="https://collect.example/t.js"'
        f' data-measurement-id="{empty.measurement_id}"></script>'
    )
    WebDriverWait(browser, 15).until(shows("snippet", expected))


def test_the_page_fits_a_phone(browser: Chrome, server: Server) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    open_page(browser, server)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width == 360
