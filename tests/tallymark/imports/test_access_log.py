"""Access logs: a line of a page is a page view; every other line is told with its reason."""

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.imports.access_log import networks_of, requests_of
from tallymark.imports.conversion import IMPORTED_SCHEMA, MAX_RECORD_CHARACTERS, REASONS, Converted
from tallymark.protocols import decode
from tallymark.requests import REQUEST_SCHEMA

END_US = 1_500_000_000_000_000
SALT = b"0123456789abcdef"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:24.0) Gecko/20140205 Firefox/24.0"


def _line(
    target: str = "/",
    *,
    address: str = "203.0.113.77",
    user: str = "-",
    time: str = "17/May/2015:10:05:03 +0000",
    method: str = "GET",
    status: int | str = 200,
    referrer: str = "-",
    user_agent: str = FIREFOX,
) -> str:
    request = f"{method} {target} HTTP/1.1"
    return f'{address} - {user} [{time}] "{request}" {status} 512 "{referrer}" "{user_agent}"'


def _converted(*lines: str, host: str = "www.shop.example", salt: bytes = SALT) -> Converted:
    rows = pl.DataFrame({"line": lines}, schema={"line": pl.String}).with_row_index("row", 1)
    found = requests_of(rows.cast({"row": pl.Int64}), "G-SHOP", host=host, salt=salt, end_us=END_US)
    assert found.requests.schema == IMPORTED_SCHEMA
    assert len(found.requests) + len(found.skipped) == len(lines), "each line is in one of the two"
    return found


def _hits(*lines: str, host: str = "www.shop.example") -> pl.DataFrame:
    requests = _converted(*lines, host=host).requests
    ids = requests.with_columns(request_id=pl.col("row").cast(pl.String).str.zfill(32))
    decoded = decode(ids.select(list(REQUEST_SCHEMA)))
    assert decoded.dead_letters.is_empty()
    return decoded.hits


def test_a_line_of_a_page_is_a_page_view_received_when_it_was_answered() -> None:
    line = _line("/a%20b?utm_source=x&y=1", referrer="https://search.example/?q=caf%C3%A9")
    [hit] = _hits(line).rows(named=True)

    assert hit["event_name"] == "page_view"
    assert hit["measurement_id"] == "G-SHOP"
    assert hit["received_at"] == hit["event_at"] == 1_431_857_103_000_000
    assert (hit["host"], hit["path"]) == ("www.shop.example", "/a%20b")
    assert hit["page_query"] == "utm_source=x&y=1"
    assert hit["referrer"] == "https://search.example/?q=caf%C3%A9"
    assert hit["user_agent"] == FIREFOX
    assert hit["opens_session"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not_combined"),
        ("no log at all", "not_combined"),
        (_line()[:-1], "not_combined"),
        ('203.0.113.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5', "not_combined"),
        (_line(time="17/Mai/2015:10:05:03 +0000"), "not_combined"),
        (_line(time="31/Feb/2015:10:05:03 +0000"), "not_combined"),
        (_line(status="-"), "not_combined"),
        (_line(method="POST"), "method"),
        (_line(method="get"), "method"),
        (_line(r"\x16\x03\x01", method=""), "method"),
        (_line(status=404), "status"),
        (_line(status=206), "status"),
        (_line("http://elsewhere.example/"), "no_path"),
        (_line("*"), "no_path"),
        (_line("/a.CSS?v=2"), "asset"),
        (_line("/feed/atom.xml"), "asset"),
        (_line("/" + "x" * MAX_RECORD_CHARACTERS), "too_long"),
        (_line(time="17/May/1999:10:05:03 +0000"), "time_out_of_range"),
        (_line(time="17/May/2035:10:05:03 +0000"), "time_out_of_range"),
    ],
)
def test_what_is_no_view_of_a_page_is_skipped_with_its_reason(line: str, reason: str) -> None:
    found = _converted(_line(), line)
    [(row, told, example)] = found.skipped.rows()

    assert (row, told) == (2, reason)
    assert line.startswith(example)
    assert reason in REASONS


