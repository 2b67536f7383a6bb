"""Rules: which version of whose rules a hit is processed with."""

from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.hits import HIT_SCHEMA
from tallymark.processing import process_requests
from tallymark.properties import PROPERTY_SCHEMA, SINCE_EVER
from tallymark.rules import RULED, claimed, judged, settings_of, versions_of
from tallymark.slots import SESSION_ALIGNMENT_US
from tests.tallymark.recorded import SHOP, frame, hit, processed, shop, version, web

L = SESSION_ALIGNMENT_US
NOON = 100_000 * L
FIRST = version(session_gap_seconds=600, time_zone="Europe/Zurich")
SECOND = version(
    2,
    NOON + 1,
    session_gap_seconds=3600,
    engagement_threshold_seconds=20,
    attribution_lookback_days=30,
    time_zone="Asia/Kolkata",
    key_events=("sign_up", "purchase"),
)


@dataclass(frozen=True)
class Ruled:
    """What rules make of enriched hits."""

    hits: pl.DataFrame
    rejected: pl.DataFrame
    doubted: pl.DataFrame


def apply_rules(hits: pl.DataFrame, rules: pl.DataFrame) -> Ruled:
    found = claimed(hits.drop(RULED), rules)
    said = judged(found.hits, rules)
    return Ruled(said.hits, found.rejected, said.doubted)


def ruled(rules: pl.DataFrame, **changes: Any) -> dict[str, Any]:
    """A hit of the shop after the rules."""
    found = apply_rules(hit(measurement_id=SHOP, **changes), rules)
    assert found.rejected.is_empty()
    return found.hits.row(0, named=True)


def test_a_hit_has_the_property_of_its_measurement_id() -> None:
    found = ruled(shop(), event_name="purchase", received_at=NOON, event_at=NOON)

    assert (found["property_id"], found["rules_version"], found["slot_minutes"]) == (7, 1, 60)
    assert (found["session_gap_ms"], found["engagement_threshold_ms"]) == (1_800_000, 10_000)
    assert (found["settings_from"], found["is_key_event"]) == (SINCE_EVER, True)


def test_hits_of_nobody_are_rejected() -> None:
    hits = pl.concat([hit(measurement_id=some, hit_id=f"{some}-0000") for some in ("A", SHOP)])

    found = apply_rules(hits, shop())

    assert found.hits["measurement_id"].to_list() == [SHOP]
    assert found.rejected.select("request_id", "reason").rows() == [("A", "unknown_measurement_id")]


@pytest.mark.parametrize(
    ("received_at", "version", "is_key_event"),
    [(0, 1, False), (NOON, 1, False), (NOON + 1, 2, True), (NOON + L, 2, True)],
)
def test_the_version_in_force_on_receipt_decides(
    received_at: int, version: int, is_key_event: bool
) -> None:
    found = ruled(shop(FIRST, SECOND), received_at=received_at, event_at=0, event_name="sign_up")

    assert (found["rules_version"], found["is_key_event"]) == (version, is_key_event)


@pytest.mark.parametrize(
    ("event_at", "expected"),
    [
        (NOON, (600_000, 10_000, 90, 60, SINCE_EVER)),
        (NOON + 1, (600_000, 10_000, 90, 60, SINCE_EVER)),
        (NOON + L - 1, (600_000, 10_000, 90, 60, SINCE_EVER)),
        (NOON + L, (3_600_000, 20_000, 30, 30, NOON + L)),
        (NOON + 9 * L, (3_600_000, 20_000, 30, 30, NOON + L)),
    ],
)
def test_session_settings_take_effect_when_chains_may_be_cut(
    event_at: int, expected: tuple[int, int, int, int, int]
) -> None:
    found = ruled(shop(FIRST, SECOND), received_at=NOON + 10 * L, event_at=event_at)

    names = (
        "session_gap_ms", "engagement_threshold_ms", "attribution_lookback_days", "slot_minutes",
        "settings_from",
    )  # fmt: skip
    assert tuple(found[name] for name in names) == expected


def test_settings_saved_at_the_very_boundary_take_effect_there() -> None:
    second = version(2, NOON, session_gap_seconds=400)

    assert ruled(shop(FIRST, second), received_at=NOON, event_at=NOON)["settings_from"] == NOON


def test_a_version_that_leaves_the_settings_alone_cuts_no_chain() -> None:
    second = version(2, NOON, key_events=("x",))

    found = ruled(shop(version(), second), received_at=NOON + L, event_at=NOON + L)

    assert (found["settings_from"], found["rules_version"]) == (SINCE_EVER, 2)


