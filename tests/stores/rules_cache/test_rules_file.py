import logging
import secrets

import pytest

from stores.rules_cache.file import FileRulesCache
from stores.rules_cache.problems import InvalidPropertyError
from tallymark.properties import PROPERTY_SCHEMA
from tallymark.rules_delay import RULES_DELAY_SECONDS
from tests.property_files import create_property


class Clock:
    """UTC seconds that move when told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "properties.json"


def made(path, name="Shop"):
    return create_property(path, name=name, random_bytes=secrets.token_bytes).created


def test_properties_are_found_by_both_ids(path, clock):
    shop = made(path)
    cache = FileRulesCache(path, clock=clock)
    assert cache.by_measurement_id(shop.measurement_ids[0]) == shop
    assert cache.by_property_id(shop.property_id) == shop
    assert cache.by_measurement_id("G-0000000000") is None
    assert cache.by_property_id(1) is None
    assert list(cache.properties()) == [shop]


def test_the_frame_holds_the_properties_asked_for_and_leaves_out_unknown_ones(path, clock):
    shop, other = made(path), made(path, "Other")
    cache = FileRulesCache(path, clock=clock)
    frame = cache.frame([shop.measurement_ids[0], "G-0000000000"])
    assert frame.schema == PROPERTY_SCHEMA
    assert frame["property_id"].to_list() == [shop.property_id]
    assert cache.frame([other.measurement_ids[0], shop.measurement_ids[0]]).height == 2
    assert cache.frame([]).schema == PROPERTY_SCHEMA


def test_without_a_file_there_are_no_properties_until_it_comes(path, clock):
    cache = FileRulesCache(path, clock=clock)
    assert list(cache.properties()) == []
    shop = made(path)
    clock.seconds += 1
    assert list(cache.properties()) == [shop]


def test_the_file_is_looked_at_once_a_second_at_most(path, clock):
    cache = FileRulesCache(path, clock=clock)
    shop = made(path)
    clock.seconds += 0.9
    assert list(cache.properties()) == []
    clock.seconds += 0.1
    assert list(cache.properties()) == [shop]


def test_a_property_made_a_moment_ago_is_found_by_its_number(path, clock):
    cache = FileRulesCache(path, clock=clock)
    shop = made(path)
    assert cache.by_property_id(shop.property_id) == shop


def test_hits_of_a_property_made_a_moment_ago_find_it(path, clock):
    made(path)
    cache = FileRulesCache(path, clock=clock)
    new = made(path, "New")
    assert cache.frame([new.measurement_ids[0]])["property_id"].to_list() == [new.property_id]


def test_a_clock_put_back_does_not_stop_the_looking(path, clock):
    cache = FileRulesCache(path, clock=clock)
    shop = made(path)
    clock.seconds -= 500
    assert cache.by_property_id(shop.property_id) == shop


@pytest.mark.parametrize("breakage", ["broken", "gone"])
def test_a_file_that_breaks_leaves_the_last_good_copy_with_one_loud_line(
    path, clock, caplog, breakage
):
    shop = made(path)
    cache = FileRulesCache(path, clock=clock)
    good = path.read_bytes()
    valid = cache.valid_through()
    path.unlink()
    if breakage == "broken":
        path.write_text("{")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            clock.seconds += 1
            assert list(cache.properties()) == [shop]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert cache.valid_through() == valid

    path.write_bytes(good)
    clock.seconds += 1
    assert list(cache.properties()) == [shop]
    assert cache.valid_through() > valid


def test_a_file_that_is_broken_from_the_start_is_an_error(path, clock):
    path.write_text("{")
    with pytest.raises(InvalidPropertyError):
        FileRulesCache(path, clock=clock)


def test_rules_are_valid_for_the_delay_after_each_look(path, clock):
    cache = FileRulesCache(path, clock=clock)
    assert cache.valid_through() == (1_000 + RULES_DELAY_SECONDS) * 1_000_000
    clock.seconds += 5
    assert cache.valid_through() == (1_005 + RULES_DELAY_SECONDS) * 1_000_000
