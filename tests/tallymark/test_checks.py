"""Checks that need no cells; those of cells are in ``tests/stores/test_reviews.py``."""

import orjson

from tallymark.checks import CHANGE_WITHIN_BOUNDS, CheckResult, adds_up, conservation, failed
from tallymark.conservation import Conservation
from tallymark.slots import HOUR_US

FIRST_US = 1_700_000_000_000_000 // HOUR_US * HOUR_US
WHOLE = Conservation(
    hits_in=21, counted=6, late=2, excluded=5, too_old=4, dead_lettered=3, repeated=2, of_others=1
)


def test_hits_that_are_all_found_pass() -> None:
    found = conservation({FIRST_US: WHOLE, FIRST_US + HOUR_US: Conservation()})
    assert found.passed
    assert found.reason == "21 hits of 2 received hours add up"
    assert found.numbers["counted"] == 6
    assert found.examples == ()


def test_an_hour_that_lost_hits_or_gained_them_is_named_though_both_make_up_for_each_other() -> (
    None
):
    lost, gained = Conservation(hits_in=7, counted=5), Conservation(hits_in=5, counted=7)
    found = conservation({FIRST_US + HOUR_US: gained, FIRST_US: lost, FIRST_US - HOUR_US: WHOLE})
    assert not found.passed
    assert "2 of 3 received hours do not add up" in found.reason
    assert "2023-11-14T22Z misses 2 of 7" in found.reason
    assert [example["unexplained"] for example in found.examples] == [2, -2]
    assert orjson.loads(orjson.dumps(found.to_json()))["passed"] is False


def test_only_a_change_may_be_overruled() -> None:
    def result(name: str, *, passed: bool) -> CheckResult:
        return CheckResult(name=name, passed=passed, reason="")

    change = result(CHANGE_WITHIN_BOUNDS, passed=False)
    assert adds_up([result("conservation", passed=True), change])
    assert not adds_up([result("conservation", passed=False), change])
    assert failed([result("conservation", passed=True), change]) == [change]
