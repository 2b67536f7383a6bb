"""What those are told who try a request out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.validation.measurement_protocol import validation_messages
from tallymark.validation.universal_analytics import hit_parsing_result
from tests.tallymark.recorded import RECEIVED_AT

HOUR_US = 3_600_000_000
GOOD: dict[str, Any] = {"client_id": "1.2", "events": [{"name": "sign_up", "params": {"a": 1}}]}


def event(**changes: Any) -> dict[str, Any]:
    return GOOD | {"events": [{"name": "sign_up"} | changes]}


def params(name: str = "sign_up", **changes: Any) -> dict[str, Any]:
    return event(name=name, params=changes)


def told(document: object) -> list[tuple[str, str]]:
    messages = validation_messages(json.dumps(document).encode(), RECEIVED_AT)
    return [(message["fieldPath"], message["validationCode"]) for message in messages]


@pytest.mark.parametrize(
    "document",
    [
        GOOD,
        GOOD | {"user_id": "u", "timestamp_micros": RECEIVED_AT - 71 * HOUR_US,
                "user_properties": {"level": {"value": "gold"}}, "consent": {}, "device": {}},
        {"app_instance_id": "a", "events": [{"name": "x"}]},
        params("purchase", currency="USD", value=3, transaction_id="T", items=[{"item_id": "s"}]),
        params(page_location="https://shop.example/" + "a" * 900),
        event(timestamp_micros=str(RECEIVED_AT)),
    ],
)  # fmt: skip
def test_a_good_request_has_no_messages(document: dict[str, Any]) -> None:
    assert told(document) == []


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([], ("", "VALUE_INVALID")),
        (GOOD | {"colour": 1}, ("colour", "VALUE_INVALID")),
        (GOOD | {"client_id": ""}, ("client_id", "VALUE_REQUIRED")),
        (GOOD | {"client_id": 5}, ("client_id", "VALUE_INVALID")),
        (GOOD | {"user_id": 5}, ("user_id", "VALUE_INVALID")),
        (GOOD | {"user_id": "u" * 257}, ("user_id", "VALUE_OUT_OF_BOUNDS")),
        (GOOD | {"timestamp_micros": RECEIVED_AT - 73 * HOUR_US},
         ("timestamp_micros", "VALUE_OUT_OF_BOUNDS")),
        (GOOD | {"timestamp_micros": "noon"}, ("timestamp_micros", "VALUE_INVALID")),
        (event(timestamp_micros=0), ("events[0].timestamp_micros", "VALUE_OUT_OF_BOUNDS")),
        (GOOD | {"user_properties": []}, ("user_properties", "VALUE_INVALID")),
        (GOOD | {"user_properties": {f"p{n}": {"value": 1} for n in range(26)}},
         ("user_properties", "EXCEEDED_MAX_ENTITIES")),
        (GOOD | {"user_properties": {"a" * 25: {"value": 1}}},
         ("user_properties." + "a" * 25, "NAME_INVALID")),
        (GOOD | {"user_properties": {"user_id": {"value": 1}}},
         ("user_properties.user_id", "NAME_RESERVED")),
        (GOOD | {"user_properties": {"level": {"value": "a" * 37}}},
         ("user_properties.level", "VALUE_OUT_OF_BOUNDS")),
        (GOOD | {"user_properties": {"level": "gold"}}, ("user_properties.level", "VALUE_INVALID")),
        (GOOD | {"events": []}, ("events", "VALUE_REQUIRED")),
        (GOOD | {"events": {}}, ("events", "VALUE_REQUIRED")),
        (GOOD | {"events": [{"name": "x"}] * 26}, ("events", "EXCEEDED_MAX_ENTITIES")),
        (GOOD | {"events": ["x"]}, ("events[0]", "VALUE_INVALID")),
        (event(name=""), ("events", "VALUE_REQUIRED")),
        (event(name="_bad"), ("events", "NAME_INVALID")),
        (event(name="bad-name"), ("events", "NAME_INVALID")),
        (event(name="a" * 41), ("events", "NAME_INVALID")),
        (event(name="session_start"), ("events", "NAME_RESERVED")),
        (event(name="firebase_x"), ("events", "NAME_RESERVED")),
        (event(params=[]), ("events[0].params", "VALUE_INVALID")),
        (params(**{f"p{n}": 1 for n in range(26)}), ("events[0].params", "EXCEEDED_MAX_ENTITIES")),
        (params(**{"a b": 1}), ("events[0].params.a b", "NAME_INVALID")),
        (params(ga_x=1), ("events[0].params.ga_x", "NAME_RESERVED")),
        (params(a="x" * 101), ("events[0].params.a", "VALUE_OUT_OF_BOUNDS")),
        (params(a={}), ("events[0].params.a", "VALUE_INVALID")),
        (params(currency="dollars"), ("events[0].params.currency", "VALUE_INVALID")),
        (params("purchase", value=1, transaction_id="T"),
         ("events[0].params.currency", "VALUE_REQUIRED")),
        (params("refund"), ("events[0].params.transaction_id", "VALUE_REQUIRED")),
        (params(items={}), ("events[0].params.items", "VALUE_INVALID")),
        (params(items=[{"item_id": "a"}] * 201),
         ("events[0].params.items", "EXCEEDED_MAX_ENTITIES")),
        (params(items=["a"]), ("events[0].params.items[0]", "VALUE_INVALID")),
        (params(items=[{"price": 1}]), ("events[0].params.items[0]", "VALUE_REQUIRED")),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_place_and_code(
    document: object, expected: tuple[str, str]
) -> None:
    assert told(document) == [expected]


def test_a_bad_first_letter_is_told_in_googles_words() -> None:
    (message,) = validation_messages(json.dumps(event(name="_badEventName")).encode(), RECEIVED_AT)

    assert message == {
        "fieldPath": "events",
        "description": "Event at index: [0] has invalid name [_badEventName]. Names must start "
        "with an alphabetic character.",
        "validationCode": "NAME_INVALID",
    }


def test_all_mistakes_are_told_together() -> None:
    assert len(told({"events": [{"name": "_a"}, {"name": "b", "params": {"c": None}}]})) == 3


@pytest.mark.parametrize("body", [b"{", b"\xff", b"", b" " * 130_001])
def test_a_body_that_cannot_be_read_is_one_mistake(body: bytes) -> None:
    assert len(validation_messages(body, RECEIVED_AT)) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["client_id", "events", "name", "params", "items", "value", "user_id",
                         "timestamp_micros", "user_properties", "currency", ""]), inner),
    max_leaves=15,
)  # fmt: skip


@given(JSON)
def test_any_document_is_answered_in_the_agreed_shape(document: object) -> None:
    for message in validation_messages(json.dumps(document).encode(), RECEIVED_AT):
        assert message.keys() == {"fieldPath", "description", "validationCode"}
        assert message["description"]


OLD = "v=1&tid=UA-1-1&cid=1"


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (f"{OLD}&t=pageview&dh=a.example&dp=/", []),
        (f"{OLD}&t=event&ec=a&ea=b", []),
        (f"{OLD}&t=item&ti=1&in=x", []),
        ("v=1&tid=UA-1-1&uid=7&t=screenview&cd=Home", []),
        (f"{OLD}&t=event", ["ec", "ea"]),
        (f"{OLD}&t=item&ti=1", ["in"]),
        (f"{OLD}&t=dance", ["t"]),
        ("t=event&ec=a&ea=b", ["v", "tid", "cid"]),
    ],
)
def test_an_old_payload_is_valid_or_says_which_parameter_is_not(
    query: str, parameters: list[str]
) -> None:
    (result,) = hit_parsing_result("GET", "/debug/collect", query, "")["hitParsingResult"]

    assert result["valid"] == (not parameters)
    assert [message["parameter"] for message in result["parserMessage"]] == parameters
    assert result["hit"] == f"GET /debug/collect?{query}"


def test_each_line_of_an_old_batch_is_looked_at() -> None:
    answer = hit_parsing_result("POST", "/debug/collect", "", f"{OLD}&t=pageview\n\nv=2")

    assert [result["valid"] for result in answer["hitParsingResult"]] == [True, False]
    assert answer["parserMessage"][0]["description"] == "Found 2 hits in the request."
