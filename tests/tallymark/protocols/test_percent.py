"""Percent-decoding of columns is urllib's."""

from urllib.parse import quote, unquote_plus

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.protocols.percent import percent_decoded, percent_encoded


def _is_utf8(text: str) -> bool:
    return text == text.encode("utf-8", "ignore").decode()


ESCAPE = st.one_of(
    st.integers(0, 255).map(lambda code: f"%{code:02X}"),
    st.integers(0, 255).map(lambda code: f"%{code:02x}"),
    st.sampled_from(["%", "+", "%%", "%4", "%zz", "é", "%2", "5", "%C3", "\x00"]),
    st.text(max_size=3),
)
ENCODED = st.lists(ESCAPE, max_size=12).map("".join).filter(_is_utf8)


@given(st.lists(ENCODED, max_size=20))
def test_a_column_is_decoded_as_urllib_decodes_each_value(values: list[str]) -> None:
    column = pl.Series(values, dtype=pl.String)

    assert percent_decoded(column).to_list() == [unquote_plus(value) for value in values]
    assert column.to_list() == values, "the column itself is left alone"


@given(st.lists(st.text().filter(_is_utf8)))
def test_what_was_encoded_comes_back(values: list[str]) -> None:
    column = pl.Series([quote(value) for value in values], dtype=pl.String)

    assert percent_decoded(column).to_list() == values


@given(st.lists(st.one_of(st.none(), st.text().filter(_is_utf8))))
def test_a_column_is_encoded_as_urllib_encodes_each_value(values: list[str | None]) -> None:
    column = pl.Series(values, dtype=pl.String)
    encoded = [None if value is None else quote(value, safe="") for value in values]

    assert percent_encoded(column).to_list() == encoded
    assert column.to_list() == values, "the column itself is left alone"


@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        ("", ""),
        ("a+b%20c", "a b c"),
        ("%2B%2b", "++"),
        ("%252F", "%2F"),
        ("%4%31", "%41"),
        ("%", "%"),
        ("%zz%4", "%zz%4"),
        ("caf%C3%A9", "café"),
        ("caf%c3%a9+%26", "café &"),
        ("%FF%FE", "\ufffd\ufffd"),
        ("%00", "\x00"),
    ],
)
def test_each_kind_of_escape(encoded: str, decoded: str) -> None:
    assert percent_decoded(pl.Series([encoded, "plain"])).to_list() == [decoded, "plain"]
