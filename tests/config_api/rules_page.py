"""The page of rules in Chromium, as whoever works with it sees it."""

import json
from dataclasses import dataclass

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait


@dataclass
class RulesPage:
    """The page, opened with a key."""

    browser: webdriver.Chrome

    def open(self, url: str, key: str) -> None:
        """Go there and show the first property that the key sees."""
        self.browser.get(url)
        self.browser.find_element(By.ID, "key").send_keys(key)
        self.click("Open")
        self.waits_for("in force", "version")

    def choose(self, property_name: str) -> None:
        """Show the rules of another property, such as ``properties/12``."""
        self._waits_for_rest()
        Select(self.browser.find_element(By.ID, "property")).select_by_value(property_name)
        self._waits_for_rest()

    def click(self, text: str) -> None:
        self._waits_for_rest()
        self.browser.find_element(By.XPATH, f"//button[normalize-space()='{text}']").click()

    def write(self, document: object) -> None:
        text = document if isinstance(document, str) else json.dumps(document)
        self.browser.execute_script(
            "document.getElementById('document').value = arguments[0]", text
        )

    def text(self, element: str) -> str:
        return self.browser.find_element(By.ID, element).text

    def waits_for(self, text: str, element: str = "said") -> None:
        WebDriverWait(self.browser, 15).until(
            lambda _: text in self.text(element),
            f"{text!r} in #{element}",
        )

    def saves(self, document: object) -> None:
        self.write(document)
        self.click("Save")
        self.waits_for("is saved and takes effect at")

    def _waits_for_rest(self) -> None:
        WebDriverWait(self.browser, 15).until(
            lambda browser: (
                not browser.execute_script("return document.getElementById('workplace').inert")
            ),
            "a page that does nothing",
        )