def test_of_versions_that_begin_together_the_last_counts() -> None:
    middle = version(2, NOON + 5, session_gap_seconds=400)
    last = version(3, NOON + 9, session_gap_seconds=420)

    found = ruled(shop(FIRST, middle, last), received_at=NOON + L, event_at=NOON + L)

    assert found["session_gap_ms"] == 420_000


def test_settings_that_were_taken_back_before_they_began_cut_no_chain() -> None:
    middle = version(2, NOON + 5, session_gap_seconds=400)
    back = version(3, NOON + 9)
    rules = shop(version(), middle, back)

    assert settings_of(versions_of(rules))["since"].to_list() == [SINCE_EVER]


def test_a_first_version_holds_since_ever_whatever_it_says() -> None:
    late = version(1, NOON)

    found = ruled(shop(late), received_at=5, event_at=5)

    assert (found["rules_version"], found["settings_from"]) == (1, SINCE_EVER)


@given(
    st.lists(st.integers(-3 * L, 3 * L), max_size=4, unique=True),
    st.lists(st.tuples(st.integers(-4 * L, 9 * L), st.integers(0, 9 * L)), max_size=8),
)
def test_hits_are_ruled_alike_alone_and_together(
    starts: list[int], times: list[tuple[int, int]]
) -> None:
    versions = [
        version(2 + place, NOON + start, session_gap_seconds=400 + place)
        for place, start in enumerate(sorted(starts))
    ]
    rules = shop(version(), *versions)
    hits = [
        hit(measurement_id=SHOP, received_at=NOON + at, event_at=NOON + at - age)
        for at, age in times
    ]

    together = apply_rules(pl.concat([hit().clear(), *hits]), rules).hits

    alone = [apply_rules(one, rules).hits for one in hits]
    assert together.equals(pl.concat([hit().clear(), *alone]))
    for found in together.iter_rows(named=True):
        due = [v for v in versions if v.effective_at <= found["received_at"]]
        assert found["rules_version"] == max((v.version for v in due), default=1)
        aligned = [v for v in versions if -(-v.effective_at // L) * L <= found["event_at"]]
        gap = max((v.rules.session_gap_seconds for v in aligned), default=1800)
        assert found["session_gap_ms"] == gap * 1000


@pytest.mark.parametrize("with_params", [True, False])
def test_processing_gives_exactly_the_columns_of_a_hit(with_params: bool) -> None:
    for requests in (frame(), frame(web(f"tid={SHOP}&cid=1&en=a"), web("tid=X&cid=1&en=a"))):
        processed = process_requests(requests, lambda _: shop(), with_params=with_params)
        assert processed.hits.schema == HIT_SCHEMA
        assert processed.hits.columns == list(HIT_SCHEMA)


def test_processing_asks_for_the_rules_of_what_it_has_seen() -> None:
    asked: list[list[str]] = []

    def properties_of(measurement_ids: list[str]) -> pl.DataFrame:
        asked.append(measurement_ids)
        return pl.DataFrame(schema=PROPERTY_SCHEMA)

    requests = frame(*(web(f"tid={some}&cid=1&en=a") for some in ("B", "A", "B")), web("cid=1"))
    processed = process_requests(requests, properties_of)

    assert asked == [["A", "B"]]
    assert processed.hits.is_empty()
    reasons = processed.dead_letters["reason"].to_list()
    assert reasons.count("unknown_measurement_id") == 3


JANUARY_US = 1_767_225_600_000_000
"""Midnight of 2026-01-01."""
DAY_US = 86_400_000_000
RATED = version(
    currency="CHF",
    exchange_rates=(
        {"currency": "EUR", "since": "2026-01-01", "rate": "0.9"},
        {"currency": "EUR", "since": "2026-01-03", "rate": "0.95"},
        {"currency": "JPY", "since": "2026-01-01", "rate": "0.005123456"},
    ),
)


@pytest.mark.parametrize(
    ("currency", "sent_micros", "day", "micros"),
    [
        pytest.param("CHF", 19_900_000, 0, 19_900_000, id="the property's own"),
        pytest.param("", 19_900_000, 0, 19_900_000, id="none is named: the property's own"),
        pytest.param("EUR", 10_000_000, 0, 9_000_000, id="another one"),
        pytest.param("eur", 10_000_000, 0, 9_000_000, id="in small letters"),
        pytest.param("EUR", -10_000_000, 0, -9_000_000, id="a refund"),
        pytest.param("EUR", 10_000_000, 1.999, 9_000_000, id="until the next rate"),
        pytest.param("EUR", 10_000_000, 2, 9_500_000, id="from its day on"),
        pytest.param("EUR", 10_000_000, 900, 9_500_000, id="the last one goes on"),
        pytest.param("JPY", 100_000_000, 0, 512_346, id="rounded to the nearest micro"),
        pytest.param("EUR", 10**16, 0, 9 * 10**15, id="as much as there may be"),
    ],
)
def test_a_sale_is_worth_what_the_rate_of_its_day_says(
    currency: str, sent_micros: int, day: float, micros: int
) -> None:
    at = JANUARY_US + int(day * DAY_US)
    found = apply_rules(
        hit(measurement_id=SHOP, currency=currency, sent_value_micros=sent_micros, event_at=at),
        shop(RATED),
    )
    assert found.hits["value_micros"].item() == micros
    assert found.hits["sent_value_micros"].item() == sent_micros
    assert found.doubted.is_empty()


@pytest.mark.parametrize(
    ("currency", "day"),
    [pytest.param("EUR", -0.001, id="before the first rate"), pytest.param("USD", 0, id="no rate")],
)
def test_a_sale_without_a_rate_counts_without_its_value_and_says_so(
    currency: str, day: float
) -> None:
    at = JANUARY_US + int(day * DAY_US)
    found = apply_rules(
        pl.concat(
            [
                hit(measurement_id=SHOP, hit_id=f"{name}-0000", event_at=at, currency=some,
                    sent_value_micros=5_000_000)
                for name, some in (("A", "CHF"), ("B", currency))
            ]
        ),
        shop(RATED),
    )  # fmt: skip
    assert found.hits["value_micros"].to_list() == [5_000_000, 0]
    (doubt,) = found.doubted.rows(named=True)
    assert (doubt["request_id"], doubt["reason"]) == ("B", "missing_rate")
    assert doubt["detail"].startswith(f"expected a rate from {currency} to CHF for 202")


def test_a_hit_without_a_rate_is_a_hit_and_a_letter_of_its_own() -> None:
    """What comes out is held against what went in by ``rejected``, which it is not part of."""
    found = processed(web("v=2&tid=G-SHOP&cid=1&en=purchase&epn.value=5&cu=EUR"))

    assert found.hits.select("event_name", "value_micros").rows() == [("purchase", 0)]
    assert found.dead_letters.select("step", "reason").rows() == [("rules", "missing_rate")]
    assert len(found.entered) == 1
    assert found.rejected.is_empty()


HOSTS = version(allowed_hosts=("shop.test", "example.org"))
PAGES = {
    "an allowed host": ("shop.test", "", ""),
    "its subdomain": ("www.shop.test", "", ""),
    "a subdomain of that": ("a.b.example.org", "", ""),
    "another host": ("evil.test", "", "host"),
    "one that only ends alike": ("myshop.test", "", "host"),
    "what the host is a subdomain of": ("test", "", "host"),
    "no page": ("", "", ""),
    "another filter was first": ("evil.test", "bot", "bot"),
}


@pytest.mark.parametrize(("host", "before", "after"), PAGES.values(), ids=PAGES)
def test_hits_of_hosts_that_are_not_allowed_are_tagged(host: str, before: str, after: str) -> None:
    assert ruled(shop(HOSTS), host=host, excluded_by=before)["excluded_by"] == after


def test_a_property_without_hosts_takes_any() -> None:
    assert ruled(shop(), host="evil.test")["excluded_by"] == ""


def test_the_version_in_force_says_which_hosts_are_allowed() -> None:
    second = version(2, NOON, allowed_hosts=("new.test",))
    third = version(3, NOON + L)
    hits = pl.concat([
        hit(measurement_id=SHOP, host=host, received_at=at)
        for at in (NOON - 1, NOON, NOON + L)
        for host in ("shop.test", "new.test", "evil.test")
    ])  # fmt: skip
    found = apply_rules(hits, shop(HOSTS, second, third)).hits
    assert found["excluded_by"].to_list() == ["", "host", "host", "host", "", "host", "", "", ""]
    assert found["host"].to_list() == hits["host"].to_list()


@given(
    st.lists(st.sampled_from(["a.test", "b.test", "x.a.test", "xa.test", ""]), max_size=20),
    st.sets(st.sampled_from(["a.test", "b.test", "x.a.test"])),
)
def test_hosts_are_judged_as_one_by_one(pages: list[str], allowed: set[str]) -> None:
    rules = shop(version(allowed_hosts=tuple(sorted(allowed))))
    hits = pl.concat([hit().clear(), *(hit(measurement_id=SHOP, host=page) for page in pages)])
    expected = [
        "host"
        if allowed and page and not any(f".{page}".endswith(f".{host}") for host in allowed)
        else ""
        for page in pages
    ]
    assert apply_rules(hits, rules).hits["excluded_by"].to_list() == expected
