"""Pairs of query strings: cut in bytes as the obvious program cuts them in text."""

from urllib.parse import quote, unquote_plus

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.protocols import octets, query_pairs
from tallymark.protocols.known_keys import KnownKeys
from tallymark.protocols.query_pairs import PAIR_SCHEMA, columns_of, pairs_of

KEYS = (
    "v", "dt", "_et", "ep.value", "epn.value", "ep.currency", "ep.transaction_id", "köln",
    "a" * 8, "a" * 9, "b" * 24,
)  # fmt: skip
KNOWN = KnownKeys(KEYS)
COLUMNS = {"value": ("epn.value", "ep.value"), **{key: (key,) for key in KEYS}}


def everything_escaped(key: str) -> str:
    """Each byte of a key as an escape."""
    return "".join(f"%{octet:02x}" for octet in key.encode())


def key_spellings() -> st.SearchStrategy[str]:
    """Known keys, as they are and encoded, and what nearly is one."""
    known = st.sampled_from(KEYS)
    return st.one_of(
        known,
        known.map(everything_escaped),
        known.map(quote),
        known.map(lambda key: f"{key}x"),
        known.map(lambda key: f"{key}\0"),
        known.map(lambda key: key[:-1]),
        known.map(lambda key: f"{key[:-1]}+"),
        st.just("c" * 5_000),
    )


def queries() -> st.SearchStrategy[str]:
    """Query strings, sound and broken."""
    noise = st.text("&=%+ab\0é日🛒4", max_size=12)
    value = st.one_of(noise, st.text(max_size=30), st.sampled_from(["", "x" * 12, "x" * 13]))
    pair = st.tuples(key_spellings(), st.sampled_from(["=", "=", "", "=="]), value).map("".join)
    return st.lists(st.one_of(pair, noise), max_size=8).map("&".join)


def plain_pairs(query: str) -> list[tuple[str, str]]:
    """Decoded keys and values as sent."""
    parts = [part.partition("=") for part in query.split("&")]
    return [(unquote_plus(key), value) for key, _, value in parts if key]


def assert_cut_as_plain(texts: list[str]) -> None:
    """Columns and other pairs are those of ``plain_pairs``."""
    series = pl.Series(texts, dtype=pl.String)
    alone = columns_of(pairs_of(series, KNOWN), COLUMNS, len(texts))
    pairs = pairs_of(series, KNOWN, others=True)
    beside = columns_of(pairs, COLUMNS, len(texts))
    first_sent = [dict(reversed(plain_pairs(text))) for text in texts]
    for column, names in COLUMNS.items():
        expected = [
            next((unquote_plus(sent[name]) for name in names if name in sent), "")
            for sent in first_sent
        ]
        assert alone[column].to_list() == expected
        assert beside[column].to_list() == expected
    for without in ((), ("dt", "ep.transaction_id")):
        assert pairs.frame(without=without).rows() == [
            (row, key, value)
            for row, text in enumerate(texts)
            for key, value in plain_pairs(text)
            if key not in without
        ]


@given(st.lists(queries(), max_size=6))
@settings(max_examples=150)
def test_bytes_are_cut_as_text_is(texts: list[str]) -> None:
    assert_cut_as_plain(texts)


@pytest.mark.parametrize("window_bytes", [1, 64])
def test_rows_may_be_cut_in_any_windows(window_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_pairs, "_WINDOW_BYTES", window_bytes)

    assert_cut_as_plain(["", "dt=a&v=1", "&&", "", f"dt={'é' * 500}&v=2", "v", "=x", "%64t=b", ""])


def test_text_beyond_the_reach_of_a_view_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(octets, "_REACH_BITS", 5)

    assert_cut_as_plain([f"dt=page number {number:010d}&v={'x' * number}" for number in range(30)])


def test_a_part_of_a_column_is_cut_like_a_whole_one() -> None:
    column = pl.concat([pl.Series(["dt=one&v=1", "dt=two"]), pl.Series(["v=3", "dt=four&dt=no"])])

    sent = columns_of(pairs_of(column.slice(1, 3), KNOWN), COLUMNS, 3)

    assert sent["dt"].to_list() == ["two", "", "four"]
    assert sent["v"].to_list() == ["", "3", ""]


def test_huge_values_and_many_pairs_pass() -> None:
    assert_cut_as_plain([f"dt={'ö' * 1_000_000}&v=1", "v=2&" * 50_000 + "dt=last"])


def test_pairs_have_one_schema() -> None:
    nothing = pairs_of(pl.Series([], dtype=pl.String), KNOWN, others=True)

    assert nothing.frame(without=()).schema == PAIR_SCHEMA


def test_keys_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="first 8 bytes"):
        KnownKeys(["transaction", "transactiom"])
