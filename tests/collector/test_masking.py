"""Addresses and secrets never reach the disk."""

import gzip
import zlib
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.masking import MASK, NAMES, masked_body, masked_query, may_hold_masked
from tests.collector.workers import everything_written, worker_at

VALUE = "198.51.100.23"


def spellings(name: str) -> list[str]:
    first = f"%{ord(name[0]):02x}{name[1:]}"
    every = "".join(f"%{ord(char):02X}" for char in name)
    return [name, name.upper(), first, every, f"ep.{name}", f"up%2E{name}"]


SPELLED = [spelling for name in NAMES for spelling in spellings(name)]


@pytest.mark.parametrize("name", SPELLED)
@pytest.mark.parametrize("template", ["{}", "v=2&{}", "{}&en=x", "a=%20b&{}&c=%41", "?{}"])
def test_a_query_keeps_the_name_and_loses_the_value(name, template):
    masked, _ = masked_query(template.format(f"{name}={VALUE}"))
    assert masked == template.format(f"{name}={MASK}")


@pytest.mark.parametrize("name", SPELLED)
@pytest.mark.parametrize("template", ["{}", "en=a\n{}", "en=a\r\nx=1&{}\r\nen=b", "en=%41&{}"])
def test_a_line_of_a_body_keeps_the_name_and_loses_the_value(name, template):
    masked, _ = masked_body(template.format(f"{name}={VALUE}"))
    assert masked == template.format(f"{name}={MASK}")


def escaped(name: str) -> list[str]:
    return [name, f"\\u{ord(name[0]):04x}{name[1:]}", "".join(f"\\u{ord(c):04X}" for c in name)]


JSON_VALUES = [f'"{VALUE}"', f'["{VALUE}"]', f'{{"value": "{VALUE}"}}', f'"a\\"{VALUE}"', "1981"]


@pytest.mark.parametrize("name", [spelling for name in NAMES for spelling in escaped(name)])
@pytest.mark.parametrize("value", JSON_VALUES)
def test_a_json_body_keeps_the_key_and_loses_the_value(name, value):
    template = '{"client_id": "1", "events": [{"params": {"%s" : %s, "x": 1.50}}], "y": "a:b"}'
    masked, _ = masked_body(template % (name, value))
    assert masked == template % (name, f'"{MASK}"')


@pytest.mark.parametrize("value", [f'"{VALUE}', f'["{VALUE}"', "[" * 5_000 + VALUE])
def test_a_json_value_that_does_not_end_is_masked_to_the_end(value):
    masked, _ = masked_body('{"ip_override": ' + value)
    assert masked == '{"ip_override": "*"'


def test_query_strings_in_json_are_masked():
    body = '{"requests":["?idsite=1&cip=198.51.100.23&rec=1","?token_auth=abc"],"token_auth":"abc"}'
    masked, _ = masked_body(body)
    assert masked == '{"requests":["?idsite=1&cip=*&rec=1","?token_auth=*"],"token_auth":"*"}'


@pytest.mark.parametrize(
    ("query", "secret"),
    [
        ("api_secret=a%2Fb", "a/b"),
        ("x=1&api%5Fsecret=first&api_secret=second", "first"),
        ("ep.api_secret=no", ""),
        ("", ""),
    ],
)
def test_the_secret_of_a_query_is_handed_on_for_its_verdict(query, secret):
    assert masked_query(query)[1] == secret


def test_the_secret_of_a_json_body_is_handed_on_for_its_verdict():
    assert masked_body('{"api\\u005fsecret": "a\\u002fb"}')[1] == "a/b"


@pytest.mark.parametrize(
    "harmless",
    [
        "v=2&tid=G-1&ul=de&equip=no&ep.zip_code=8000&dl=https%3A%2F%2Fx.test%2F",
        "recipe=1&ep.my_uip_x=1",
        '{"equip": 1, "events": [{"name": "ip", "text": "\\u00e9"}]}',
        "",
    ],
)
def test_other_parameters_stay_as_they_came(harmless):
    assert masked_query(harmless)[0] == harmless
    assert masked_body(harmless)[0] == harmless


