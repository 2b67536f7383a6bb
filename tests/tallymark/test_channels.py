"""The default channel group."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.channels import CHANNELS, UNASSIGNED, channel, source_categories, with_channels

CASES = [
    ("(direct)", "(none)", "", "Direct"),
    ("(direct)", "(not set)", "(not set)", "Direct"),
    ("(direct)", "email", "", "Email"),
    ("google", "cpc", "summer Cross-Network", "Cross-network"),
    ("(direct)", "(none)", "cross-network", "Direct"),
    ("amazon", "cpc", "", "Paid Shopping"),
    ("google", "cpc", "Shopping week", "Paid Shopping"),
    ("google", "cpc", "eshop", "Paid Shopping"),
    ("google", "cpc", "workshop", "Paid Search"),
    ("google", "cpc", "my shop", "Paid Shopping"),
    ("google", "cpc", "shop", "Paid Shopping"),
    ("amazon", "cpm", "", "Paid Shopping"),
    ("Google", "CPC", "brand", "Paid Search"),
    ("bing", "ppc", "", "Paid Search"),
    ("google", "cpm", "", "Paid Search"),
    ("google", "retargeting", "", "Paid Search"),
    ("google", "paid-anything", "", "Paid Search"),
    ("google", "unpaid", "", "Organic Search"),
    ("facebook", "paid_social", "", "Paid Social"),
    ("facebook.com", "cpc", "", "Paid Social"),
    ("youtube", "cpv cp", "", "Paid Video"),
    ("youtube.com", "paidvideo", "", "Paid Video"),
    ("adnet", "display", "", "Display"),
    ("adnet", "Banner", "", "Display"),
    ("adnet", "expandable", "", "Display"),
    ("adnet", "interstitial", "", "Display"),
    ("adnet", "cpm", "", "Display"),
    ("google", "display", "", "Display"),
    ("adnet", "cpc", "", "Paid Other"),
    ("adnet", "ppc", "", "Paid Other"),
    ("chatgpt.com", "ai-assistant", "(ai-assistant)", "AI Assistant"),
    ("google", "ai-assistant", "(ai-assistant)", "AI Assistant"),
    ("ebay.com", "referral", "", "Organic Shopping"),
    ("letter", "email", "shopping news", "Organic Shopping"),
    ("facebook.com", "referral", "", "Organic Social"),
    ("m.facebook.com", "referral", "(referral)", "Organic Social"),
    ("somewhere", "social", "", "Organic Social"),
    ("somewhere", "sm", "", "Organic Social"),
    ("somewhere", "social media", "", "Organic Social"),
    ("somewhere", "social-media", "", "Organic Social"),
    ("somewhere", "social-network", "", "Organic Social"),
    ("somewhere", "social network", "", "Organic Social"),
    ("youtube", "social", "", "Organic Social"),
    ("facebook.com", "video", "", "Organic Social"),
    ("google", "video", "", "Organic Video"),
    ("vimeo.com", "referral", "", "Organic Video"),
    ("somewhere", "my-video-ads", "", "Organic Video"),
    ("google", "organic", "(organic)", "Organic Search"),
    ("google", "referral", "", "Organic Search"),
    ("somewhere", "organic", "", "Organic Search"),
    ("blog.example", "referral", "(referral)", "Referral"),
    ("blog.example", "app", "", "Referral"),
    ("blog.example", "link", "", "Referral"),
    ("email", "newsletter", "", "Email"),
    ("letter", "e-mail", "", "Email"),
    ("letter", "E_Mail", "", "Email"),
    ("e mail", "x", "", "Email"),
    ("partner", "affiliate", "", "Affiliates"),
    ("partner", "audio", "", "Audio"),
    ("sms", "text", "", "SMS"),
    ("phone", "sms", "", "SMS"),
    ("email", "referral", "", "Referral"),
    ("email", "affiliate", "", "Email"),
    ("sms", "audio", "", "Audio"),
    ("sms", "push", "", "SMS"),
    ("app", "push", "", "Mobile Push Notifications"),
    ("app", "webpush", "", "Mobile Push Notifications"),
    ("app", "mobile-banner", "", "Mobile Push Notifications"),
    ("app", "a notification", "", "Mobile Push Notifications"),
    ("firebase", "x", "", "Mobile Push Notifications"),
    ("app", "pushed", "", "Unassigned"),
    ("somewhere", "(not set)", "", "Unassigned"),
    ("letter", "newsletter", "", "Unassigned"),
    ("", "", "", ""),
    ("", "cpc", "", ""),
]


def channel_of(source: str, medium: str, campaign: str) -> str:
    row = {"source": [source], "medium": [medium], "campaign": [campaign]}
    return str(pl.DataFrame(row).select(channel()).item())


@pytest.mark.parametrize(("source", "medium", "campaign", "expected"), CASES)
def test_the_first_rule_that_matches_names_the_channel(
    source: str, medium: str, campaign: str, expected: str
) -> None:
    assert channel_of(source, medium, campaign) == expected


def test_the_cases_name_every_channel() -> None:
    assert {expected for *_, expected in CASES} == {*CHANNELS, ""}


def test_the_lists_hold_every_source_once() -> None:
    counts = {name: len(sources) for name, sources in source_categories().items()}

    assert counts == {"search": 129, "social": 592, "video": 46, "shopping": 52}


@pytest.mark.parametrize(
    ("category", "paid", "organic"),
    [
        ("search", "Paid Search", "Organic Search"),
        ("social", "Paid Social", "Organic Social"),
        ("video", "Paid Video", "Organic Video"),
        ("shopping", "Paid Shopping", "Organic Shopping"),
    ],
)
def test_every_listed_source_is_of_its_category(category: str, paid: str, organic: str) -> None:
    sources = pl.DataFrame({"source": sorted(source_categories()[category]), "campaign": ""})

    for medium, expected in (("CPC", paid), ("referral", organic)):
        found = sources.with_columns(medium=pl.lit(medium)).select(channel())
        assert found.to_series().unique().to_list() == [expected]


@given(st.lists(st.sampled_from(CASES), max_size=30))
def test_channels_of_many_hits_are_those_of_each(cases: list[tuple[str, str, str, str]]) -> None:
    columns = ["source", "medium", "campaign", "expected"]
    hits = pl.DataFrame(cases, schema=dict.fromkeys(columns, pl.String), orient="row")

    found = with_channels(hits)

    assert found.get_column("channel").to_list() == hits.get_column("expected").to_list()
    assert found.drop("channel").equals(hits)


@given(st.text().filter(bool), st.text(), st.text())
def test_every_source_has_a_channel(source: str, medium: str, campaign: str) -> None:
    assert channel_of(source, medium, campaign) in {*CHANNELS, UNASSIGNED}
