"""Numbers are exact."""

from decimal import ROUND_HALF_EVEN, Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.protocols.numbers import MAX_ENGAGEMENT_MS, MAX_MICROS, engagement_ms_of, micros_of

AMOUNTS = st.decimals(-9_999_999_999, 9_999_999_999, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("19.9", 19_900_000),
        ("-0.000001", -1),
        ("0.1", 100_000),
        ("12", 12_000_000),
        ("+12.", 12_000_000),
        (".5", 500_000),
        ("1e3", 1_000_000_000),
        ("0.0000005", 0),
        ("0.0000015", 2),
        ("0.0000025", 2),
        ("10000000000", MAX_MICROS),
        ("10000000000.000001", None),
        ("9" * 400, None),
        ("1e9999", None),
        ("1e999999999999", None),
        ("1e-9999", 0),
        ("", None),
        ("1,5", None),
        ("1_000", None),
        ("٣", None),
        ("nan", None),
        ("inf", None),
        (" 5", None),
        ("5\n", None),
    ],
)
def test_text_becomes_micros_without_a_float_on_the_way(text: str, micros: int | None) -> None:
    assert micros_of(pl.Series([text, "1"])).to_list() == [micros, 1_000_000]


@given(st.lists(AMOUNTS))
def test_micros_are_the_decimal_rounded_half_to_even(amounts: list[Decimal]) -> None:
    exact = [int((amount * 10**6).to_integral_value(ROUND_HALF_EVEN)) for amount in amounts]

    found = micros_of(pl.Series([str(amount) for amount in amounts], dtype=pl.String))

    assert found.to_list() == exact


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1234", 1234),
        ("1234.9", 1234),
        ("-5", 0),
        ("", 0),
        ("soon", 0),
        ("99999999999", MAX_ENGAGEMENT_MS),
        ("9" * 30, 0),
    ],
)
def test_engagement_is_whole_milliseconds_of_a_day_at_most(text: str, milliseconds: int) -> None:
    assert engagement_ms_of(pl.Series([text])).to_list() == [milliseconds]
