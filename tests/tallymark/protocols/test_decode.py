"""Decoding: nothing raises, nothing is lost silently, and frames may be cut anywhere."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.dead_letters import REASONS
from tallymark.hits import DEAD_LETTER_SCHEMA
from tallymark.protocols import DECODERS, decode
from tallymark.protocols.events import DECODED_SCHEMA
from tallymark.requests import REQUEST_SCHEMA, empty_requests
from tests.tallymark.recorded import SHOP, frame, processed, server, web

GOOD = f"tid={SHOP}&cid=1&en=a"
EVENT = json.dumps({"client_id": "1", "events": [{"name": "a"}]})
REJECTED: dict[str, dict[str, Any]] = {
    "unknown_path": web(GOOD, path="/c/collect"),
    "not_utf8": web(GOOD, "//4=", body_encoding="base64"),
    "too_many_lines": web(GOOD, "a\n" * 1001),
    "too_many_events": server(json.dumps({"client_id": "1", "events": [{"name": "a"}] * 26})),
    "no_json": server("{"),
    "wrong_shape": server("[]"),
    "invalid_secret": server(EVENT, secret_verdict="invalid"),
    "missing_measurement_id": web("cid=1&en=a"),
    "missing_client_id": web(f"tid={SHOP}&en=a", visitor_hash=""),
    "missing_event_name": web(f"tid={SHOP}&cid=1"),
    "unknown_measurement_id": web("tid=G-NOBODY&cid=1&en=a"),
}

TEXT = st.text(
    st.one_of(st.sampled_from("&=%+\n\r~.\x00é1a"), st.characters(codec="utf-8")), max_size=40
)
WORDS = st.sampled_from(
    ["tid", "cid", "en", "dl", "dr", "dt", "_et", "_fv", "ep.a", "epn.value", "up.b", "pr1", "cs",
     "=", "&", "\n", "\r\n", "%C3%A9", "%ff", "%", "+", SHOP, "page_view", "1e9", "-3",
     "//x/y?utm_source=z", "&t=pageview", "&pa=add", "&pr1id=a", "&pr2qt=x", "&dp=a", "&qt=9"]
)  # fmt: skip
QUERIES = st.one_of(TEXT, st.lists(WORDS, max_size=30).map("".join))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["client_id", "events", "name", "params", "items", "value", "session_id",
                         "timestamp_micros", "user_properties", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
WEB = st.builds(
    lambda query, body, good, path: web(f"{GOOD}&{query}" if good else query, body, path=path),
    QUERIES,
    QUERIES,
    st.booleans(),
    st.sampled_from([path for path in DECODERS if path != "/mp/collect"]),
)
EVENTS = st.lists(st.dictionaries(st.sampled_from(["name", "params"]), JSON), max_size=3)
SERVER = st.one_of(
    st.builds(server, TEXT),
    st.builds(lambda value: server(json.dumps(value)), JSON),
    st.builds(
        lambda events: server(json.dumps({"client_id": "1", "events": events}, default=str)), EVENTS
    ),
)
REQUESTS = st.lists(st.one_of(WEB, SERVER, st.sampled_from(list(REJECTED.values()))), max_size=8)


def test_there_is_an_example_of_every_reason_that_processing_gives() -> None:
    elsewhere = {"failed", "unreadable_block", "missing_rate", "rules_unavailable"}
    assert REJECTED.keys() == REASONS.keys() - elsewhere, (
        "of these one is given where it raises, one where blocks are read, one to hits that count, "
        "one where the rules are gone"
    )


@pytest.mark.parametrize("reason", REJECTED)
def test_every_reason_for_a_dead_letter_comes_with_the_request(reason: str) -> None:
    letters = processed(web(GOOD), REJECTED[reason]).dead_letters

    letter = letters.row(0, named=True)
    assert letters.schema == DEAD_LETTER_SCHEMA
    assert letters["reason"].to_list() == [reason]
    assert letter["detail"].startswith(("expected", "event"))
    expected = frame(web(GOOD), REJECTED[reason]).row(1, named=True)
    assert json.loads(letter["request"]) == expected
    assert letter["step"] == ("rules" if reason == "unknown_measurement_id" else "decode")


def test_a_dead_letter_can_be_replayed() -> None:
    request = web('é%00\x00"\\\n\x1f=&=', "not utf8?", client_hints='{"a":"\\"b\\""}')
    letter = processed(request).dead_letters.row(0, named=True)

    again = pl.DataFrame([json.loads(letter["request"])], schema=REQUEST_SCHEMA)

    assert again.equals(frame(request))


def test_a_thousand_bad_lines_are_one_dead_letter() -> None:
    letters = decode(frame(web(f"tid={SHOP}&cid=1", "dt=x\n" * 1000))).dead_letters

    assert letters.height == 1
    assert letters["detail"][0].endswith("(and 999 more like it)")


def test_a_bad_line_does_not_take_the_good_ones_with_it() -> None:
    decoded = decode(frame(web(f"tid={SHOP}&cid=1", "en=a\ndt=nameless\nen=b")))

    assert [hit_id[-4:] for hit_id in decoded.hits["hit_id"]] == ["0000", "0002"]
    assert decoded.dead_letters["reason"].to_list() == ["missing_event_name"]


def test_hits_are_in_the_order_of_their_requests() -> None:
    decoded = decode(frame(server(EVENT), web(GOOD, "en=x\nen=y"), server(EVENT), web(GOOD)))

    assert decoded.hits["hit_id"].is_sorted()
    assert decoded.hits["event_name"].to_list() == ["a", "x", "y", "a", "a"]


def test_no_requests_are_no_hits() -> None:
    decoded = decode(empty_requests())

    assert decoded.hits.schema == DECODED_SCHEMA
    assert decoded.hits.is_empty()
    assert decoded.dead_letters.schema == DEAD_LETTER_SCHEMA


def test_columns_that_are_none_of_a_request_are_not_kept() -> None:
    requests = frame(web(GOOD), web("")).with_columns(block=pl.lit(5))

    decoded = decode(requests)

    assert "block" not in decoded.hits.columns
    assert "block" not in json.loads(decoded.dead_letters["request"][0])


@pytest.mark.parametrize("path", DECODERS)
def test_every_protocol_accepts_nothing_at_all(path: str) -> None:
    decoded = decode(frame(web("", path=path)))

    assert decoded.hits.is_empty()
    assert decoded.dead_letters.height == 1


@given(REQUESTS, st.booleans())
def test_every_request_becomes_a_hit_or_a_dead_letter(
    requests: list[dict[str, Any]], with_params: bool
) -> None:
    sent = frame(*requests)

    result = processed(*requests, with_params=with_params)

    hit_ids = set(result.hits["hit_id"].str.head(32))
    assert hit_ids | set(result.dead_letters["request_id"]) == set(sent["request_id"])
    assert result.hits["hit_id"].is_unique().all()
    assert set(result.dead_letters["reason"]) <= set(REASONS)
    assert result.hits.select(pl.col(pl.String).null_count()).sum_horizontal().sum() == 0
    assert result.hits.filter(pl.col("event_at") > pl.col("received_at")).is_empty()


@given(REQUESTS, st.booleans())
def test_requests_come_to_the_same_alone_and_together(
    requests: list[dict[str, Any]], with_params: bool
) -> None:
    numbered = frame(*requests).to_dicts()

    together = processed(*numbered, with_params=with_params)
    alone = [processed(one, with_params=with_params) for one in numbered]

    assert together.hits.to_dicts() == [hit for one in alone for hit in one.hits.to_dicts()]
    letters = [letter for one in alone for letter in one.dead_letters.to_dicts()]
    assert _sorted(together.dead_letters.to_dicts()) == _sorted(letters)


def _sorted(letters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(letters, key=lambda letter: (letter["request_id"], letter["reason"]))
