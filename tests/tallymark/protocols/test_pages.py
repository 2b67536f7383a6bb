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
    ("android-app://com.example.app/x", "com.example.app", "/x", ""),
]


@pytest.mark.parametrize(("address", "host", "path", "query"), CASES)
def test_an_address_has_host_path_and_query(address: str, host: str, path: str, query: str) -> None:
    assert pages(pl.Series([address])).row(0) == (host, path, query)


@given(st.lists(st.text(alphabet="ab:/?#@[].-é\x00 ", max_size=20)))
def test_addresses_are_cut_alike_alone_and_together(addresses: list[str]) -> None:
    together = pages(pl.Series(addresses, dtype=pl.String)).rows()

    assert together == [pages(pl.Series([address])).row(0) for address in addresses]
    paths = [path for _, path, _ in together]
    assert [path != "" for path in paths] == [address != "" for address in addresses]
