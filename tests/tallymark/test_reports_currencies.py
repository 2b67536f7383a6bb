"""Amounts in another currency than the property's."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.reports import InvalidRequestError
from tallymark.reports.currencies import DatedRate, Money
from tallymark.slots import DAY_US
from tests.tallymark.report_cells import NOON_US, asks, report_of, values

MIDNIGHT_US = NOON_US // DAY_US * DAY_US
RATES = [
    DatedRate("USD", MIDNIGHT_US, 900_000_000),
    DatedRate("USD", MIDNIGHT_US - DAY_US, 800_000_000),
    DatedRate("GBP", MIDNIGHT_US - 40 * DAY_US, 1_250_000_000),
]
ROWS = [
    {"hour": 0, "value_micros": 90_000_000, "active_users": {1, 2}},
    {"hour": -13, "value_micros": 80_000_000},
    {"hour": -14, "value_micros": -8_000_000},
]
TWO_DAYS = {"dateRanges": [{"startDate": "yesterday", "endDate": "today"}]}


def test_amounts_are_converted_by_the_rate_of_their_day() -> None:
    request = asks("date", "totalRevenue averageRevenuePerUser", currencyCode="USD", **TWO_DAYS)
    report = report_of(ROWS, request, rates=RATES)
    assert values(report["rows"]) == [("20231115", "100", "50"), ("20231114", "90", "0")]
    assert report["metadata"]["currencyCode"] == "USD"
    in_pounds = report_of(ROWS, asks("", "purchaseRevenue", currencyCode="GBP"), rates=RATES)
    assert values(in_pounds["rows"]) == [("129.6",)]


def test_the_own_currency_needs_no_rate() -> None:
    for asked in ("", "EUR"):
        report = report_of(ROWS, asks("", "totalRevenue", currencyCode=asked))
        assert values(report["rows"]) == [("162",)]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (asks("", "totalRevenue", currencyCode="JPY"), "rates of (of EUR, GBP, USD), got JPY"),
        (
            asks("", "totalRevenue", currencyCode="USD"),
            "expected date ranges that begin when the rates of USD do, on 2023-11-14 (UTC)",
        ),
    ],
)
def test_without_a_rate_nothing_is_converted(request_: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        report_of(ROWS, request_, rates=RATES)
    assert said in str(raised.value)


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**18))
def test_a_converted_amount_is_the_nearest(micros: int, rate_nanos: int) -> None:
    money = Money("USD", (DatedRate("USD", 0, rate_nanos),))
    (found,) = money.converted(pl.Series([micros]), np.array([1]))
    exact = Decimal(micros) * 10**9 / rate_nanos
    nearest = int(exact.quantize(Decimal(1), ROUND_HALF_UP)) if abs(exact) < 10**18 else None
    assert found == nearest or abs(exact) >= 10**15
