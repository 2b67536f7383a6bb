"""Sources: what a hit says of where its visitor came from."""

from importlib import resources

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.channels import channel
from tallymark.enrichment.sources import CLICK_IDS, FREE_IDS, with_sources

COLUMNS = ("page_query", "referrer", "host", "source", "medium", "campaign", "term", "content")
GOOGLE = "https://www.google.com/"
NONE = ("", "", "")
ORGANIC = ("google", "organic", "(organic)")

REFERRERS = [
    ("", NONE),
    ("https://www.google.com/", ORGANIC),
    ("https://google.co.uk/search?q=x", ORGANIC),
    ("http://www.google.com.br", ORGANIC),
    ("https://encrypted.google.com/url?q=x", ORGANIC),
    ("https://WWW.GOOGLE.DE:443/", ORGANIC),
    ("https://www.bing.com/", ("bing", "organic", "(organic)")),
    ("https://cn.bing.com/", ("bing", "organic", "(organic)")),
    ("https://duckduckgo.com/", ("duckduckgo", "organic", "(organic)")),
    ("https://search.yahoo.com/", ("yahoo", "organic", "(organic)")),
    ("https://uk.search.yahoo.com/", ("yahoo", "organic", "(organic)")),
    ("https://m.baidu.com/s", ("baidu", "organic", "(organic)")),
    ("https://yandex.ru/", ("yandex", "organic", "(organic)")),
    ("https://www.ecosia.org/", ("ecosia.org", "organic", "(organic)")),
    ("https://mail.google.com/", ("mail.google.com", "email", "(email)")),
    ("android-app://com.google.android.gm/", ("mail.google.com", "email", "(email)")),
    ("https://outlook.live.com/mail/0/", ("outlook.live.com", "email", "(email)")),
    ("android-app://com.google.android.googlequicksearchbox/https/www.google.com", ORGANIC),
    ("https://news.google.com/", ("news.google.com", "referral", "(referral)")),
    ("https://search.unheard-of.example/", ("search.unheard-of.example", "referral", "(referral)")),
    ("https://www.startpage.com/", ("startpage.com", "organic", "(organic)")),
    ("https://search.lycos.com/", ("lycos", "organic", "(organic)")),
    ("https://www.facebook.com/", ("facebook.com", "referral", "(referral)")),
    ("android-app://com.facebook.katana/", ("facebook.com", "referral", "(referral)")),
    ("https://bsky.app/profile/a", ("bsky.app", "social", "(social)")),
    ("https://duck.ai/", ("duck.ai", "ai-assistant", "(ai-assistant)")),
    ("android-app://com.openai.chatgpt/", ("chatgpt.com", "ai-assistant", "(ai-assistant)")),
    ("https://www.youtube.com/", ("youtube.com", "referral", "(referral)")),
    ("https://www.amazon.de/", ("amazon.de", "referral", "(referral)")),
    ("https://www.paypal.com/checkoutnow", NONE),
    ("https://checkout.stripe.com/c/pay/cs_1", NONE),
    ("https://notpaypal.com/", ("notpaypal.com", "referral", "(referral)")),
    ("https://google.evil.example/", ("google.evil.example", "referral", "(referral)")),
    ("https://notgoogle.com/", ("notgoogle.com", "referral", "(referral)")),
    ("https://m.facebook.com/", ("m.facebook.com", "referral", "(referral)")),
    ("https://t.co/abc", ("t.co", "referral", "(referral)")),
    ("https://www.blog.example/a", ("blog.example", "referral", "(referral)")),
    ("android-app://com.example.app/", ("com.example.app", "referral", "(referral)")),
    ("https://chatgpt.com/", ("chatgpt.com", "ai-assistant", "(ai-assistant)")),
    ("https://www.perplexity.ai/", ("perplexity.ai", "ai-assistant", "(ai-assistant)")),
    ("https://gemini.google.com/app", ("gemini.google.com", "ai-assistant", "(ai-assistant)")),
    ("https://claude.ai/", ("claude.ai", "ai-assistant", "(ai-assistant)")),
    ("https://copilot.microsoft.com", ("copilot.microsoft.com", "ai-assistant", "(ai-assistant)")),
    ("https://shop.example/other", NONE),
    ("https://www.shop.example/other", NONE),
    ("https://SHOP.example", NONE),
    ("https://sub.shop.example/", ("sub.shop.example", "referral", "(referral)")),
    ("nonsense", NONE),
    ("https:///", NONE),
]


def with_all_sources(hits: pl.DataFrame) -> pl.DataFrame:
    """Hits of a property that counts all referrers."""
    return with_sources(hits.with_columns(is_own_referrer=False))


def sourced(**changes: str) -> dict[str, str]:
    """A hit of shop.example after its source is known."""
    row = dict.fromkeys(COLUMNS, "") | {"host": "shop.example"} | changes
    return with_all_sources(pl.DataFrame([row])).row(0, named=True)


def named(**changes: str) -> tuple[str, str, str]:
    """Source, medium and campaign of a hit of shop.example."""
    found = sourced(**changes)
    return found["source"], found["medium"], found["campaign"]


@pytest.mark.parametrize(("referrer", "expected"), REFERRERS)
def test_a_referrer_names_a_source(referrer: str, expected: tuple[str, str, str]) -> None:
    assert named(referrer=referrer) == expected


