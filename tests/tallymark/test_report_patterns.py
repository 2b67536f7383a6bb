"""Weights of regular expressions: what is large is found so before it is compiled."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.reports.patterns import MAX_WEIGHT, weight


@pytest.mark.parametrize(
    ("pattern", "states"),
    [
        ("", 0),
        ("shoes", 5),
        ("a{7}", 7),
        ("a{2,7}b", 8),
        ("(ab){3}", 9),
        ("((ab){3}c){10}", 110),
        (r"\pL{3}", 2_100),
        (r"\p{Greek}{3}", 2_100),
        (r"\w{2}x", 1_401),
        (r"\d{4}", 280),
        (".{3}", 30),
        ("a{", 2),
        ("(((", 0),
        (")a)", 3),
        ("{3}", 0),
        (r"\({3}", 3),
        ("a{0}", 1),
    ],
)
def test_a_pattern_weighs_what_it_repeats(pattern: str, states: int) -> None:
    assert weight(pattern) == states


@pytest.mark.parametrize(
    "pattern",
    [r"\pL{200}", r"(\w{10}){20}", "(((a{1,100}){1,100}){1,100}){1,100}", "((a{999}){999}){999}"],
)
def test_what_takes_long_to_compile_is_too_heavy(pattern: str) -> None:
    assert weight(pattern) > MAX_WEIGHT


@pytest.mark.parametrize(
    "pattern",
    [
        r"^/(product|category)/[^/]+/\d{4}-\d{2}-\d{2}$",
        r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}",
        r"[\w\-]{1,63}\.example\.com",
        ".*shoes.*|.*boots.*",
    ],
)
def test_what_people_ask_for_is_light(pattern: str) -> None:
    assert weight(pattern) * 2 < MAX_WEIGHT
    pl.Series([""]).str.contains(pattern)


@given(st.text(r"ab(){}[]\pLwd,.0123456789|", max_size=60))
def test_any_text_has_a_weight(pattern: str) -> None:
    assert weight(pattern) >= 0
