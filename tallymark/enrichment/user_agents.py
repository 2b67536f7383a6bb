"""User agents: the browser, the operating system and the kind of device behind a hit."""

import re
from functools import lru_cache
from typing import Final

import polars as pl
from ua_parser import Domain
from ua_parser.loaders import load_lazy_builtins
from ua_parser.re2 import Resolver

from tallymark.distinct import with_looked_up

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
_NAMED: Final = re.compile(
    rf"{NAMED_DEVICE} browser=([^;]*); operating_system=([^;]*); device_category=([^;]*)"
)

DESKTOPS: Final = ("Windows", "Macintosh", "Linux", "Chrome OS", "FreeBSD", "OpenBSD", "NetBSD")
_MAX_CHARACTERS: Final = 1_000
_MAX_CACHED: Final = 50_000


def with_devices(hits: pl.DataFrame) -> pl.DataFrame:
    """``hits`` with ``browser``, ``operating_system`` and ``device_category``; "" = not known.

    Args:
        hits: Have ``user_agent`` and ``mobile_hint``.
    """
    # One text of both, so that each pair is looked up once.
    key = pl.concat_str(pl.col("mobile_hint").str.pad_end(1, " "), "user_agent")
    return with_looked_up(hits.with_columns(device_key=key), "device_key", _devices).drop(
        "device_key"
    )


def named_device(browser: pl.Expr, operating_system: pl.Expr, device_category: pl.Expr) -> pl.Expr:
    """The user agent of a hit from elsewhere, of which not more is known than these three.

    It says that it is none of a browser, and ``with_devices`` reads the three from it.
    """
    fields = zip(
        ("browser", "operating_system", "device_category"),
        (browser, operating_system, device_category),
        strict=True,
    )
    parts = [
        pl.concat_str(pl.lit(f"{name}="), text.fill_null("").str.replace_all("[;\r\n]", " "))
        for name, text in fields
    ]
    return pl.concat_str(pl.lit(NAMED_DEVICE), pl.concat_str(parts, separator="; "), separator=" ")


def _devices(keys: pl.Series) -> pl.DataFrame:
    found = [_device(key[0], key[1 : _MAX_CHARACTERS + 1]) for key in keys]
    names = ("browser", "operating_system", "device_category")
    return pl.DataFrame(found, schema=dict.fromkeys(names, pl.String), orient="row")


@lru_cache(maxsize=1)
def _parser() -> Resolver:
    return Resolver(load_lazy_builtins())


@lru_cache(maxsize=_MAX_CACHED)
def _device(mobile_hint: str, user_agent: str) -> tuple[str, str, str]:
    if not user_agent:
        return "", "", ""
    if named := _NAMED.match(user_agent):
        return named[1], named[2], named[3]
    found = _parser()(user_agent, Domain.USER_AGENT | Domain.OS)
    browser = found.user_agent.family if found.user_agent else ""
    system = found.os.family if found.os else ""
    system = OPERATING_SYSTEMS.get(system, system)
    return BROWSERS.get(browser, browser), system, _category(user_agent, system, mobile_hint)


def _category(user_agent: str, system: str, mobile_hint: str) -> str:
    """Tablets are iPads, Kindles, what says so, and what has Android without being ``Mobile``;
    then what is ``Mobile`` or gives that hint is mobile, and the systems of desktops are desktop.
    Libraries, robots and whatever names no system are none of them."""
    if not system:
        return ""
    if any(name in user_agent for name in ("iPad", "Tablet", "Kindle", "PlayBook")):
        # Windows calls a touch screen a Tablet PC.
        return "desktop" if system == "Windows" else "tablet"
    is_mobile = "Mobi" in user_agent or mobile_hint == "1"
    if system == "Android":
        return "mobile" if is_mobile else "tablet"
    if is_mobile or system in ("iOS", "Windows Phone", "KaiOS", "BlackBerry OS", "Symbian OS"):
        return "mobile"
    return "desktop" if system in DESKTOPS else ""