@pytest.mark.parametrize(
    ("page_query", "expected"),
    [
        ("utm_source=letter&utm_medium=email&utm_campaign=spring%20sale",
         ("letter", "email", "spring sale")),
        ("x=1&utm_source=letter", ("letter", "(not set)", "(not set)")),
        ("utm_campaign=spring", ("(not set)", "(not set)", "spring")),
        ("utm_medium=email", ("(not set)", "email", "(not set)")),
        ("utm_source=&utm_medium=", ORGANIC),
        ("utm_term=shoes", ORGANIC),
        ("utm_source=(direct)&utm_medium=(none)", NONE),
        ("gclid=abc", ("google", "cpc", "(not set)")),
        ("gclid=", ORGANIC),
        ("gclid=abc&utm_campaign=brand", ("google", "cpc", "brand")),
        ("gclid=abc&utm_source=letter", ("letter", "(not set)", "(not set)")),
        ("gclid=abc&utm_medium=paid_social", ("google", "paid_social", "(not set)")),
        ("msclkid=abc", ("bing", "cpc", "(not set)")),
        ("srsltid=abc", ("google", "organic", "(not set)")),
        ("mc_cid=1&mc_eid=abc", ("mailchimp", "email", "(not set)")),
        ("gad_source=1&gad_campaignid=7", ("google", "cpc", "(not set)")),
        ("mygclid=abc&utm_sources=x", ORGANIC),
    ],
)  # fmt: skip
def test_what_the_page_is_tagged_with_comes_before_the_referrer(
    page_query: str, expected: tuple[str, str, str]
) -> None:
    assert named(page_query=page_query, referrer=GOOGLE) == expected


def test_what_the_tracker_names_comes_before_the_tags_of_the_page() -> None:
    tags = "utm_source=a&utm_medium=b&utm_campaign=c&utm_term=d&utm_content=e"

    found = sourced(source="letter", medium="email", term="shoes", page_query=tags)

    assert (found["source"], found["medium"], found["campaign"]) == ("letter", "email", "c")
    assert (found["term"], found["content"]) == ("shoes", "e")


@pytest.mark.parametrize("name", CLICK_IDS)
def test_every_click_id_is_kept_and_means_an_advertisement(name: str) -> None:
    found = sourced(page_query=f"a=b&{name}=Abc-1")

    assert found["click_id"] == "Abc-1"
    assert (found["source"], found["medium"]) == CLICK_IDS[name]
    assigned = pl.DataFrame([found]).select(channel()).item()
    assert assigned.startswith("Paid") or assigned == "Display"


def test_a_page_without_host_still_has_a_referrer() -> None:
    assert named(host="", referrer=GOOGLE) == ORGANIC


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "utm_source=a", "gclid=1", "utm_medium=b&x", "%", "x=y"]),
            st.sampled_from([referrer for referrer, _ in REFERRERS]),
            st.sampled_from(["", "shop.example", "google.com"]),
        ),
        max_size=20,
    )
)
def test_sources_of_many_hits_are_those_of_each(cases: list[tuple[str, str, str]]) -> None:
    rows = [dict.fromkeys(COLUMNS, "") | dict(zip(COLUMNS, case, strict=False)) for case in cases]
    hits = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String))

    together = with_all_sources(hits).to_dicts()

    assert together == [with_all_sources(pl.DataFrame([row])).row(0, named=True) for row in rows]
    for found in together:
        named_parts = [found[name] != "" for name in ("source", "medium", "campaign")]
        assert all(named_parts) or not any(named_parts)


@pytest.mark.parametrize("name", FREE_IDS)
def test_what_nobody_pays_for_is_no_paid_channel(name: str) -> None:
    found = sourced(page_query=f"a=1&{name}=Abc-1", referrer=GOOGLE)
    assert (found["source"], found["medium"]) == FREE_IDS[name]
    assert found["click_id"] == "", "it may name who got the mail"
    assigned = pl.DataFrame([found]).select(channel()).item()
    assert assigned in ("Organic Search", "Email")


@pytest.mark.parametrize(
    ("referrer", "expected"),
    [
        ("https://bsky.app/", "Organic Social"),
        ("android-app://com.facebook.katana/", "Organic Social"),
        ("https://www.youtube.com/", "Organic Video"),
        ("https://www.amazon.com/", "Organic Shopping"),
        ("https://www.startpage.com/", "Organic Search"),
        ("https://duck.ai/", "AI Assistant"),
        ("https://mail.google.com/", "Email"),
        ("https://blog.example/", "Referral"),
        ("https://www.paypal.com/", ""),
    ],
)
def test_a_referrer_comes_to_the_channel_of_its_kind(referrer: str, expected: str) -> None:
    row = sourced(referrer=referrer)
    assert pl.DataFrame([row]).select(channel()).item() == expected


def test_no_site_is_listed_twice_or_written_as_no_referrer_is() -> None:
    file = resources.files("tallymark.data").joinpath("referrer_sites.csv")
    sites = pl.read_csv(file.read_bytes()).get_column("site")
    assert sites.is_unique().all()
    assert not sites.str.contains("^www[.]|[A-Z/ ]").any()
