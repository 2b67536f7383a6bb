"""Quotas: what is used is counted once, whoever tells it, and what is used up is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.quotas import (
    NO_LIMIT,
    UNLIMITED,
    Account,
    Amount,
    Entry,
    Moment,
    QuotaExhaustedError,
    QuotaLedger,
    QuotaLimits,
)
from tallymark.reports.prices import price
from tallymark.slots import DAY_US, HOUR_US

NOW_US = 1_767_268_800_000_000  # 2026-01-01 12:00 UTC
SHOP = Account(1, "core", "ada")
LIMITS = QuotaLimits(
    tokens_per_day=100,
    tokens_per_hour=50,
    tokens_per_project_per_hour=20,
    concurrent_requests=2,
    server_errors_per_project_per_hour=1,
)


def at(now_us: int = NOW_US, time_zone: str = "UTC") -> Moment:
    return Moment.of(now_us, time_zone)


def ask(ledger: QuotaLedger, account: Account, tokens: int, moment: Moment | None = None) -> None:
    """A request that costs so many tokens."""
    moment = moment or at()
    ledger.begin(account, moment)
    ledger.charge(account, moment, tokens)
    ledger.end(account, moment)


def refusal(ledger: QuotaLedger, account: Account, moment: Moment) -> tuple[str, int]:
    with pytest.raises(QuotaExhaustedError) as raised:
        ledger.begin(account, moment)
    return str(raised.value).partition(".")[0], raised.value.retry_after_seconds


def test_a_caller_that_has_used_its_hour_waits_for_the_next() -> None:
    ledger = QuotaLedger(LIMITS)
    ask(ledger, SHOP, 25)  # what a request costs is known afterwards
    late = at(NOW_US + 50 * 60 * 1_000_000)
    assert refusal(ledger, SHOP, late) == (
        "Exhausted property tokens for a project per hour", 600
    )  # fmt: skip
    ask(ledger, SHOP, 1, at(NOW_US + HOUR_US))


def test_what_is_used_up_is_said_in_googles_words() -> None:
    ledger = QuotaLedger(LIMITS)
    ask(ledger, SHOP, 20)
    with pytest.raises(QuotaExhaustedError) as raised:
        ledger.begin(SHOP, at())
    assert str(raised.value) == (
        "Exhausted property tokens for a project per hour. These quota tokens will return in under"
        " an hour. To learn more, see"
        " https://developers.google.com/analytics/devguides/reporting/data/v1/quotas"
    )


def test_a_property_has_an_hour_and_a_day_however_many_ask() -> None:
    ledger = QuotaLedger(LIMITS)
    for caller in ("a", "b", "c"):
        ask(ledger, SHOP._replace(caller=caller), 20)
    assert refusal(ledger, SHOP, at())[0] == "Exhausted property tokens per hour"
    for hour in (1, 2):
        ask(ledger, SHOP, 20, at(NOW_US + hour * HOUR_US))
    evening = at(NOW_US + 3 * HOUR_US)
    assert refusal(ledger, SHOP, evening) == ("Exhausted property tokens per day", 9 * 3600)
    ask(ledger, SHOP, 1, at(NOW_US + DAY_US))


def test_a_day_is_one_of_the_propertys_time_zone() -> None:
    ledger = QuotaLedger(replace(LIMITS, tokens_per_hour=0, tokens_per_project_per_hour=0))
    auckland = at(time_zone="Pacific/Auckland")  # 1 o'clock of the next day
    ask(ledger, SHOP, 100, auckland)
    assert refusal(ledger, SHOP, auckland) == ("Exhausted property tokens per day", 23 * 3600)
    ask(ledger, SHOP, 1, at(NOW_US + 23 * HOUR_US, "Pacific/Auckland"))


@pytest.mark.parametrize(
    "other",
    [SHOP._replace(property_id=2), SHOP._replace(category="realtime")],
)
def test_nobody_uses_up_the_quotas_of_another(other: Account) -> None:
    ledger = QuotaLedger(LIMITS)
    ask(ledger, SHOP, 1_000)
    ledger.begin(other, at())
    ledger.begin(other, at())
    assert refusal(ledger, other, at())[0] == "Exhausted concurrent requests quota"
    assert refusal(ledger, SHOP, at())[0] == "Exhausted property tokens per day"


def test_requests_at_a_time_are_let_go_when_they_end() -> None:
    ledger = QuotaLedger(LIMITS)
    for _ in range(2):
        ledger.begin(SHOP, at())
    assert refusal(ledger, SHOP, at()) == ("Exhausted concurrent requests quota", 1)
    ledger.end(SHOP, at())
    ledger.begin(SHOP, at())
    for _ in range(2):
        ledger.end(SHOP, at())
    assert ledger.running == {}


def test_a_caller_whose_requests_break_the_server_is_stopped_alone() -> None:
    ledger = QuotaLedger(LIMITS)
    ledger.begin(SHOP, at())
    ledger.end(SHOP, at(), is_server_error=True)
    assert refusal(ledger, SHOP, at())[0] == "Exhausted server errors quota for a project per hour"
    ledger.begin(SHOP._replace(caller="eve"), at())


def test_what_is_left_is_told_as_google_tells_it() -> None:
    ledger = QuotaLedger(LIMITS)
    ask(ledger, SHOP._replace(caller="b"), 7)
    ledger.begin(SHOP, at())
    ledger.charge(SHOP, at(), 3)
    assert ledger.status(SHOP, at(), 3) == {
        "tokensPerDay": {"consumed": 3, "remaining": 90},
        "tokensPerHour": {"consumed": 3, "remaining": 40},
        "concurrentRequests": {"consumed": 0, "remaining": 2},
        "serverErrorsPerProjectPerHour": {"consumed": 0, "remaining": 1},
        "potentiallyThresholdedRequestsPerHour": {"consumed": 0, "remaining": 120},
        "tokensPerProjectPerHour": {"consumed": 3, "remaining": 17},
    }


def test_nothing_is_refused_where_nothing_is_limited() -> None:
    ledger = QuotaLedger(UNLIMITED)
    for _ in range(50):
        ledger.begin(SHOP, at())
        ledger.charge(SHOP, at(), 10**6)
    assert ledger.status(SHOP, at(), 1)["tokensPerDay"] == {"consumed": 1, "remaining": NO_LIMIT}


REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 2),  # the worker that answers
        st.integers(1, 3),  # whose property
        st.sampled_from("ab"),  # whose key
        st.integers(1, 30),  # tokens
        st.sets(st.integers(0, 2)),  # who hears of it now, some of it twice
    ),
    max_size=25,
)


@given(REQUESTS)
def test_workers_that_tell_each_other_count_as_one_does(
    requests: list[tuple[int, int, str, int, set[int]]],
) -> None:
    ample = QuotaLimits(tokens_per_day=10_000, tokens_per_hour=9_000)
    alone = QuotaLedger(ample)
    workers = [QuotaLedger(ample) for _ in range(3)]
    said: list[dict[Entry, Amount]] = [{} for _ in workers]
    for worker, property_id, caller, tokens, hearers in requests:
        account = Account(property_id, "core", caller)
        ask(alone, account, tokens)
        ask(workers[worker], account, tokens)
        said[worker] |= workers[worker].unsaid()
        for hearer in hearers - {worker}:
            workers[hearer].hear(str(worker), said[worker])
    for number, worker in enumerate(workers):
        for other in {0, 1, 2} - {number}:
            worker.hear(str(other), said[other])
        for property_id in (1, 2, 3):
            for caller in "ab":
                account = Account(property_id, "core", caller)
                assert worker.status(account, at(), 0) == alone.status(account, at(), 0)


def test_hours_that_are_over_are_forgotten_and_days_that_are_not_stay() -> None:
    ledger, other = QuotaLedger(LIMITS), QuotaLedger(LIMITS)
    ask(other, SHOP, 5)
    ledger.hear("other", other.unsaid())
    ask(ledger, SHOP, 5)
    ledger.forget(NOW_US + HOUR_US)
    next_hour = at(NOW_US + HOUR_US)
    left = ledger.status(SHOP, next_hour, 0)
    assert left["tokensPerDay"]["remaining"] == 90
    assert left["tokensPerHour"]["remaining"] == 50
    ledger.forget(NOW_US + 3 * DAY_US)
    assert ledger.status(SHOP, at(), 0)["tokensPerDay"]["remaining"] == 100


@pytest.mark.parametrize(
    ("read", "tokens"),
    [
        ({}, 1),
        ({"cell_bytes": 45_000, "rows": 20}, 1),
        ({"cell_bytes": 3_000_000, "rows": 10}, 3),
        ({"hits": 1_000_000}, 201),
        ({"rows": 250_000}, 101),
    ],
)
def test_a_price_follows_what_was_read_and_answered(read: dict[str, int], tokens: int) -> None:
    assert price(**read) == tokens
