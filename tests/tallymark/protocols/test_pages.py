"""Addresses are cut into host, path and query."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.protocols.pages import pages

CASES = [
    ("", "", "", ""),
    ("https://Shop.Example:8080/Shoes?x=1&y#top", "shop.example", "/Shoes", "x=1&y"),
    ("https://shop.example", "shop.example", "/", ""),
    ("https://shop.example?x", "shop.example", "/", "x"),
    ("https://shop.example/#/route", "shop.example", "/", ""),
    ("//shop.example/a", "shop.example", "/a", ""),
    ("https://user:secret@shop.example/a", "shop.example", "/a", ""),
    ("http://[2001:db8::1]:80/a", "[2001:db8::1]", "/a", ""),
    ("/only/a//path?q", "", "/only/a//path", "q"),
    ("?q", "", "/", "q"),
    ("#f", "", "/", ""),
    ("about:blank", "", "about:blank", ""),
    ("https://shop.example//a//b?c?d#e#f", "shop.example", "//a//b", "c?d"),
    ("https://shop.example/a?_tml=1*2.3*4*5&x=1&_gl=9&y&_ga=1", "shop.example", "/a", "x=1&y"),
    ("https://shop.example/a?_gl=1&_tml=2&&x", "shop.example", "/a", "&x"),
    ("https://shop.example/a?_gl=1&_ga=2", "shop.example", "/a", ""),
    ("https://shop.example/a?x_gl=1&_gla=2&_gl", "shop.example", "/a", "x_gl=1&_gla=2&_gl"),
    ("android-app://com.example.app/x", "com.example.app", "/x", ""),
]


@pytest.mark.parametrize(("address", "host", "path", "query"), CASES)
def test_an_address_has_host_path_and_query(address: str, host: str, path: str, query: str) -> None:
    assert pages(pl.Series([address])).row(0) == (host, path, query)


PARTS = st.sampled_from(["_gl=", "_tml=1", "&", "?", "//a", "=", "x"])
ADDRESSES = st.one_of(
    st.text(alphabet="ab:/?#@[].-é\x00 ", max_size=20), st.lists(PARTS, max_size=8).map("".join)
)


@given(st.lists(ADDRESSES))
def test_addresses_are_cut_alike_alone_and_together(addresses: list[str]) -> None:
    together = pages(pl.Series(addresses, dtype=pl.String)).rows()

    assert together == [pages(pl.Series([address])).row(0) for address in addresses]
    paths = [path for _, path, _ in together]
    assert [path != "" for path in paths] == [address != "" for address in addresses]
