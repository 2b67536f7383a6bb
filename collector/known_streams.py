"""Known streams: the little that a worker has to know of a data stream, as its property's row in
the document of properties (``stores.rules_cache.documents``) says it.

Workers decode no rules: that takes Polars and Pydantic, and they are to stay small.
"""

import hashlib
import hmac
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import orjson

from stores.rules_cache.problems import InvalidPropertyError
from tallymark.problems import Problem

_MEASURES: Final = {
    "scrolls": "scroll",
    "outbound_clicks": "click",
    "file_downloads": "download",
    "site_search": "search",
    "video_engagement": "video",
    "form_interactions": "form",
}
"""Switches of a stream, and what the tracker calls that which they are of."""


class KnownStream:
    """What is known of one data stream.

    Attributes:
        hosts: Pages that its hits are expected of; none means any.
        tracker_settings: The JSON object of what the tracker's tag would say of the stream; ""
            where that is nothing.
        used_at: Number of the time at which a hit named it last; see ``StreamMemory.time``.
    """

    __slots__ = ("_secrets", "hosts", "tracker_settings", "used_at")

    def __init__(self, row: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
        own = row.get("allowed_hosts") or rules.get("allowed_hosts", ())
        self.hosts = tuple(str(host) for host in own)
        self.tracker_settings = _tracker_settings(
            row.get("switched_off", ()), rules.get("cross_domain_hosts", ())
        )
        self._secrets = tuple((str(key["hash"]), key["expires_at"]) for key in row["api_secrets"])
        self.used_at = 0

    def allows_page_of(self, origin: str, referer: str) -> bool:
        """Whether hits are expected of the page that a browser names.

        The answer is a hint: what counts is the page that the hit itself names.
        """
        host = (_host_of(origin) or _host_of(referer)) if self.hosts else ""
        return (
            not host or host in self.hosts or host.endswith(tuple("." + one for one in self.hosts))
        )

    def accepts_secret(self, digest: str, now_us: int) -> bool:
        """Whether the hash is that of a secret in force (constant time)."""
        found = [
            hmac.compare_digest(digest, each) and (until is None or now_us < until)
            for each, until in self._secrets
        ]
        return any(found)


class KnownOwner(NamedTuple):
    """A property: its data streams by measurement id."""

    property_id: int
    measurement_ids: tuple[str, ...]
    streams: tuple[KnownStream, ...]


def streams_of(row: Mapping[str, Any]) -> dict[str, KnownStream]:
    """The data streams of a property's row, by measurement id. Its newest rules are gone by,
    whether they are in force yet or not.

    Raises:
        LookupError, TypeError, AttributeError: when it is no such row.
    """
    rules = (row.get("versions") or [{}])[-1]
    return {
        str(stream["measurement_id"]): KnownStream(stream, rules) for stream in row["data_streams"]
    }


def read_owner(document: bytes) -> KnownOwner:
    """The only property of a document.

    Raises:
        InvalidPropertyError: when it cannot be read.
    """
    try:
        [row] = orjson.loads(document)["properties"]
        streams = streams_of(row)
        return KnownOwner(int(row["property_id"]), tuple(streams), tuple(streams.values()))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        problem = Problem(where="property", got=repr(error), allowed="a property and its streams")
        raise InvalidPropertyError([problem]) from error


def _tracker_settings(switched_off: Any, linked_hosts: Any) -> str:
    told: dict[str, str] = {}
    if not set(switched_off).isdisjoint(_MEASURES):
        measured = [said for name, said in _MEASURES.items() if name not in switched_off]
        told["measure"] = " ".join(measured) or "none"
    if "page_views" in switched_off:
        told["page-view"] = "load"
    if linked_hosts:
        told["domains"] = " ".join(map(str, linked_hosts))
    # Interned, as most streams say one of a few things.
    return sys.intern(orjson.dumps(told).decode()) if told else ""


def _host_of(address: str) -> str:
    """The host of a URL in lower case, "" where there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def digest_of(secret: str) -> str:
    """The hash by which a secret is known."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
