"""Sources: where the visitor of a hit came from, as far as the hit itself says.

The first that says anything wins: the campaign that the tracker names and the ``utm_`` parameters
of the page, the click id of an advertisement, the referrer if it is another site. A hit that names
none has a source of "": the visitor came directly, or from a page of the same site.
"""

from functools import lru_cache
from typing import Final

import polars as pl

from tallymark.distinct import with_looked_up
from tallymark.enrichment.referrers import site_of, with_referrers
from tallymark.protocols.known_keys import KnownKeys
from tallymark.protocols.query_pairs import columns_of, pairs_of

NOT_SET: Final = "(not set)"

CLICK_IDS: Final = {
    "gclid": ("google", "cpc"),
    "wbraid": ("google", "cpc"),
    "gbraid": ("google", "cpc"),
    "dclid": ("dv360", "cpm"),
    "msclkid": ("bing", "cpc"),
    "yclid": ("yandex", "cpc"),
    "fbclid": ("facebook", "cpc"),
    "ttclid": ("tiktok", "cpc"),
    "twclid": ("twitter", "cpc"),
    "li_fat_id": ("linkedin", "cpc"),
    "rdt_cid": ("reddit", "cpc"),
    "ScCid": ("snapchat", "cpc"),
    "epik": ("pinterest", "cpc"),
    "sccid": ("snapchat", "cpc"),
    "tblci": ("taboola", "cpc"),
    "obclid": ("outbrain", "cpc"),
    "qclid": ("quora", "cpc"),
    "vmcid": ("yahoo", "cpc"),
    "gad_campaignid": ("google", "cpc"),
}
"""Source and medium that the click ids of advertisements stand for; the first one counts."""
FREE_IDS: Final = {
    "srsltid": ("google", "organic"),
    "mc_eid": ("mailchimp", "email"),
    "_kx": ("klaviyo", "email"),
    "_hsenc": ("hubspot", "email"),
    "vero_id": ("vero", "email"),
}
"""The same of ids that nobody pays for: of Google's free listings of products, and of mails, which
tell who got one and so are not kept."""
_IDS: Final = CLICK_IDS | FREE_IDS

FIELDS: Final = ("source", "medium", "campaign", "term", "content")
_COLUMNS: Final = {f"utm_{field}": (f"utm_{field}",) for field in FIELDS} | {
    name: (name,) for name in _IDS
}
_KEYS: Final = KnownKeys([key for names in _COLUMNS.values() for key in names])
_WORKING: Final = (
    *(f"utm_{field}" for field in FIELDS), "click_source", "click_medium",
    "referrer_site", "referrer_source", "referrer_medium", "referrer_campaign",
)  # fmt: skip


def with_sources(hits: pl.DataFrame) -> pl.DataFrame:
    """``hits`` with ``source``, ``medium``, ``campaign``, ``term``, ``content`` and ``click_id``.

    Args:
        hits: Have ``page_query``, ``referrer``, ``host`` and ``is_own_referrer``, and in the first
            five of those columns what the tracker names outright.
    """
    known = with_referrers(with_looked_up(hits, "page_query", _tags))
    tagged = known.with_columns(
        pl.when(pl.col(field) == "").then(f"utm_{field}").otherwise(field).alias(field)
        for field in FIELDS
    )
    named = tagged.with_columns(**_named()).drop(_WORKING)
    # Some tag links inside their site so that they do not count.
    is_direct = (pl.col("source") == "(direct)") & pl.col("medium").is_in(["(none)", NOT_SET])
    return named.with_columns(
        pl.when(is_direct).then(pl.lit("")).otherwise(name).alias(name) for name in FIELDS
    )


def _named() -> dict[str, pl.Expr]:
    source, medium, campaign = (pl.col(name) for name in FIELDS[:3])
    is_sourced = source != ""
    is_clicked = pl.col("click_source") != ""
    is_tagged = is_sourced | (medium != "") | (campaign != "")
    site = pl.col("referrer_site")
    is_sent = (site != "") & (site != site_of(pl.col("host"))) & ~pl.col("is_own_referrer")

    def first_of(text: pl.Expr, clicked: pl.Expr, referred: str) -> pl.Expr:
        return (
            pl.when(is_clicked & ~is_sourced)
            .then(_or(text, clicked))
            .when(is_tagged)
            .then(_or(text, pl.lit(NOT_SET)))
            .when(is_sent)
            .then(referred)
            .otherwise(pl.lit(""))
        )

    return {
        "source": first_of(source, pl.col("click_source"), "referrer_source"),
        "medium": first_of(medium, pl.col("click_medium"), "referrer_medium"),
        "campaign": first_of(campaign, pl.lit(NOT_SET), "referrer_campaign"),
    }


def _or(text: pl.Expr, other: pl.Expr) -> pl.Expr:
    return pl.when(text == "").then(other).otherwise(text)


def _tags(queries: pl.Series) -> pl.DataFrame:
    """The ``utm_`` parameters and the click id of the queries of pages."""
    sent = pl.DataFrame(columns_of(pairs_of(queries, _KEYS), _COLUMNS, len(queries)))
    return sent.select(_tag_columns())


@lru_cache(maxsize=1)
def _tag_columns() -> tuple[pl.Expr, ...]:
    def clicked(values: dict[str, pl.Expr]) -> pl.Expr:
        expressions = (pl.when(pl.col(name) != "").then(value) for name, value in values.items())
        return pl.coalesce(*expressions, pl.lit(""))

    sources = {name: pl.lit(source) for name, (source, _) in _IDS.items()}
    media = {name: pl.lit(medium) for name, (_, medium) in _IDS.items()}
    return (
        *(pl.col(f"utm_{field}") for field in FIELDS),
        clicked({name: pl.col(name) for name in CLICK_IDS}).alias("click_id"),
        clicked(sources).alias("click_source"),
        clicked(media).alias("click_medium"),
    )
