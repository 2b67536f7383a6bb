"""The documentation of the API in Chromium, under its own security policy."""

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from config_api.endpoints import CALLS
from tests.config_api.api import listening, running_api
from tests.e2e.chromium import chromium, needs_chromium

pytestmark = [pytest.mark.slow, pytest.mark.browser, needs_chromium]


def test_every_call_and_document_is_shown_and_linked(tmp_path: Path) -> None:
    with (
        running_api(tmp_path / "data") as api,
        listening(api.app) as url,
        chromium(tmp_path / "profile") as browser,
    ):
        browser.get(f"{url}/docs")
        WebDriverWait(browser, 15).until(
            lambda page: page.find_elements(By.CSS_SELECTOR, "#schemas section")
        )
        titles = [found.text for found in browser.find_elements(By.CSS_SELECTOR, "#calls h3")]
        targets = browser.execute_script(
            "return [...document.querySelectorAll('a[href^=\"#\"]')]"
            ".map((link) => document.getElementById(link.hash.slice(1)) !== null)"
        )
        browser.save_screenshot(str(tmp_path / "docs.png"))
        log = [line["message"] for line in browser.get_log("browser")]
    assert sorted(titles) == sorted(f"{call.method} {call.path}" for call in CALLS)
    assert len(targets) > len(CALLS)
    assert all(targets)
    assert [line for line in log if "favicon" not in line] == []
