"""Hits of crawlers are tagged, those of people, servers and libraries are not."""

import json
from importlib import resources
from typing import Any

import polars as pl
import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from cli.simulator.tables import DEVICES
from tallymark.enrichment import with_bots, with_devices
from tallymark.enrichment.bots import NO_CRAWLERS

GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
    "Safari/537.36"
)


def _tags(user_agents: list[str], excluded_by: str = "") -> list[str]:
    hits = pl.DataFrame({"user_agent": user_agents}, schema={"user_agent": pl.String}).with_columns(
        excluded_by=pl.lit(excluded_by), place=pl.int_range(pl.len())
    )
    tagged = with_bots(hits)
    assert tagged.columns == hits.columns
    assert tagged.get_column("place").equals(hits.get_column("place"))
    return tagged.get_column("excluded_by").to_list()


@pytest.mark.parametrize(
    ("user_agent", "tag"),
    [
        (GOOGLEBOT, "bot"),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "bot"),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "bot"),
        (f"{CHROME} (compatible; GPTBot/1.2; +https://openai.com/gptbot)", "bot"),
        ("", ""),
        (CHROME, ""),
        (CHROME.replace("Chrome", "HeadlessChrome"), ""),
        ("curl/8.5.0", ""),
        ("python-requests/2.32", ""),
        ("okhttp/4.12.0", ""),
        ("\x00�" * 100, ""),
    ],
)
def test_a_hit_is_tagged_by_what_its_user_agent_says_it_is(user_agent: str, tag: str) -> None:
    assert _tags([user_agent]) == [tag]


def browsers() -> list[dict[str, Any]]:
    """User agents that people's browsers really sent, and what they are."""
    lines = resources.files("fake_useragent.data").joinpath("browsers.jsonl").read_text()
    return [json.loads(line) for line in lines.splitlines()]


def test_nobody_with_a_browser_is_taken_for_a_crawler() -> None:
    user_agents = [browser["useragent"] for browser in browsers()]

    assert len(user_agents) > 5_000
    assert set(_tags(user_agents)) == {""}


def test_browsers_are_of_the_kind_of_device_that_they_are_known_to_be() -> None:
    known = browsers()
    frame = pl.DataFrame({"user_agent": [browser["useragent"] for browser in known]}).with_columns(
        client_hints=pl.lit("")
    )
    found = with_devices(frame).get_column("device_category")

    assert (found != pl.Series([browser["type"] for browser in known])).sum() <= 1


def test_every_user_agent_that_the_list_gives_as_an_example_of_a_crawler_is_tagged() -> None:
    crawlers = [entry for entry in CRAWLER_USER_AGENTS_DATA if set(entry["tags"]) - NO_CRAWLERS]
    examples = [text for entry in crawlers for text in entry["instances"]]

    assert len(examples) > 1_500
    assert set(_tags(examples)) == {"bot"}


def test_nobody_of_the_simulation_is_a_bot() -> None:
    assert set(_tags([device.user_agent for device, _ in DEVICES])) == {""}


def test_a_hit_that_is_tagged_already_keeps_its_tag() -> None:
    assert _tags([GOOGLEBOT, CHROME], "too_old") == ["too_old", "too_old"]


def test_hits_keep_their_order_and_none_of_none_is_no_error() -> None:
    assert _tags([CHROME, GOOGLEBOT, CHROME, GOOGLEBOT]) == ["", "bot", "", "bot"]
    assert _tags([]) == []
