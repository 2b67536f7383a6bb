"""Blocks: what travels over the bus is what was recorded."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tallymark.blocks import Block, block_of_message, encode_requests
from tallymark.requests import REQUEST_SCHEMA, NoRequestsError, as_requests, empty_requests
from tallymark.slots import HOUR_US
from tests.strategies import examples

texts = st.text(max_size=20)


@st.composite
def requests(draw: st.DrawFn) -> pl.DataFrame:
    kinds = {
        pl.String: texts,
        pl.Boolean: st.booleans(),
        pl.Int64: st.integers(-(2**63), 2**63 - 1),
    }
    rows = draw(
        st.lists(
            st.fixed_dictionaries({name: kinds[type_] for name, type_ in REQUEST_SCHEMA.items()}),  # type: ignore[index]
            max_size=4,
        )
    )
    return pl.DataFrame(rows, schema=REQUEST_SCHEMA)


def block(**changes: object) -> Block:
    values: dict[str, object] = {
        "spool_id": "spool",
        "number": 3,
        "kind": "requests",
        "frontier": 12 * HOUR_US,
        "requests": 2,
        "payload": b"",
    }
    return Block(**(values | changes))  # type: ignore[arg-type]


@examples(20)
@given(frame=requests())
def test_requests_survive_the_payload(frame: pl.DataFrame) -> None:
    payload = encode_requests(frame)
    assert_frame_equal(block(payload=payload).frame(), frame)
    assert (payload == b"") == frame.is_empty()


@examples(40)
@given(
    sent=st.builds(
        Block,
        spool_id=texts,
        number=st.integers(1, 2**40),
        kind=st.sampled_from(("opening", "requests", "heartbeat", "closing")),
        frontier=st.integers(0, 2**60),
        requests=st.integers(0, 5000),
        payload=st.binary(max_size=10),
        published_at=st.integers(0, 2**60),
    )
)
def test_a_block_survives_a_message(sent: Block) -> None:
    assert block_of_message(sent.payload, sent.attributes(), sent.published_at) == sent


@pytest.mark.parametrize("missing", ["spool_id", "number", "kind", "frontier", "requests"])
def test_a_message_without_an_attribute_is_refused_by_name(missing: str) -> None:
    attributes = block().attributes()
    del attributes[missing]
    with pytest.raises(ValueError, match=missing):
        block_of_message(b"", attributes, 0)


@pytest.mark.parametrize(("name", "value"), [("number", "three"), ("kind", "closed")])
def test_a_message_with_a_wrong_attribute_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=value):
        block_of_message(b"", block().attributes() | {name: value}, 0)


def test_an_empty_payload_is_no_requests() -> None:
    assert_frame_equal(block().frame(), empty_requests())


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda frame: frame.drop("request_id"), "it lacks request_id and has received_at, has_"),
        (lambda frame: frame.clear().select(), "it lacks request_id, received_at and has none"),
        (lambda frame: frame.with_columns(received_at=pl.lit("noon")),
         "expected received_at as Int64, got String"),
        (lambda frame: frame.with_columns(query=pl.lit(1), has_balancer_id=pl.lit(1)),
         "expected has_balancer_id as Boolean, got Int32; query as String, got Int32"),
    ],
)  # fmt: skip
def test_what_is_no_frame_of_requests_is_said_with_what_was_expected(made, says) -> None:
    with pytest.raises(NoRequestsError, match=says):
        as_requests(made(pl.DataFrame([{}], schema=REQUEST_SCHEMA)))


def test_columns_that_a_frame_lacks_are_empty_and_others_stay_behind() -> None:
    found = as_requests(
        pl.DataFrame({"more": [1.5], "received_at": [7], "request_id": ["a"]}).with_columns(
            pl.col("received_at").cast(pl.Int32)
        )
    )
    assert found.schema == pl.Schema([*REQUEST_SCHEMA.items(), ("more", pl.Float64)])
    assert found.select("request_id", "received_at", "query", "do_not_track", "more").rows() == [
        ("a", 7, "", False, 1.5)
    ]


@pytest.mark.parametrize(
    ("frontier", "hour"),
    [(12 * HOUR_US, 11), (12 * HOUR_US + 1, 12), (13 * HOUR_US - 1, 12), (13 * HOUR_US, 12)],
)
def test_a_block_lies_in_one_received_hour(frontier: int, hour: int) -> None:
    assert block(frontier=frontier).received_hour == hour * HOUR_US


def test_names_sort_by_number() -> None:
    names = [block(number=number).name for number in (1, 2, 10, 99, 100, 10**9)]
    assert names == sorted(names)
