"""The Measurement Protocol: JSON and the hits in it."""

import json
from typing import Any

import pytest

from tallymark.protocol_limits import MAX_EVENTS
from tests.tallymark.recorded import RECEIVED_AT, SHOP, frame, item, processed, server, understood

HOUR_US = 3_600_000_000


def body(*events: Any, **changes: Any) -> str:
    """A document of one client's events."""
    return json.dumps({"client_id": "1.2", "events": list(events)} | changes)


def hit_of(**params: Any) -> dict[str, Any]:
    """The hit of one event with parameters."""
    decoded = understood(frame(server(body({"name": "purchase", "params": params}))))
    assert decoded.dead_letters.is_empty()
    return decoded.hits.row(0, named=True)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, {"measurement_id": SHOP, "client_id": "1.2", "event_name": "purchase"}),
        ({}, {"opens_session": False, "client_session_id": "", "country": "", "user_agent": ""}),
        ({"session_id": "77"}, {"opens_session": True, "client_session_id": "77"}),
        ({"session_id": 77}, {"opens_session": True, "client_session_id": "77"}),
        ({"engagement_time_msec": 1500}, {"engagement_ms": 1500}),
        ({"engagement_time_msec": "1500"}, {"engagement_ms": 1500}),
        ({"engagement_time_msec": -1}, {"engagement_ms": 0}),
        ({"engagement_time_msec": True}, {"engagement_ms": 0}),
        ({"page_location": "https://Shop.example/a?b", "page_title": "A",
          "page_referrer": "https://b.example/"},
         {"host": "shop.example", "path": "/a", "page_query": "b", "title": "A",
          "referrer": "https://b.example/"}),
        ({"value": 19.9, "currency": "EUR", "transaction_id": "T1"},
         {"sent_value_micros": 19_900_000, "currency": "EUR", "transaction_id": "T1"}),
        ({"value": "19.90"}, {"sent_value_micros": 19_900_000}),
        ({"value": 0.1}, {"sent_value_micros": 100_000}),
        ({"value": 10**30}, {"sent_value_micros": 0}),
        ({"value": []}, {"sent_value_micros": 0}),
        ({"transaction_id": 7}, {"transaction_id": "7"}),
        ({"colour": "blue", "size": 4.5, "gift": True, "tags": ["a"], "none": None},
         {"params": [{"key": "colour", "text": "blue", "micros": None},
                     {"key": "size", "text": "4.5", "micros": 4_500_000},
                     {"key": "gift", "text": "true", "micros": None},
                     {"key": "tags", "text": '["a"]', "micros": None}]}),
        ({"items": [{"item_id": 5, "price": 1.1, "quantity": 2, "discount": 0.1, "index": 3,
                     "item_category3": "C", "affiliation": "Outlet", "cut": "slim", "size": 42,
                     "tags": ["a"], "none": None}, {"item_name": "B"}, 3]},
         {"items": [item(item_id="5", price_micros=1_100_000, quantity=2, discount_micros=100_000,
                         index=3, item_category3="C", affiliation="Outlet",
                         params=[{"key": "cut", "text": "slim", "micros": None},
                                 {"key": "size", "text": "42", "micros": 42_000_000},
                                 {"key": "tags", "text": "", "micros": None}]),
                    item(item_name="B", quantity=1)]}),
        ({"items": "none"}, {"items": []}),
    ],
)  # fmt: skip
def test_an_event_is_a_hit(params: dict[str, Any], expected: dict[str, Any]) -> None:
    hit = hit_of(**params)

    assert {name: hit[name] for name in expected} == expected


def test_user_properties_are_of_every_event() -> None:
    properties = {"level": {"value": "gold"}, "age": {"value": 3}, "odd": 5, "none": {}}
    request = server(body({"name": "a"}, {"name": "b"}, user_properties=properties, user_id="u"))

    hits = understood(frame(request)).hits

    expected = [
        {"key": "level", "text": "gold", "micros": None},
        {"key": "age", "text": "3", "micros": 3_000_000},
    ]
    assert hits["user_properties"].to_list() == [expected, expected]
    assert hits["user_id"].to_list() == ["u", "u"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"user_location": {"country_id": "CH", "city": "Bern"}}, {"country": "CH"}),
        ({"user_location": {"country_id": "us"}}, {"country": "US"}),
        ({"user_location": {"country_id": "Mars"}}, {"country": ""}),
        ({"user_location": ["CH"]}, {"country": ""}),
        ({"device": {"language": "de-CH", "screen_resolution": "800x600"}},
         {"language": "de-ch", "screen_resolution": "800x600", "user_agent": ""}),
        ({"device": "phone"}, {"user_agent": ""}),
    ],
)  # fmt: skip
def test_a_server_may_say_where_and_on_what_its_client_is(
    said: dict[str, Any], expected: dict[str, Any]
) -> None:
    hit = understood(frame(server(body({"name": "a"}, **said)))).hits.row(0, named=True)

    assert {name: hit[name] for name in expected} == expected


