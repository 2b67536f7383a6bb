"""Peers: whose address a request came from, whom its forwarding headers may be believed."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

_COUNTRY_HEADERS: Final = (
    "HTTP_CF_IPCOUNTRY",
    "HTTP_CLOUDFRONT_VIEWER_COUNTRY",
    "HTTP_X_APPENGINE_COUNTRY",
    "HTTP_X_COUNTRY_CODE",
)


class TrustedProxies:
    """The proxies and balancers whose headers are believed; those of others are not looked at."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._networks = tuple(ip_network(network, strict=False) for network in networks)
        self.are_none = not networks
        self.trusts = lru_cache(maxsize=1_024)(self._trusts)

    def _trusts(self, address: str) -> bool:
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client_address(self, environ: Mapping[str, Any]) -> str:
        """The address behind the chain of trusted proxies: the last one that is not trusted.

        Only to be asked when the peer itself is trusted. What cannot be read ends the chain.
        """
        client = str(environ["REMOTE_ADDR"])
        for entry in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            parsed = _parsed(_without_port(entry.strip()))
            if parsed is None:
                break
            client = str(parsed)
            if not self.trusts(client):
                break
        return client


def network_of(address: str) -> str:
    """The /24 (IPv4) or /48 (IPv6) of an address; "" for what is none, such as a socket's name."""
    if ":" not in address and address.count(".") == 3:
        return address[: address.rindex(".")] + ".0/24"
    parsed = _parsed(address)
    if parsed is None:
        return ""
    prefix = 24 if parsed.version == 4 else 48
    return str(ip_network(f"{parsed}/{prefix}", strict=False))


def country_hint(environ: Mapping[str, Any]) -> str:
    """The ISO country that a trusted proxy found, "" if none."""
    for header in _COUNTRY_HEADERS:
        country = environ.get(header, "")
        if len(country) == 2 and country.isascii() and country.isalpha():
            return str(country.upper())
    return ""


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def _without_port(entry: str) -> str:
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    host, colon, _ = entry.partition(":")
    return host if colon and entry.count(":") == 1 else entry
