"""Client hints: what a browser says of itself beside a user agent that says little.

GA4's tag sends them as parameters, browsers as headers. Both come here as one text: the values of
``uamb``, ``uap``, ``uam`` and ``uafvl`` with bars between, or the headers as a JSON object.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import orjson

PARAMETERS: Final = ("uamb", "uap", "uam", "uafvl")
"""Mobile (1 or 0), platform, model, and brands, which have bars between them and so come last."""

BRANDS: Final = {
    "Microsoft Edge": "Edge",
    "Opera": "Opera",
    "Opera GX": "Opera",
    "Samsung Internet": "Samsung Internet",
    "Brave": "Brave",
    "Vivaldi": "Vivaldi",
    "YaBrowser": "YaBrowser",
    "Yandex": "YaBrowser",
    "DuckDuckGo": "DuckDuckGo",
    "Whale": "Whale",
    "Android WebView": "Android Webview",
    "HeadlessChrome": "HeadlessChrome",
}
"""What brands of browsers built on Chromium are called in reports. Made-up brands, which are there
lest anybody relies on the list, are in no table."""
PLATFORMS: Final = {
    "windows": "Windows",
    "macos": "Macintosh",
    "mac os x": "Macintosh",
    "linux": "Linux",
    "android": "Android",
    "ios": "iOS",
    "chrome os": "Chrome OS",
    "chromium os": "Chrome OS",
    "chromeos": "Chrome OS",
}
_NAMED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_TABLET_FORMS: Final = ("Tablet",)


@dataclass(frozen=True)
class ClientHints:
    """What hints say, in the names that reports use; "" and ``None`` where they do not.

    Attributes:
        is_mobile: Whether the browser calls itself mobile.
        operating_system: One of ``PLATFORMS``.
        model: Of the device.
        browser: One of ``BRANDS``.
        is_tablet: Whether the browser says so.
    """

    is_mobile: bool | None = None
    operating_system: str = ""
    model: str = ""
    browser: str = ""
    is_tablet: bool = False

    @classmethod
    def read(cls, text: str) -> "ClientHints":
        """Of either form; what cannot be read says nothing."""
        if not text:
            return cls()
        return _of_headers(text) if text.startswith("{") else _of_parameters(text)


def _of_parameters(text: str) -> ClientHints:
    mobile, platform, model, brands = (text.split("|", 3) + [""] * 4)[:4]
    names = [unquote(part.split(";", 1)[0]) for part in brands.split("|")]
    return ClientHints(_flag(mobile), _platform(platform), model, _brand(names))


def _of_headers(text: str) -> ClientHints:
    try:
        headers = {name: str(value) for name, value in orjson.loads(text).items()}
    except (orjson.JSONDecodeError, AttributeError):
        return ClientHints()
    listed = headers.get("Sec-CH-UA-Full-Version-List") or headers.get("Sec-CH-UA", "")
    forms = _NAMED.findall(headers.get("Sec-CH-UA-Form-Factors", ""))
    return ClientHints(
        is_mobile=_flag(headers.get("Sec-CH-UA-Mobile", "").lstrip("?")),
        operating_system=_platform(headers.get("Sec-CH-UA-Platform", "").strip('"')),
        model=headers.get("Sec-CH-UA-Model", "").strip('"'),
        browser=_brand(_NAMED.findall(listed)),
        is_tablet=any(form in forms for form in _TABLET_FORMS),
    )


def _flag(text: str) -> bool | None:
    return {"1": True, "0": False}.get(text)


def _platform(text: str) -> str:
    return PLATFORMS.get(text.lower(), "")


def _brand(names: list[str]) -> str:
    return next((BRANDS[name] for name in names if name in BRANDS), "")
