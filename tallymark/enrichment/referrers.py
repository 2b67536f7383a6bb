"""Referrers: which site sent a visitor, and what that says of source and medium."""

from typing import Final

import polars as pl

from tallymark.channels import AI_MEDIUM, source_categories
from tallymark.distinct import with_looked_up

ENGINES: Final = (
    "aol", "ask", "baidu", "bing", "daum", "duckduckgo", "google", "naver", "qwant", "rambler",
    "seznam", "sogou", "yahoo", "yandex",
)  # fmt: skip
"""Search engines that have a host in many countries; the source is the name alone."""

AI_ASSISTANTS: Final = (
    "chat.deepseek.com", "chat.mistral.ai", "chat.openai.com", "chatgpt.com", "claude.ai",
    "copilot.microsoft.com", "gemini.google.com", "grok.com", "meta.ai", "perplexity.ai",
)  # fmt: skip
"""Hosts, without ``www.``, that send visitors from a conversation."""

_HOST: Final = r"^(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#]*@)?(\[[^\]/?#]*\]|[^/?#:]*)"
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
    site, source = pl.col("referrer_site"), pl.col("referrer_source")
    engine = site.str.extract(_SEARCH_HOST)
    is_search = engine.is_not_null() | site.is_in(list(source_categories()["search"]))
    medium = (
        pl.when(site.is_in(AI_ASSISTANTS))
        .then(pl.lit(AI_MEDIUM))
        .when(is_search)
        .then(pl.lit("organic"))
        .otherwise(pl.lit("referral"))
    )
    host = pl.lit(referrers).str.extract(_HOST).fill_null("").str.to_lowercase()
    return (
        pl.select(referrer_site=site_of(host))
        .with_columns(referrer_source=pl.coalesce(engine, site), referrer_medium=medium)
        .select(
            site,
            source,
            "referrer_medium",
            referrer_campaign=pl.format("({})", "referrer_medium"),
        )
    )
