"""Erasure: which requests are a client's."""

from typing import Any

import pytest

from tallymark.erasure import requests_of_client
from tests.tallymark.recorded import frame, server, web

VIEW = "v=2&tid=G-A&en=page_view"
CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "its hit": (web(f"{VIEW}&cid=1.2"), True),
    "a longer id": (web(f"{VIEW}&cid=1.23"), False),
    "another's hit": (web(f"{VIEW}&cid=3.4&dl=https%3A%2F%2Fa.b%2F1.2"), False),
    "a hit of another property": (web("v=2&tid=G-B&en=page_view&cid=1.2"), False),
    "a hit that is not counted as its": (web(f"{VIEW}&cid=1.2&gcs=G100"), True),
    "one that is no hit": (web("v=2&tid=G-A&cid=1.2"), True),
    "one of several lines": (web("v=2&tid=G-A", "en=a&cid=3.4\nen=b&cid=1.2"), True),
    "a server's event": (
        server('{"client_id": "1.2", "events": [{"name": "a"}]}', query="measurement_id=G-A"),
        True,
    ),
    "another's event": (
        server('{"client_id": "3.4", "events": [{"name": "1.2"}]}', query="measurement_id=G-A"),
        False,
    ),
    "bytes that are no text": (web(VIEW, "/w==", body_encoding="base64"), False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_request_is_a_clients_by_its_hits_or_by_the_id_that_it_names(
    case: tuple[dict[str, Any], bool],
) -> None:
    request, expected = case
    others = [web(f"{VIEW}&cid=9.{number}") for number in range(3)]

    found = requests_of_client(frame(*others, request), ["G-A"], "1.2")

    assert found.to_list() == [False, False, False, expected]


def test_an_id_that_can_be_written_in_several_ways_is_found() -> None:
    spelled = frame(web(f"{VIEW}&cid=a%20b"), web(f"{VIEW}&cid=a+b"), web(f"{VIEW}&cid=a%2Bb"))

    found = requests_of_client(spelled, ["G-A"], "a b")

    assert found.to_list()[0]
    assert not found.to_list()[2]
