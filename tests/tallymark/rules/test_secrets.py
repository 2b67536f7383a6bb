"""Secrets that a collector did not know are judged by the keys in force at the time of receipt."""

from typing import Any

import pytest

from tallymark.processing import process_requests
from tallymark.properties import DataStream, HashedKey, Property, properties_frame, secret_hash
from tallymark.secret_verdicts import HASHED
from tests.tallymark.recorded import RECEIVED_AT, frame, server, version, web

EVENTS = '{"client_id": "1.2", "events": [{"name": "a"}, {"name": "b"}]}'


def stream(number: int, *keys: HashedKey) -> DataStream:
    return DataStream(measurement_id=f"G-{number}", api_secrets=keys)


PROPERTIES = properties_frame(
    [
        Property(
            property_id=7,
            name="Shop",
            data_streams=(
                stream(
                    1,
                    HashedKey(key_hash=secret_hash("lasting")),
                    HashedKey(key_hash=secret_hash("ended"), expires_at=RECEIVED_AT),
                    HashedKey(key_hash=secret_hash("ending"), expires_at=RECEIVED_AT + 1),
                ),
                stream(2, HashedKey(key_hash=secret_hash("other"))),
                stream(3),
            ),
            versions=(version(), version(2, 5)),
        )
    ]
)


def sent(secret: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    """Two events with a secret that the collector did not know."""
    query = f"measurement_id=G-{number}&api_secret=*"
    return server(EVENTS, query=query, secret_verdict=HASHED + secret_hash(secret), **changes)


@pytest.mark.parametrize(
    ("secret", "number", "counts"),
    [
        ("lasting", 1, True),
        ("ending", 1, True),
        ("ended", 1, False),
        ("made up", 1, False),
        ("other", 1, False),
        ("other", 2, True),
        ("lasting", 3, False),
        ("", 1, False),
    ],
)
def test_hits_count_whose_secret_was_that_of_a_key_in_force(
    secret: str, number: int, counts: bool
) -> None:
    valid = server(EVENTS, query="measurement_id=G-1&api_secret=*")
    page = web("v=2&tid=G-1&cid=1.2&en=page_view", secret_verdict=HASHED + secret_hash("x"))

    found = process_requests(frame(valid, sent(secret, number), page), lambda _: PROPERTIES)

    assert found.hits.get_column("event_name").to_list() == (
        ["a", "b", *(["a", "b"] if counts else []), "page_view"]
    )
    letters = found.dead_letters.select("reason", "step").rows()
    assert letters == ([] if counts else [("invalid_secret", "rules")])
    assert found.entered.len() == found.hits.height + found.rejected.len() == 5


def test_the_same_request_from_two_collectors_counts_where_one_knew_the_secret() -> None:
    once = sent("lasting", request_id="f" * 32)

    found = process_requests(frame(once, once | {"secret_verdict": "valid"}), lambda _: PROPERTIES)

    assert found.hits.height == 4
    assert found.dead_letters.is_empty()
