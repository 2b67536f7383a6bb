"""What holds of every adapter of the port ``RulesCache``."""

import time
from dataclasses import replace

import polars as pl
import pytest

from stores.rules_cache.port import RulesCache, UnaskedIdsError
from tallymark.properties import PROPERTY_SCHEMA, DataStream, properties_frame
from tests.stores.rules_cache.conftest import Source, eventually
from tests.stores.rules_cache.feed_server import measurement_id, shop


def ordered(frame: pl.DataFrame) -> list[dict]:
    return frame.sort("measurement_id", "rules_version").to_dicts()


def with_second_version(owner):
    second = replace(owner.versions[0], version=2, effective_at=2_000_000_000_000_000)
    return replace(owner, versions=(*owner.versions, second))


def with_app(owner):
    app = DataStream(measurement_id=measurement_id(99))
    return replace(owner, data_streams=(*owner.data_streams, app))


def test_a_property_is_found_by_its_number_and_by_each_of_its_measurement_ids(source: Source):
    owner = source.save(with_app(shop(1)))
    assert source.cache.by_property_id(owner.property_id) == owner
    assert [source.cache.by_measurement_id(one) for one in owner.measurement_ids] == [owner, owner]


def test_what_nobody_has_is_not_found(source: Source):
    source.save(shop(1))
    assert source.cache.by_measurement_id(measurement_id(2)) is None
    assert source.cache.by_property_id(1) is None


def test_the_frame_holds_all_versions_of_all_streams_asked_for_and_nothing_else(source: Source):
    one, two = source.save(with_second_version(with_app(shop(1)))), source.save(shop(2))
    source.save(shop(3))
    asked = [*one.measurement_ids, *two.measurement_ids, measurement_id(4)]
    for _ in range(2):
        frame = source.cache.frame(asked)
        assert frame.schema == PROPERTY_SCHEMA
        assert ordered(frame) == ordered(properties_frame([one, two]))
    assert source.cache.frame(one.measurement_ids[1:]).height == 2


def test_an_id_that_is_given_twice_has_its_rows_once(source: Source):
    source.save(shop(1))
    assert source.cache.frame([measurement_id(1)] * 3).height == 1


@pytest.mark.parametrize("junk", ["", "G-1", "g-0000000001", "G-00000000ÄÖ", "x" * 5_000, "\0"])
def test_what_cannot_be_an_id_is_left_out(source: Source, junk: str):
    source.save(shop(1))
    assert source.cache.frame([junk, measurement_id(1)]).height == 1
    assert source.cache.by_measurement_id(junk) is None


def test_of_no_ids_there_are_no_rows(source: Source):
    source.save(shop(1))
    assert source.cache.frame([]).is_empty()
    assert source.cache.frame([]).schema == PROPERTY_SCHEMA


def test_a_property_made_a_moment_ago_is_found_at_once(source: Source):
    source.save(shop(1))
    assert source.cache.frame([measurement_id(1)]).height == 1
    source.save(shop(2))
    assert source.cache.frame([measurement_id(2)]).height == 1
    assert source.cache.by_property_id(source.save(shop(3)).property_id) == shop(3)


def test_an_id_that_nobody_had_is_found_soon_after_somebody_has_it(source: Source):
    source.save(shop(1))
    assert source.cache.frame([measurement_id(2)]).is_empty()
    source.save(shop(2))
    eventually(lambda: source.cache.frame([measurement_id(2)]).height == 1)


def test_a_new_version_is_known_soon(source: Source):
    source.save(shop(1))
    assert source.cache.frame([measurement_id(1)]).height == 1
    changed = source.save(with_second_version(shop(1)))
    eventually(lambda: source.cache.frame([measurement_id(1)]).height == 2)
    assert source.cache.by_measurement_id(measurement_id(1)) == changed


def test_a_stream_that_is_taken_away_or_handed_on_is_soon_its_new_owners(source: Source):
    source.save(with_app(shop(1)))
    source.save(shop(2))
    assert source.cache.by_measurement_id(measurement_id(99)) == with_app(shop(1))
    source.save(shop(1))
    eventually(lambda: source.cache.by_measurement_id(measurement_id(99)) is None)
    assert source.cache.frame([measurement_id(99)]).is_empty()
    source.save(with_app(shop(2)))
    eventually(lambda: source.cache.by_measurement_id(measurement_id(99)) == with_app(shop(2)))


def test_all_properties_come_in_the_order_of_their_ids(source: Source):
    for number in (3, 1, 2):
        source.save(shop(number))
    assert list(source.cache.properties()) == [shop(1), shop(2), shop(3)]


def test_validity_moves_on_and_stands_still_when_the_source_is_gone(source: Source):
    source.save(shop(1))
    cache: RulesCache = source.cache
    assert cache.frame([measurement_id(1)]).height == 1
    first = cache.valid_through()
    source.save(shop(2))
    eventually(lambda: cache.valid_through() > first)
    source.fail()
    time.sleep(0.3)  # an answer may be under way
    last = cache.valid_through()
    assert cache.frame([measurement_id(1)]).height == 1
    assert cache.by_property_id(shop(1).property_id) == shop(1)
    time.sleep(0.1)
    assert cache.valid_through() == last


def test_without_the_source_known_ids_are_served_and_nothing_is_said_of_others(source: Source):
    source.save(shop(1))
    assert source.cache.frame([measurement_id(1)]).height == 1
    source.fail()
    frame, unasked = answer(source.cache, [measurement_id(1), measurement_id(2)])
    assert ordered(frame) == ordered(properties_frame([shop(1)]))
    assert unasked in ([], [measurement_id(2)])  # a file that is gone has said all there was


def answer(cache: RulesCache, ids: list[str]) -> tuple[pl.DataFrame, list[str]]:
    try:
        return cache.frame(ids), []
    except UnaskedIdsError as error:
        return error.known, error.unasked


def test_versions_hold_what_the_document_says(source: Source):
    owner = source.save(shop(1, time_zone="Asia/Kolkata", currency="INR", allowed_hosts=("a.in",)))
    assert source.cache.frame([measurement_id(1)]).equals(properties_frame([owner]))
