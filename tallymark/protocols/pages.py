"""Pages: the host, the path and the query of an address."""

from typing import Final

import polars as pl

_SCHEME: Final = "^([A-Za-z][A-Za-z0-9+.-]*:)?$"
LINKERS: Final = ("_tml", "_gl", "_ga")
"""Parameters by which a tracker, ours or Google's, hands a client over to a page of another host of
its site. They say nothing of the page, and make each such view one of a page of its own."""
_LINKER: Final = f"(?:{'|'.join(LINKERS)})=[^&]*"
_HOST: Final = r"^(?:.*@)?(\[[^\]]*\]|[^:]*).*$"


def pages(locations: pl.Series) -> pl.DataFrame:
    """``host`` (lower case, no port), ``path`` ("/" at least) and ``page_query`` (without
    ``LINKERS``) of addresses; all are "" where there is no address. Cut at single characters, as
    that is faster than a pattern with groups."""
    address = locations.str.splitn("#", 2).struct.field("field_0")
    base, query = _cut(address, "?")
    scheme, beyond = _cut(base, "//")
    has_host = beyond.is_not_null() & scheme.str.contains(_SCHEME)
    authority, path = _cut(beyond.zip_with(has_host, _nothing(beyond)), "/")
    if authority.str.contains("[:@]").any():
        authority = authority.str.replace(_HOST, "$1")
    return pl.select(
        host=pl.lit(authority.str.to_lowercase()).fill_null(""),
        path=pl.when(has_host)
        .then(pl.concat_str(pl.lit("/"), pl.lit(path).fill_null("")))
        .when((pl.lit(base) == "") & (pl.lit(locations) != ""))
        .then(pl.lit("/"))
        .otherwise(pl.lit(base)),
        page_query=pl.lit(_without_linkers(query)).fill_null(""),
    )


def _without_linkers(queries: pl.Series) -> pl.Series:
    if not queries.str.contains_any([f"{name}=" for name in LINKERS]).any():
        return queries
    first = queries.str.replace(f"^(?:{_LINKER}(?:&|$))+", "")
    return first.str.replace_all(f"&{_LINKER}", "")


def _cut(texts: pl.Series, separator: str) -> tuple[pl.Series, pl.Series]:
    """What is before the first ``separator``, and what is after it (null if there is none)."""
    parts = texts.str.splitn(separator, 2).struct
    return parts.field("field_0"), parts.field("field_1")


def _nothing(values: pl.Series) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, len(values))
