"""User agents: browser, operating system, kind of device."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.enrichment.user_agents import with_devices

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4"
LINUX = f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36"
CASES = [
    (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36", "",
     ("desktop", "Chrome", "Windows")),
    (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/142.0 Safari/537.36 Edg/142.0",
     "0|||", ("desktop", "Edge", "Windows")),
    ("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; Tablet PC 2.0; rv:11.0) like Gecko", "",
     ("desktop", "Internet Explorer", "Windows")),
    (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {SAFARI} Safari/605.1.15", "",
     ("desktop", "Safari", "Macintosh")),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "",
     ("desktop", "Firefox", "Linux")),
    ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "",
     ("desktop", "Firefox", "Linux")),
    (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/142.0.0.0 Safari/537.36", "",
     ("desktop", "Chrome", "Chrome OS")),
    (f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {SAFARI} Mobile/15E148 Safari/604.1",
     "", ("mobile", "Safari", "iOS")),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
     "Gecko) CriOS/142.0.0.0 Mobile/15E148 Safari/604.1", "", ("mobile", "Chrome", "iOS")),
    (f"Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) {SAFARI} Mobile/15E148 Safari/604.1", "",
     ("tablet", "Safari", "iOS")),
    (f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/142.0.0.0 Mobile Safari/537.36", "1|||",
     ("mobile", "Chrome", "Android")),
    (f"Mozilla/5.0 (Linux; Android 13; SM-X900) {WEBKIT} Chrome/142.0.0.0 Safari/537.36", "0|||",
     ("tablet", "Chrome", "Android")),
    (f"Mozilla/5.0 (Linux; Android 14; SM-S921B) {WEBKIT} SamsungBrowser/28.0 Chrome/130.0.0.0 "
     "Mobile Safari/537.36", "", ("mobile", "Samsung Internet", "Android")),
    ("Mozilla/5.0 (Android 14; Mobile; rv:125.0) Gecko/125.0 Firefox/125.0", "",
     ("mobile", "Firefox", "Android")),
    ("Mozilla/5.0 (Android 14; Tablet; rv:125.0) Gecko/125.0 Firefox/125.0", "",
     ("tablet", "Firefox", "Android")),
    (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36", "1|||",
     ("mobile", "Chrome", "Linux")),
    # What a reduced user agent does not say, by parameters and by headers.
    (LINUX, "0|Android|SM-X900|Chromium;142|Google%20Chrome;142", ("tablet", "Chrome", "Android")),
    (LINUX, "1|Android|SM-S921B|Chromium;142", ("mobile", "Chrome", "Android")),
    (LINUX, "0|Chrome OS||Not%3AA-Brand;8|Chromium;142", ("desktop", "Chrome", "Chrome OS")),
    (LINUX, "0|Linux||Brave;142.0.1|Not_A%20Brand;99|Chromium;142.0.1",
     ("desktop", "Brave", "Linux")),
    (LINUX, '{"Sec-CH-UA":"\\"Chromium\\";v=\\"142\\", \\"Brave\\";v=\\"142\\"",'
     '"Sec-CH-UA-Mobile":"?0","Sec-CH-UA-Platform":"\\"macOS\\""}',
     ("desktop", "Brave", "Macintosh")),
    (LINUX, '{"Sec-CH-UA-Full-Version-List":"\\"Opera\\";v=\\"100.1\\"",'
     '"Sec-CH-UA-Platform":"\\"Android\\"","Sec-CH-UA-Form-Factors":"\\"Tablet\\""}',
     ("tablet", "Opera", "Android")),
    (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/142.0 Safari/537.36 Edg/142.0",
     "0|Windows||Microsoft%20Edge;142|Chromium;142", ("desktop", "Edge", "Windows")),
    (LINUX, "0|Plan 9||Made%20Up;1", ("desktop", "Chrome", "Linux")),
    (LINUX, "{no json", ("desktop", "Chrome", "Linux")),
    (LINUX, "[1]", ("desktop", "Chrome", "Linux")),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "",
     ("", "Googlebot", "")),
    ("curl/8.5.0", "", ("", "curl", "")),
    ("gibberish", "", ("", "", "")),
    ("", "1|||", ("", "", "")),
]  # fmt: skip


def devices(cases: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    schema = dict.fromkeys(("user_agent", "client_hints"), pl.String)
    found = with_devices(pl.DataFrame(cases, schema=schema, orient="row"))
    return found.select("device_category", "browser", "operating_system").rows()


@pytest.mark.parametrize(("user_agent", "hint", "expected"), CASES)
def test_a_user_agent_is_a_device(
    user_agent: str, hint: str, expected: tuple[str, str, str]
) -> None:
    assert devices([(user_agent, hint)]) == [expected]


def test_devices_are_in_the_order_of_their_hits() -> None:
    cases = [*CASES, *reversed(CASES)]

    found = devices([(user_agent, hint) for user_agent, hint, _ in cases])

    assert found == [expected for *_, expected in cases]


@given(
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.text(st.sampled_from('{}"|;,=?01%Sec-CHUAndroid'), max_size=60),
)
def test_any_text_is_a_device_of_some_kind(user_agent: str, hint: str) -> None:
    assert devices([(user_agent, hint)])[0][0] in ("", "desktop", "mobile", "tablet")
