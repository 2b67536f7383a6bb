"""Channels: the default channel group of a source, medium and campaign."""

from functools import lru_cache
from importlib import resources
from typing import Final

import polars as pl

PAID: Final = "(?is)^(.*cp.*|ppc|retargeting|paid.*)$"
SHOPPING_CAMPAIGN: Final = "(?is)^(.*(([^a-df-z]|^)shop|shopping).*)$"
EMAIL: Final = ("email", "e-mail", "e_mail", "e mail")
DISPLAY: Final = ("display", "banner", "expandable", "interstitial", "cpm")
SOCIAL_MEDIA: Final = (
    "social", "social-network", "social-media", "sm", "social network", "social media",
)  # fmt: skip
AI_MEDIUM: Final = "ai-assistant"
UNASSIGNED: Final = "Unassigned"

CHANNELS: Final = (
    "Direct", "Cross-network", "Paid Shopping", "Paid Search", "Paid Social", "Paid Video",
    "Display", "Paid Other", "AI Assistant", "Organic Shopping", "Organic Social", "Organic Video",
    "Organic Search", "Referral", "Email", "Affiliates", "Audio", "SMS",
    "Mobile Push Notifications", UNASSIGNED,
)  # fmt: skip
"""All channels, in the order in which their rules are tried."""

_KEYS: Final = ("source", "medium", "campaign")


@lru_cache(maxsize=1)
def source_categories() -> dict[str, frozenset[str]]:
    """The sources, in lower case, of each category: search, social, video, shopping."""
    file = resources.files("tallymark.data").joinpath("ga4_source_categories.csv")
    table = pl.read_csv(file.read_bytes())
    prefix = "SOURCE_CATEGORY_"
    return {
        category.removeprefix(prefix).lower(): frozenset(
            table.filter(pl.col("source_category") == category)
            .get_column("source")
            .str.to_lowercase()
        )
        for category in table.get_column("source_category").unique()
    }


@lru_cache(maxsize=1)
def channel() -> pl.Expr:
    """The channel of the columns ``source``, ``medium`` and ``campaign``; the first rule that
    matches wins, in any case of letters.

    A source of "" is none, and has no channel.
    """
    rules = _rules()
    none = pl.when(pl.col("source") == "").then(pl.lit(""))
    matching = (pl.when(rules[name]).then(pl.lit(name)) for name in CHANNELS[:-1])
    return pl.coalesce(none, *matching, pl.lit(UNASSIGNED)).alias("channel")


def _rules() -> dict[str, pl.Expr]:
    source, medium, campaign = (pl.col(name).str.to_lowercase() for name in _KEYS)
    listed = {name: source.is_in(list(some)) for name, some in source_categories().items()}
    is_paid = medium.str.contains(PAID)
    is_shopping = listed["shopping"] | campaign.str.contains(SHOPPING_CAMPAIGN)
    is_push = medium.str.ends_with("push") | medium.str.contains("mobile|notification")
    return {
        "Direct": (source == "(direct)") & medium.is_in(["(none)", "(not set)"]),
        "Cross-network": campaign.str.contains("cross-network", literal=True),
        "Paid Shopping": is_shopping & is_paid,
        "Paid Search": listed["search"] & is_paid,
        "Paid Social": listed["social"] & is_paid,
        "Paid Video": listed["video"] & is_paid,
        "Display": medium.is_in(DISPLAY),
        "Paid Other": is_paid,
        "AI Assistant": medium == AI_MEDIUM,
        "Organic Shopping": is_shopping,
        "Organic Social": listed["social"] | medium.is_in(SOCIAL_MEDIA),
        "Organic Video": listed["video"] | medium.str.contains("video", literal=True),
        "Organic Search": listed["search"] | (medium == "organic"),
        "Referral": medium.is_in(["referral", "app", "link"]),
        "Email": source.is_in(EMAIL) | medium.is_in(EMAIL),
        "Affiliates": medium == "affiliate",
        "Audio": medium == "audio",
        "SMS": (source == "sms") | (medium == "sms"),
        "Mobile Push Notifications": is_push | (source == "firebase"),
    }


def with_channels(hits: pl.DataFrame) -> pl.DataFrame:
    """``hits`` with their ``channel``, worked out once for each source, medium and campaign."""
    known = hits.select(_KEYS).unique(maintain_order=True)
    return hits.join(
        known.with_columns(channel()), on=list(_KEYS), how="left", maintain_order="left"
    )
