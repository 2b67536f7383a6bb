"""User agents: the browser, the operating system and the kind of device behind a hit."""

import re
from functools import lru_cache
from typing import Final

import polars as pl
from ua_parser import Domain
from ua_parser.loaders import load_lazy_builtins
from ua_parser.re2 import Resolver

from tallymark.distinct import with_looked_up
from tallymark.enrichment.client_hints import ClientHints

BROWSERS: Final = {
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "Safari (in-app)",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Android Webview",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Edge Mobile": "Edge",
    "Opera Mobile": "Opera",
    "IE": "Internet Explorer",
    "IE Mobile": "Internet Explorer",
    "Android": "Android Browser",
}
"""What GA4 calls a browser that the parser calls otherwise."""

OPERATING_SYSTEMS: Final = {
    "Mac OS X": "Macintosh",
    "Ubuntu": "Linux",
    "Fedora": "Linux",
    "Debian": "Linux",
}
"""What GA4 calls an operating system that the parser calls otherwise."""

NAMED_DEVICE: Final = "Tallymark-Device/1"
"""Product of the user agent of a hit whose device another system has found out."""
_FIELDS: Final = ("browser", "operating_system", "device_category")
_UNSAFE: Final = re.compile("[;\r\n]")
_NAMED: Final = re.compile(
    rf"{NAMED_DEVICE} browser=([^;]*); operating_system=([^;]*); device_category=([^;]*)"
)

DESKTOPS: Final = ("Windows", "Macintosh", "Linux", "Chrome OS", "FreeBSD", "OpenBSD", "NetBSD")
_BETWEEN: Final = "\n"  # in no header, and what parameters have behind it is of no interest
_MAX_CHARACTERS: Final = 1_000
_MAX_CACHED: Final = 50_000


def with_devices(hits: pl.DataFrame) -> pl.DataFrame:
    """``hits`` with ``browser``, ``operating_system`` and ``device_category``; "" = not known.

    Args:
        hits: Have ``user_agent`` and ``client_hints``, as ``ClientHints`` reads them.
    """
    # One text of both, so that each pair is looked up once.
    key = pl.concat_str("client_hints", pl.lit(_BETWEEN), "user_agent")
    return with_looked_up(hits.with_columns(device_key=key), "device_key", _devices).drop(
        "device_key"
    )


def named_device(browser: pl.Expr, operating_system: pl.Expr, device_category: pl.Expr) -> pl.Expr:
    """The user agent of a hit from elsewhere, of which not more is known than these three.

    It says that it is none of a browser, and ``with_devices`` reads the three from it.
    """
    fields = zip(_FIELDS, (browser, operating_system, device_category), strict=True)
    parts = [
        pl.concat_str(pl.lit(f"{name}="), text.fill_null("").str.replace_all(_UNSAFE.pattern, " "))
        for name, text in fields
    ]
    return pl.concat_str(pl.lit(NAMED_DEVICE), pl.concat_str(parts, separator="; "), separator=" ")


def named_device_text(browser: str, operating_system: str, device_category: str) -> str:
    """``named_device`` of one hit; "" where nothing is known."""
    fields = zip(_FIELDS, (browser, operating_system, device_category), strict=True)
    named = "; ".join(f"{name}={_UNSAFE.sub(' ', text)}" for name, text in fields)
    return f"{NAMED_DEVICE} {named}" if browser or operating_system or device_category else ""


def _devices(keys: pl.Series) -> pl.DataFrame:
    found = []
    for key in keys:
        hints, _, user_agent = key.partition(_BETWEEN)
        found.append(_device(hints[:_MAX_CHARACTERS], user_agent[:_MAX_CHARACTERS]))
    return pl.DataFrame(found, schema=dict.fromkeys(_FIELDS, pl.String), orient="row")


@lru_cache(maxsize=1)
def _parser() -> Resolver:
    return Resolver(load_lazy_builtins())


@lru_cache(maxsize=_MAX_CACHED)
def _device(client_hints: str, user_agent: str) -> tuple[str, str, str]:
    if not user_agent:
        return "", "", ""
    if named := _NAMED.match(user_agent):
        return named[1], named[2], named[3]
    hints = ClientHints.read(client_hints)
    found = _parser()(user_agent, Domain.USER_AGENT | Domain.OS)
    family = found.user_agent.family if found.user_agent else ""
    browser = BROWSERS.get(family, family)
    if hints.browser and browser in ("Chrome", "Chromium"):
        browser = hints.browser
    system = found.os.family if found.os else ""
    # A browser that asks for the pages of a desktop hides its system in the user agent alone.
    system = hints.operating_system or OPERATING_SYSTEMS.get(system, system)
    return browser, system, _category(user_agent, system, hints)


def _category(user_agent: str, system: str, hints: ClientHints) -> str:
    """Tablets are iPads, Kindles, what says so, and what has Android without being ``Mobile``;
    then what is ``Mobile`` or gives that hint is mobile, and the systems of desktops are desktop.
    Libraries, robots and whatever names no system are none of them."""
    if not system:
        return ""
    if hints.is_tablet:
        return "tablet"
    if any(name in user_agent for name in ("iPad", "Tablet", "Kindle", "PlayBook")):
        # Windows calls a touch screen a Tablet PC.
        return "desktop" if system == "Windows" else "tablet"
    is_mobile = "Mobi" in user_agent or bool(hints.is_mobile)
    if system == "Android":
        return "mobile" if is_mobile else "tablet"
    if is_mobile or system in ("iOS", "Windows Phone", "KaiOS", "BlackBerry OS", "Symbian OS"):
        return "mobile"
    return "desktop" if system in DESKTOPS else ""
