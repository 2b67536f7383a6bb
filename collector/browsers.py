"""Browsers: what a browser says of itself with every hit, turned into columns once.

Hits come in bursts over one connection, so the columns are kept as JSON text under a hash of what
they were made of. The address itself is not kept, neither on disk nor in memory.
"""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Final

import orjson

from collector.header_text import header_text
from collector.peers import network_of
from collector.visitors import DAY_US, VisitorHashes

CLIENT_HINTS: Final = (
    "Sec-CH-UA",
    "Sec-CH-UA-Arch",
    "Sec-CH-UA-Bitness",
    "Sec-CH-UA-Form-Factors",
    "Sec-CH-UA-Full-Version",
    "Sec-CH-UA-Full-Version-List",
    "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Model",
    "Sec-CH-UA-Platform",
    "Sec-CH-UA-Platform-Version",
    "Sec-CH-UA-WoW64",
)
_HINT_KEYS: Final = tuple("HTTP_" + name.upper().replace("-", "_") for name in CLIENT_HINTS)
_TEXT_KEYS: Final = ("HTTP_USER_AGENT", "HTTP_HOST", "HTTP_ACCEPT_LANGUAGE", "HTTP_ORIGIN")
HEADER_KEYS: Final = (*_TEXT_KEYS, "HTTP_DNT", "HTTP_SEC_GPC", *_HINT_KEYS)
_USUAL_HINT_KEYS: Final = ("HTTP_SEC_CH_UA", "HTTP_SEC_CH_UA_MOBILE", "HTTP_SEC_CH_UA_PLATFORM")
_Said = tuple[str | None, ...]
_USUAL: Final[tuple[tuple[Callable[[dict[str, Any]], _Said], frozenset[str]], ...]] = tuple(
    (itemgetter(*keys), frozenset(HEADER_KEYS).difference(keys))
    for keys in (_TEXT_KEYS, (*_TEXT_KEYS, *_USUAL_HINT_KEYS))
)
"""What browsers without and with client hints send, and the headers that few send."""
_MOST: Final = 8_192


class Browsers:
    """The columns of browsers, for the day that ``clock`` (UTC µs) is in."""

    def __init__(self, visitors: VisitorHashes, clock: Callable[[], int]) -> None:
        self._visitors = visitors
        self._clock = clock
        self._day = -1
        self._columns: dict[int, bytes] = {}

    def columns(self, environ: dict[str, Any], address: str, country: str) -> bytes:
        """The middle of a JSON object, with a comma behind it: what tells of the browser.

        Raises:
            OSError: when the salt of the day can be neither read nor drawn.
        """
        key = hash((address, country, _said(environ)))
        known = self._columns.get(key)
        if known is None:
            known = self._columns[key] = self._new_columns(environ, address, country)
        return known

    def tidy(self) -> None:
        """Forget all when a day begins, since visitors get new hashes, or when they are many."""
        day = self._clock() // DAY_US
        if day != self._day or len(self._columns) > _MOST:
            self._columns = {}
            self._day = day

    def _new_columns(self, environ: Mapping[str, Any], address: str, country: str) -> bytes:
        user_agent, host, language, origin = (
            header_text(environ.get(key, "")) for key in HEADER_KEYS[:4]
        )
        hints = {
            name: header_text(environ[key])
            for name, key in zip(CLIENT_HINTS, _HINT_KEYS, strict=True)
            if key in environ
        }
        columns = {
            "user_agent": user_agent,
            "accept_language": language,
            "origin": origin,
            "client_hints": orjson.dumps(hints).decode() if hints else "",
            "ip_network": network_of(address),
            "visitor_hash": self._visitors.of(address, user_agent, host, self._clock()),
            "do_not_track": environ.get("HTTP_DNT") == "1",
            "global_privacy_control": environ.get("HTTP_SEC_GPC") == "1",
            "country_hint": country,
        }
        return orjson.dumps(columns)[1:-1] + b","


def _said(environ: dict[str, Any]) -> _Said:
    """All that the columns are made of: in short where a browser sends what most of them send."""
    usual, rare = _USUAL["HTTP_SEC_CH_UA" in environ]
    if environ.keys().isdisjoint(rare):
        try:
            return usual(environ)
        except KeyError:
            pass  # it sends less than most
    return tuple(map(environ.get, HEADER_KEYS))
