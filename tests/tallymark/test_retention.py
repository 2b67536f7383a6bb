"""Retention: since when hits are kept, by the rules in force and the deployment's limit."""

from dataclasses import replace
from typing import Any

import pytest

from tallymark.properties import SINCE_EVER, DataStream, Property
from tallymark.retention import NOBODY, Retention, kept_since, streams_of
from tallymark.slots import DAY_US, HOUR_US
from tests.tallymark.recorded import frame, server, version, web

NOW = 1_000 * DAY_US


def owner(*versions: tuple[int, int | None]) -> Property:
    """A property whose versions took effect so many hours ago, each with its retention."""
    first, *later = [
        version(number, NOW - hours * HOUR_US, **({} if days is None else {"retention_days": days}))
        for number, (hours, days) in enumerate(versions, 1)
    ]
    return Property(
        property_id=7,
        name="Shop",
        data_streams=(DataStream(measurement_id="G-SHOP"),),
        versions=(first, *later),
    )


CASES: dict[str, tuple[list[tuple[int, int | None]], int | None, int | None]] = {
    "no rule, no limit": ([(900, None)], None, None),
    "a rule": ([(900, 30)], None, 30),
    "a limit": ([(900, None)], 400, 400),
    "a rule within the limit": ([(900, 30)], 400, 30),
    "a rule beyond the limit": ([(900, 800)], 400, 400),
    "a first version that is new": ([(-1, 30)], None, 30),
    "shorter since less than a day": ([(900, 60), (23, 30)], None, 60),
    "shorter since a day": ([(900, 60), (24, 30)], None, 30),
    "limited since less than a day": ([(900, None), (23, 30)], None, None),
    "longer since an hour": ([(900, 30), (1, 60)], None, 60),
    "longer from now on": ([(900, 30), (0, 60)], None, 60),
    "longer soon": ([(900, 30), (-1, 60)], None, 30),
    "shorter for an hour, by mistake": ([(900, 60), (5, 7), (4, 60)], None, 60),
    "shorter long ago": ([(900, 7), (100, 60)], None, 60),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_of_all_that_was_in_force_for_a_day_the_longest_retention_holds(
    case: tuple[list[tuple[int, int | None]], int | None, int | None],
) -> None:
    versions, most, expected = case

    since = kept_since(owner(*versions), NOW, most)

    assert since == (SINCE_EVER if expected is None else NOW - expected * DAY_US)


def test_an_hour_is_due_once_its_last_request_is_old_enough() -> None:
    retention = Retention.of([owner((900, 30))], NOW, 400)
    old = NOW - 30 * DAY_US

    assert retention.is_due("G-SHOP", old - HOUR_US)
    assert not retention.is_due("G-SHOP", old - HOUR_US + 1)
    assert not retention.is_due("G-OTHER", old - HOUR_US)
    assert retention.is_due(NOBODY, NOW - 400 * DAY_US - HOUR_US)
    assert retention.latest == old


OWNERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a hit": (web("tid=G-A&cid=1.2&en=x"), ["G-A"]),
    "an id that is encoded": (web("tid=G%2DA&cid=1.2&en=x"), ["G-A"]),
    "hits of two": (web("cid=1.2", "en=x&tid=G-A\nen=y&tid=G-B"), ["G-A", "G-B"]),
    "a hit of one, and a page that names another": (
        web("tid=G-A&cid=1.2&en=x&dl=https%3A%2F%2Fa.b%2F%3Ftid%3DG-B"),
        ["G-A"],
    ),
    "a hit of somebody unknown": (web("tid=G-X&cid=1.2&en=x"), [NOBODY]),
    "no hit, and one that is named": (web("tid=G-A"), ["G-A"]),
    "no hit, and two that are named": (web("tid=G-A", "tid=G-B"), ["G-A", "G-B"]),
    "a server without a secret": (
        server("{}", query="measurement_id=G-A", secret_verdict=""),
        ["G-A"],
    ),
    "nothing": (web("", path="/favicon.ico"), [NOBODY]),
}


@pytest.mark.parametrize("case", OWNERS.values(), ids=list(OWNERS))
def test_a_request_is_of_those_whose_hits_it_holds_else_whom_it_names(
    case: tuple[dict[str, Any], list[str]],
) -> None:
    request, expected = case
    twice = frame(request | {"request_id": "0" * 32}, request | {"request_id": "0" * 32})

    found = streams_of(twice, {"G-A", "G-B"}.intersection)

    assert list(found.iter_rows()) == [(row, name) for row in (0, 1) for name in expected]


def test_properties_that_keep_as_long_as_all_are_no_exceptions() -> None:
    several = [owner((900, None)), replace(owner((900, 500)), property_id=8)]

    assert Retention.of(several, NOW, 400) == Retention(NOW - 400 * DAY_US)