@pytest.mark.parametrize(
    "line",
    [
        _line(status=304),
        _line(method="HEAD"),
        _line("/search.html?file=a.css"),
        _line("/v1.2/page"),
        _line(user="frank doe"),
        _line(user="[odd]"),
        _line(time="17/May/2015:12:05:03 +0200"),
        _line(referrer=r"https://x.example/\"quoted\""),
        _line() + ' "more" 0.031',
        _line() + "\r",
        "  " + _line(),
    ],
)
def test_lines_that_servers_write_a_little_differently_are_page_views_too(line: str) -> None:
    [received_at] = _converted(line).requests.get_column("received_at")
    assert received_at == 1_431_857_103_000_000


@pytest.mark.parametrize(
    ("logged", "sent"),
    [
        ("-", ""),
        ("", ""),
        (r"a \"b\" c", 'a "b" c'),
        (r"back\\slash", r"back\slash"),
        (r"caf\xc3\xa9", "café"),
        (r"caf\xe9", "café"),
        ("naïve", "naïve"),
    ],
)
def test_what_the_server_escaped_is_as_the_browser_sent_it(logged: str, sent: str) -> None:
    [user_agent] = _converted(_line(user_agent=logged)).requests.get_column("user_agent")
    assert user_agent == sent


def test_no_whole_address_and_no_name_of_a_user_is_in_a_request() -> None:
    found = _converted(
        _line(address="203.0.113.77", user="frank"),
        _line(address="2001:db8:1:2:3:4:5:6", user="frank"),
        _line(address="host.provider.example", user="frank"),
    )
    assert found.requests.get_column("ip_network").to_list() == [
        "203.0.113.0/24",
        "2001:db8:1::/48",
        "",
    ]
    text = str(found.requests.rows())
    assert not re.search(r"203\.0\.113\.77|2:3:4|provider|frank", text)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:DB8::1", "2001:db8::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("::1", "::/48"),
        ("localhost", ""),
        ("-", ""),
        ("1.2.3", ""),
    ],
)
def test_a_network_is_what_is_left_of_an_address(address: str, network: str) -> None:
    assert networks_of(pl.Series([address, "192.0.2.9"])).to_list() == [network, "192.0.2.0/24"]


def test_a_visitor_is_a_network_and_a_user_agent() -> None:
    lines = (
        _line(address="203.0.113.77"),
        _line(address="203.0.113.78"),
        _line(address="203.0.114.77"),
        _line(address="203.0.113.77", user_agent="other"),
        _line(address="a.example"),
        _line(address="b.example"),
    )
    visitors = _converted(*lines).requests.get_column("visitor_hash").to_list()
    salted = _converted(*lines, salt=b"f" * 16).requests.get_column("visitor_hash").to_list()

    assert visitors[0] == visitors[1]
    assert len(set(visitors)) == 5
    assert not set(visitors) & set(salted), "another import knows nobody again"


def test_without_a_host_pages_have_a_path_alone() -> None:
    [hit] = _hits(_line("/page?x=1"), host="").rows(named=True)
    assert (hit["host"], hit["path"], hit["page_query"]) == ("", "/page", "x=1")


def test_a_path_that_begins_with_two_slashes_names_no_other_host() -> None:
    [hit] = _hits(_line("//evil.example/x"), host="").rows(named=True)
    assert (hit["host"], hit["path"]) == ("", "/evil.example/x")


PARTS = st.one_of(
    st.sampled_from(list('"\\[] -\t\0\ufffdé/%&#?')),
    st.sampled_from([_line(), "GET", "17/May/2015:10:05:03 +0000", "200", "203.0.113.77", "::1"]),
)


@given(st.lists(st.lists(PARTS, max_size=12).map("".join), max_size=8))
def test_whatever_a_line_holds_it_is_counted_once(lines: list[str]) -> None:
    _converted(*lines)


@given(st.lists(PARTS, max_size=12).map("".join), st.lists(PARTS, max_size=12).map("".join))
def test_whatever_is_between_quotes_is_decoded(referrer: str, user_agent: str) -> None:
    quoted = [re.sub(r'(["\\])', r"\\\1", text) for text in (referrer, user_agent)]
    [hit] = _hits(_line(referrer=quoted[0], user_agent=quoted[1])).rows(named=True)

    assert hit["referrer"] == ("" if referrer == "-" else referrer)
    assert hit["user_agent"] == ("" if user_agent == "-" else user_agent)
