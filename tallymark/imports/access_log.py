"""Access logs in the combined format of Apache and nginx: a line of a page is a page view.

A client is whoever has the same network and user agent, as a hash under a salt of the import;
addresses and the names of logged-in users are left behind.
"""

import re
from hashlib import blake2b
from ipaddress import IPv6Address, ip_network
from typing import Final

import polars as pl

from tallymark.distinct import mapped
from tallymark.imports.conversion import (
    MAX_RECORD_CHARACTERS,
    Converted,
    is_out_of_range,
    sorted_out,
    web_hits,
)
from tallymark.protocols.percent import percent_encoded

EXPECTED: Final = (
    'ADDRESS - USER [17/May/2015:10:05:03 +0000] "GET /page HTTP/1.1" 200 512 "REFERRER" "AGENT"'
)
"""A line of the combined format."""

ASSETS: Final = (
    "css", "js", "mjs", "map", "json", "xml", "rss", "atom", "txt", "csv", "ico", "png", "jpg",
    "jpeg", "gif", "svg", "webp", "avif", "bmp", "tif", "tiff", "woff", "woff2", "ttf", "otf",
    "eot", "mp3", "mp4", "ogg", "wav", "webm", "avi", "mov", "mpg", "mpeg", "flv", "swf", "pdf",
    "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "zip", "gz", "tgz", "bz2", "xz", "tar",
    "rar", "7z", "jar", "war", "exe", "msi", "dmg", "iso", "apk", "deb", "rpm", "bin", "class",
    "torrent", "wasm", "webmanifest", "xsl", "log", "conf", "sh", "py", "c", "h", "tex", "spec",
    "pyc", "rb", "lua", "java", "cpp", "diff", "patch", "gem", "pcap",
)  # fmt: skip
"""Ends of the names of files that are no pages."""

_TEXT: Final = r'(?:[^"\\]|\\.)*'  # between quotes; a quote in it is escaped
_COMBINED: Final = (
    rf'^(?P<address>\S+) \S+ .*?\[(?P<time>[^\]\[]+)\] "(?P<request>{_TEXT})" '
    rf'(?P<status>[0-9]{{3}}) (?:[0-9]+|-) "(?P<referrer>{_TEXT})" "(?P<user_agent>{_TEXT})"'
)
_IPV4: Final = r"^([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})\.[0-9]{1,3}$"
_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)


def requests_of(
    lines: pl.DataFrame, measurement_id: str, *, host: str, salt: bytes, end_us: int
) -> Converted:
    """The requests that lines come to.

    Args:
        lines: ``row`` and ``line``.
        measurement_id: Of the property that the page views are of.
        host: Of the site, "" if not known; then links inside the site look like other sites'.
        salt: Under which clients are hashed; 16 to 64 bytes.
        end_us: UTC µs; what is said to be later is skipped.
    """
    fields = lines.with_columns(
        pl.col("line").str.strip_chars("\r \t").str.extract_groups(_COMBINED).struct.unnest()
    ).with_columns(
        method=pl.col("request").str.extract("^([A-Z]+) "),
        target=pl.col("request").str.extract(r"^[A-Z]+ (\S+)"),
        received_at=pl.col("time")
        .str.to_datetime("%d/%b/%Y:%H:%M:%S %z", time_unit="us", strict=False)
        .dt.epoch("us"),
    )
    kept, skipped = sorted_out(fields, _reasons(end_us), pl.col("line"))
    facts = kept.select(
        "row",
        "received_at",
        "address",
        query=_queries(kept, measurement_id, host),
        user_agent=_sent(kept.get_column("user_agent")),
        ip_network=networks_of(kept.get_column("address")),
    )
    # Where names of hosts are logged, a client is known by that.
    place = pl.when(pl.col("ip_network") == "").then("address").otherwise("ip_network")
    visitors = facts.select(pl.concat_str(place, "user_agent", separator="\0")).to_series()
    hashes = mapped(visitors, lambda values: _hashes(values, salt))
    return Converted(web_hits(facts.with_columns(visitor_hash=hashes)), skipped)


def _reasons(end_us: int) -> dict[str, pl.Expr]:
    path = pl.col("target").str.extract("^([^?#]*)")
    suffix = path.str.to_lowercase().str.extract(r"\.([a-z0-9]+)$")
    return {
        "too_long": pl.col("line").str.len_chars() > MAX_RECORD_CHARACTERS,
        "not_combined": pl.col("address").is_null() | pl.col("received_at").is_null(),
        "method": ~pl.col("method").is_in(["GET", "HEAD"]).fill_null(value=False),
        "status": ~pl.col("status").is_in(["200", "304"]),
        "no_path": ~pl.col("target").str.starts_with("/").fill_null(value=False),
        "asset": suffix.is_in(ASSETS),
        "time_out_of_range": is_out_of_range(pl.col("received_at"), end_us),
    }


def _queries(lines: pl.DataFrame, measurement_id: str, host: str) -> pl.Series:
    target = "/" + _text(lines.get_column("target")).str.strip_chars_start("/")
    location = f"https://{host}" + target if host else target
    referrer = percent_encoded(_sent(lines.get_column("referrer")))
    queries = f"v=2&tid={measurement_id}&en=page_view&dl=" + percent_encoded(location)
    return queries + ("&dr=" + referrer).set(referrer == "", "")


def networks_of(addresses: pl.Series) -> pl.Series:
    """The /24 (IPv4) or /48 (IPv6) of addresses; "" for names of hosts and whatever is none."""
    networks = addresses.str.extract(_IPV4) + ".0/24"
    others = networks.is_null()
    if not others.any():
        return networks
    found = mapped(addresses.filter(others), _networks_of_others)
    return networks.scatter(others.arg_true(), found)


def _networks_of_others(addresses: pl.Series) -> pl.Series:
    return pl.Series([_network_of_other(address) for address in addresses], dtype=pl.String)


def _network_of_other(address: str) -> str:
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return ""
    if parsed.ipv4_mapped is not None:
        return str(ip_network(f"{parsed.ipv4_mapped}/24", strict=False))
    return str(ip_network(f"{parsed}/48", strict=False))


def _sent(values: pl.Series) -> pl.Series:
    """The text of headers, which are logged as a dash if they did not come."""
    text = _text(values)
    return text.set(text == "-", "")


def _text(values: pl.Series) -> pl.Series:
    """What is between quotes, without the escapes of the server: ``\\"``, ``\\\\``, ``\\xHH``."""
    escaped = values.str.contains("\\", literal=True)
    if not escaped.any():
        return values
    plain = [_unescaped(value) for value in values.filter(escaped)]
    return values.clone().scatter(escaped.arg_true(), pl.Series(plain, dtype=pl.String))


def _unescaped(text: str) -> str:
    raw = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text)
    try:
        return raw.encode("latin-1").decode()  # each \\xHH was a byte of UTF-8
    except UnicodeError:
        return raw


def _hashes(visitors: pl.Series, salt: bytes) -> pl.Series:
    salted = blake2b(key=salt, digest_size=8)
    hashes = []
    for visitor in visitors:
        digest = salted.copy()
        digest.update(visitor.encode())
        hashes.append(digest.hexdigest())
    return pl.Series(hashes, dtype=pl.String)