def test_the_device_that_a_server_names_is_that_of_the_hit() -> None:
    device = {"category": "mobile", "operating_system": "Android", "browser": "Chrome; odd"}

    hit = processed(server(body({"name": "a"}, device=device))).hits.row(0, named=True)

    assert (hit["device_category"], hit["operating_system"]) == ("mobile", "Android")
    assert hit["browser"] == "Chrome  odd"


def test_of_too_many_or_too_long_parameters_what_is_allowed_is_kept() -> None:
    params: dict[str, Any] = {f"p{index:02}": "x" * 150 for index in range(30)}
    properties = {f"u{index:02}": {"value": "y" * 50} for index in range(30)}
    event = {"name": "a", "params": {"n" * 41: 1, **params}}
    request = server(body(event, user_properties={"m" * 25: {"value": 1}, **properties}))

    hit = understood(frame(request)).hits.row(0, named=True)

    kept = [param["key"] for param in hit["params"]]
    assert kept == [f"p{index:02}" for index in range(25)]
    assert {param["text"] for param in hit["params"]} == {"x" * 100}
    assert [one["key"] for one in hit["user_properties"]] == [f"u{index:02}" for index in range(25)]
    assert {one["text"] for one in hit["user_properties"]} == {"y" * 36}


@pytest.mark.parametrize(
    ("of_request", "of_event", "event_at", "excluded_by"),
    [
        (None, None, RECEIVED_AT, ""),
        (RECEIVED_AT - 5, None, RECEIVED_AT - 5, ""),
        (RECEIVED_AT - 5, RECEIVED_AT - 9, RECEIVED_AT - 9, ""),
        (str(RECEIVED_AT - 5), None, RECEIVED_AT - 5, ""),
        (float(RECEIVED_AT - 5), None, RECEIVED_AT - 5, ""),
        (RECEIVED_AT + 5, None, RECEIVED_AT, ""),
        (10**30, None, RECEIVED_AT, ""),
        ("soon", None, RECEIVED_AT, ""),
        ([1], True, RECEIVED_AT, ""),
        (RECEIVED_AT - 72 * HOUR_US, None, RECEIVED_AT - 72 * HOUR_US, ""),
        (RECEIVED_AT - 72 * HOUR_US - 1, None, RECEIVED_AT - 72 * HOUR_US - 1, "too_old"),
        (0, None, 0, "too_old"),
        (-5, None, 0, "too_old"),
    ],
)
def test_an_event_happens_when_the_sender_says_if_that_can_be(
    of_request: Any, of_event: Any, event_at: int, excluded_by: str
) -> None:
    event = {"name": "a", "timestamp_micros": of_event}

    hit = understood(frame(server(body(event, timestamp_micros=of_request)))).hits.row(
        0, named=True
    )

    assert (hit["event_at"], hit["excluded_by"]) == (event_at, excluded_by)


def test_the_client_is_hashed_as_the_tracker_sends_it() -> None:
    numeric = understood(frame(server(body({"name": "a"}, client_id=12)))).hits
    text = understood(frame(server(body({"name": "a"}, client_id="12")))).hits

    assert numeric["client_hash"].to_list() == text["client_hash"].to_list()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no_json"),
        ("{", "no_json"),
        ("[" * 100_000, "no_json"),
        ('{"client_id":"1","events":[{"name":"\\ud800"}]}', "no_json"),
        ("null", "wrong_shape"),
        ("[[[]]]", "wrong_shape"),
        ("{}", "wrong_shape"),
        (body(), "wrong_shape"),
        (body(events=5), "wrong_shape"),
        (body(1, None, [], "x"), "wrong_shape"),
        (body(*[{"name": "a"}] * (MAX_EVENTS + 1)), "too_many_events"),
        (body({}), "missing_event_name"),
        (body({"name": 5}), "missing_event_name"),
        (body({"name": "a"}, client_id={"a": 1}), "missing_client_id"),
        (body({"name": "a"}, client_id=None), "missing_client_id"),
    ],
)
def test_what_is_no_list_of_events_is_a_dead_letter(text: str, reason: str) -> None:
    decoded = understood(frame(server(text)))

    assert decoded.hits.is_empty()
    assert decoded.dead_letters["reason"].to_list() == [reason]


@pytest.mark.parametrize(
    "text",
    [
        '{"client_id":"1.2","events":[{"name":"purchase","params":{"value":1e999}}]}',
        body({"name": "a", "params": [1]}),
        body({"name": "a", "params": {"deep": [[[[{"a": [1]}]]]]}}, user_properties=[1]),
        '{"client_id":"1\\u0000","events":[{"name":"\\u0000"}]}',
    ],
)
def test_odd_parameters_do_not_keep_an_event_from_being_a_hit(text: str) -> None:
    decoded = understood(frame(server(text)))

    outcomes = decoded.hits.height, decoded.dead_letters["reason"].to_list()
    assert outcomes in [(1, []), (0, ["no_json"])]


def test_a_bad_event_does_not_take_the_good_ones_with_it() -> None:
    decoded = understood(frame(server(body({"name": "a"}, 5, {"name": "b"}))))

    assert [hit_id[-4:] for hit_id in decoded.hits["hit_id"]] == ["0000", "0002"]
    assert decoded.dead_letters["reason"].to_list() == ["wrong_shape"]
