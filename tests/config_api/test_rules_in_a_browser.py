"""The page of rules in Chromium: what an owner does with it, and what must stay text."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from selenium.webdriver.common.by import By

from tests.config_api.api import Api, listening, running_api
from tests.config_api.rules_page import RulesPage
from tests.e2e.chromium import chromium, needs_chromium

pytestmark = [pytest.mark.slow, pytest.mark.browser, needs_chromium]

HOSTILE = "<img src=x onerror=\"document.title='broken'\">"
FILTERED = {"filters": [{"name": "own", "when": {"field": "host", "ends_with": ".test"}}]}


@dataclass
class Page(RulesPage):
    """The page of a service of this process, opened with an owner's key."""

    api: Api
    owner: str


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("rules")
    with (
        running_api(folder / "data") as api,
        listening(api.app) as url,
        chromium(folder / "profile") as browser,
    ):
        owner = api.property(api.account(), HOSTILE)
        opened = Page(browser, api, owner)
        opened.open(url, api.owner)
        yield opened
        browser.save_screenshot(str(folder / "rules.png"))
        log = [line["message"] for line in browser.get_log("browser")]
        # The browser logs answers that refuse; nothing else is to be in its log.
        assert [line for line in log if "Failed to load resource" not in line] == []


@pytest.fixture(autouse=True)
def as_it_was(page: Page) -> None:
    page.browser.refresh()
    page.waits_for("in force", "version")


def rules_of(page: Page) -> dict[str, object]:
    document: dict[str, object] = page.api.ask("GET", f"/v1/{page.owner}/rules").json["document"]
    return document


def test_rules_are_edited_saved_compared_and_taken_back(page: Page) -> None:
    before = rules_of(page)
    page.saves(FILTERED)
    assert rules_of(page)["filters"] == [FILTERED["filters"][0] | {"state": "active"}]

    page.click("Compare")
    page.waits_for("filters[0]", "differences")
    page.click("Take back to")
    page.waits_for("is saved and takes effect at")

    assert rules_of(page) == before


def test_all_problems_are_told_and_nothing_is_saved(page: Page) -> None:
    before = rules_of(page)
    page.write({"currency": "x", "filters": [{"name": "a", "when": {}}]})
    page.click("Check")
    page.waits_for("It cannot be saved as it is.")
    assert page.text("problems").count("allowed:") == 2
    page.click("Save")
    page.waits_for("The request is wrong.")
    assert page.text("problems").count("allowed:") == 2
    page.write("{")
    page.click("Save")
    page.waits_for("This is no JSON")
    assert rules_of(page) == before


def test_a_draft_is_tried_before_it_is_saved(page: Page) -> None:
    before = rules_of(page)
    page.write(FILTERED)
    page.click("Preview")
    page.waits_for("What reports would have shown", "previewed")
    assert "filters[0] own 0" in page.text("previewed")
    assert rules_of(page) == before


def test_what_somebody_saved_meanwhile_is_shown_and_not_lost(page: Page) -> None:
    answer = page.api.ask("PUT", f"/v1/{page.owner}/rules", {"document": {"currency": "CHF"}})
    assert answer.status_code == 200
    page.write(FILTERED)
    page.click("Save")
    page.waits_for("Somebody saved meanwhile", "differences")
    assert '"CHF"' in page.text("differences")
    assert rules_of(page)["currency"] == "CHF"


def test_names_and_comments_stay_text(page: Page) -> None:
    page.browser.find_element(By.ID, "comment").send_keys(HOSTILE)
    page.saves(FILTERED)
    assert HOSTILE in page.text("versions")
    assert HOSTILE in page.text("property")
    assert page.browser.title == "Rules · Tallymark"
    assert page.browser.find_elements(By.CSS_SELECTOR, "img") == []


def test_what_is_inherited_is_told_apart_and_not_sent_back(page: Page) -> None:
    account = page.api.ask("GET", f"/v1/{page.owner}").json["parent"]
    page.api.ask("PATCH", f"/v1/{account}", {"default_rules": {"time_zone": "Asia/Tokyo"}})
    page.browser.refresh()
    page.waits_for("Asia/Tokyo", "inherited-parts")
    page.saves({"currency": "SEK"})
    told = page.api.ask("GET", f"/v1/{page.owner}/rules").json
    assert told["said"] == {"currency": "SEK"}
    assert told["document"]["time_zone"] == "Asia/Tokyo"


def test_past_hours_are_asked_to_be_counted_again(page: Page) -> None:
    for element, text in (("from", "2026-01-31T08:00"), ("to", "2026-01-31T12:00")):
        page.browser.execute_script(
            "document.getElementById(arguments[0]).value = arguments[1]", element, text
        )
    page.click("Count it again by the newest version")
    page.waits_for("The replay is asked for.")
    page.waits_for("waiting", "replays")
    [asked] = page.api.ask("GET", f"/v1/{page.owner}/replays").json["replays"]
    assert asked["to"] - asked["from"] == 4 * 3_600_000_000
