"""Request ids are UUIDv7: time first, ascending, and the balancer's where there is one."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.request_ids import RequestIds, named_request_id

INSTANTS = st.integers(min_value=0, max_value=4_000_000_000_000_000)


@given(INSTANTS, INSTANTS, st.integers(min_value=0, max_value=2**64))
def test_ids_ascend_with_the_time_of_receipt(one, other, random_bits):
    ids = RequestIds(random_bits)
    assert (one < other) == (ids.at(one) < ids.at(other))


@given(INSTANTS, st.integers(min_value=0, max_value=2**64))
def test_an_id_is_a_uuid_of_version_7(received_at, random_bits):
    parsed = UUID(RequestIds(random_bits).at(received_at).decode())
    assert parsed.version == 7
    assert parsed.int >> 80 == received_at // 1_000


TIMES = {
    "seconds": ("1767268799", 1_767_268_799_000),
    "seconds and a fraction": ("t=1767268799.5", 1_767_268_799_500),
    "seconds and microseconds": ("1767268799.123456", 1_767_268_799_123),
    "milliseconds": ("1767268799123", 1_767_268_799_123),
    "microseconds": ("t=1767268799123456", 1_767_268_799_123),
}


@pytest.mark.parametrize(("told", "milliseconds"), TIMES.values(), ids=TIMES)
def test_the_time_part_is_the_balancers(told, milliseconds):
    request_id = named_request_id("r1", told)
    assert request_id is not None
    parsed = UUID(request_id.decode())
    assert parsed.version == 7
    assert parsed.int >> 80 == milliseconds
    assert request_id == named_request_id("r1", told)
    assert request_id != named_request_id("r2", told)


@pytest.mark.parametrize("told", ["", "now", "-1", "1e9", "1.x", "9" * 20, "9" * 40, "١٢٣"])
def test_a_time_that_cannot_be_read_makes_no_id(told):
    assert named_request_id("r1", told) is None


def test_a_time_without_an_id_makes_no_id():
    assert named_request_id("", "1767268799") is None
