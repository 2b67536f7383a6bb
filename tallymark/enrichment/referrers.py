"""Referrers: which site sent a visitor, and what that says of source and medium."""

from functools import lru_cache
from importlib import resources
from typing import Final

import polars as pl

from tallymark.channels import AI_MEDIUM, source_categories
from tallymark.distinct import with_looked_up
from tallymark.hosts import host_of

ENGINES: Final = (
    "aol", "ask", "baidu", "bing", "daum", "duckduckgo", "google", "lycos", "naver", "qwant",
    "rambler", "seznam", "sogou", "yahoo", "yandex", "zapmeta",
)  # fmt: skip
"""Search engines that have a host in many countries; the source is the name alone."""

MEDIA: Final = {
    "search": "organic",
    "ai": AI_MEDIUM,
    "mail": "email",
    "social": "social",
    "referral": "referral",
}
"""The medium of each kind of site. Social sites that Google's list of sources knows are of medium
``referral``, as in GA4: the list gives them their channel, social or video."""
PAYMENT: Final = "payment"
"""The kind of site that visitors come back from, and that sent none."""

_SEARCH_HOST: Final = (
    r"^(?:(?:m|r|wap|images|encrypted|[a-z]{2})\.)?(?:search\.)?"
    rf"({'|'.join(ENGINES)})\.(?:[a-z]{{2,3}}|com?\.[a-z]{{2}})$"
)


def site_of(host: pl.Expr) -> pl.Expr:
    """The site of a host: the same with and without ``www.``."""
    return host.str.strip_prefix("www.")


def with_referrers(hits: pl.DataFrame) -> pl.DataFrame:
    """``hits`` with ``referrer_site`` ("" = none) and its ``referrer_source``,
    ``referrer_medium`` and ``referrer_campaign``."""
    return with_looked_up(hits, "referrer", _sources)


def _sources(referrers: pl.Series) -> pl.DataFrame:
    site, kind = pl.col("referrer_site"), pl.col("kind")
    engine = site.str.extract(_SEARCH_HOST)
    source = pl.coalesce("known_source", engine, site)
    is_search = engine.is_not_null() | site.is_in(list(source_categories()["search"]))
    is_listed = source.is_in(list(frozenset().union(*source_categories().values())))
    medium = (
        pl.when((kind == "social") & is_listed)
        .then(pl.lit("referral"))
        .when(kind.is_not_null())
        .then(kind.replace_strict(MEDIA, default="referral", return_dtype=pl.String))
        .when(is_search)
        .then(pl.lit("organic"))
        .otherwise(pl.lit("referral"))
    )
    known = pl.select(referrer_site=site_of(host_of(pl.lit(referrers)))).join(
        _sites(), left_on="referrer_site", right_on="site", how="left", maintain_order="left"
    )
    return known.select(
        referrer_site=pl.when(kind == PAYMENT).then(pl.lit("")).otherwise(site),
        referrer_source=source,
        referrer_medium=medium,
        referrer_campaign=pl.format("({})", medium),
    )


@lru_cache(maxsize=1)
def _sites() -> pl.DataFrame:
    """``site``, ``kind``, ``known_source`` (null: the site itself)."""
    file = resources.files("tallymark.data").joinpath("referrer_sites.csv")
    return pl.read_csv(file.read_bytes()).rename({"source": "known_source"})