@given(
    st.sampled_from(SPELLED),
    st.lists(st.tuples(st.text(max_size=5), st.text(max_size=8)), max_size=5),
    st.lists(st.tuples(st.text(max_size=5), st.text(max_size=8)), max_size=5),
)
def test_whatever_stands_around_it_the_value_is_gone(name, before, after):
    pairs = ["=".join(map(quote, pair)) for pair in before]
    pairs += [f"{name}=SECRETVALUE", *("=".join(map(quote, pair)) for pair in after)]
    for masked in (masked_query("&".join(pairs))[0], masked_body("\n".join(pairs))[0]):
        assert "SECRETVALUE" not in masked


@pytest.mark.parametrize("name", SPELLED)
def test_the_cheap_question_misses_no_name_however_it_is_spelled(name):
    assert may_hold_masked(f"v=2&{name}={VALUE}", "")
    assert may_hold_masked("", f"en=a\nEP%2e{name}={VALUE}")


@pytest.mark.parametrize("name", [spelling for name in NAMES for spelling in escaped(name)])
def test_the_cheap_question_misses_no_key_however_it_is_escaped(name):
    assert may_hold_masked("v=2", f'{{"{name}": "{VALUE}"}}')


def test_the_cheap_question_is_answered_no_for_what_most_sites_send():
    hit = "v=2&tid=G-1&cid=1.2&ul=de&dl=https%3A%2F%2Fx.test%2Fshipping&en=page_view&ep.tip=1"
    assert not may_hold_masked(hit, "en=scroll&_et=5000\r\nen=purchase&ep.zip=8000")


PIECES = st.sampled_from(
    [*SPELLED, "ip", "u", "%75", "%", "&", "=", "\n", '"', "\\u0075", ":", "1"]
)


@given(
    st.lists(PIECES, max_size=12).map("".join), st.one_of(st.text(), st.lists(PIECES).map("".join))
)
def test_where_the_cheap_question_is_answered_no_there_is_nothing_to_mask(query, body):
    if not may_hold_masked(query, body):
        assert masked_query(query) == (query, "")
        assert masked_body(body) == (body, "")


@given(st.text())
def test_masking_twice_is_masking_once(text):
    once = masked_body(text)[0]
    assert masked_body(once)[0] == once


def test_masking_takes_time_in_proportion_to_the_body():
    # Each once made some pattern quadratic; the timeout of the suite is the bound.
    for unit in (
        '\\"',
        "&%",
        "?",
        "%",
        '"ip_override"  ',
        "&u",
        '"',
        "\\u0069",
        "[",
        "&uip=&",
        " ",
    ):
        masked_body("{" + unit * (1_000_000 // len(unit)))
        masked_body(unit * (1_000_000 // len(unit)))


LEAKS = {
    "query": ("_uip=198.51.100.23&api_secret=TOPSECRET", b"", {}),
    "encoded query": ("%5Fuip=198.51.100.23&api%5fsecret=TOPSECRET", b"", {}),
    "lines": ("v=2", b"en=a&uip=198.51.100.23\nen=b&api_secret=TOPSECRET", {}),
    "JSON": ("v=2", b'{"ip_override":"198.51.100.23","api_secret":"TOPSECRET"}', {}),
    "no text": ("v=2", b"\xff&uip=198.51.100.23&api_secret=TOPSECRET", {}),
    "gzip": (
        "v=2",
        gzip.compress(b'{"ip_override":"198.51.100.23","api_secret":"TOPSECRET"}'),
        {"HTTP_CONTENT_ENCODING": "gzip"},
    ),
    "deflate": (
        "v=2",
        zlib.compress(b"api_secret=TOPSECRET"),
        {"HTTP_CONTENT_ENCODING": "deflate"},
    ),
    "unknown packing": ("v=2", b"TOPSECRET", {"HTTP_CONTENT_ENCODING": "br"}),
    "the peer's own address": ("v=2", b"", {"REMOTE_ADDR": "198.51.100.23"}),
}


@pytest.mark.parametrize(("query", "body", "headers"), LEAKS.values(), ids=LEAKS)
def test_nothing_on_disk_tells_an_address_or_a_secret(tmp_path: Path, query, body, headers):
    with worker_at(tmp_path) as collector:
        assert collector.ask("/mp/collect", query, body, **headers).status == 204
        assert len(collector.rows()) == 1
    written = everything_written(tmp_path)
    assert b"198.51.100.23" not in written
    assert b"TOPSECRET" not in written


def test_a_body_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path):
    with worker_at(tmp_path) as collector:
        bomb = gzip.compress(b"x" * 50_000_000)
        assert collector.ask("/g/collect", "", bomb, HTTP_CONTENT_ENCODING="gzip").status == 413
