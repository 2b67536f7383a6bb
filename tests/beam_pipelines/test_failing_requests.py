"""Requests that processing fails on, and what fails for another reason."""

import json
import logging
from collections.abc import Callable
from zoneinfo import ZoneInfoNotFoundError

import polars as pl
import pytest

from beam_pipelines import cores, failing_requests
from beam_pipelines.blocks import ProcessedBlocks, process_blocks
from beam_pipelines.failing_requests import (
    MAX_FAILED,
    BrokenProcessingError,
    FailureTally,
    process_what_can_be,
)
from stores.rules_cache.port import RulesUnavailableError, UnaskedIdsError
from tallymark import processing
from tallymark.blocks import Block, encode_requests
from tallymark.dead_letters import REASONS
from tallymark.hits import DEAD_LETTER_SCHEMA, HIT_SCHEMA
from tallymark.pointer_map import FOR_EVER
from tests.tallymark.recorded import SHOP, frame, shop, web

POISON = "poison"


def requests(count: int, poisoned: set[int]) -> pl.DataFrame:
    """``count`` page views, the poisoned ones by their title; every seventh has no client."""
    return frame(
        *(
            web(
                f"tid={SHOP}&en=page_view&dl=https%3A%2F%2Fshop.test%2F{number}"
                f"&dt={POISON if number in poisoned else 'tea'}"
                + ("" if number % 7 == 3 and number not in poisoned else "&cid=1"),
                visitor_hash="",
            )
            for number in range(count)
        )
    )


class Fault:
    """A step of processing that fails on poison; knows how often it was tried."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.tries = 0

    def __call__(self, hits: pl.DataFrame) -> pl.DataFrame:
        self.tries += 1
        if (hits["title"] == POISON).any():
            raise self.error
        return hits


@pytest.fixture(name="fault")
def _fault(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], Fault]:
    def plant(error: BaseException) -> Fault:
        fault = Fault(error)
        monkeypatch.setattr(processing, "ENRICHMENTS", (*processing.ENRICHMENTS, fault))
        return fault

    return plant


def rules(_measurement_ids: list[str]) -> pl.DataFrame:
    return shop()


@pytest.mark.parametrize("part_requests", [1, pytest.param(20, marks=pytest.mark.slow), 10_000])
@pytest.mark.parametrize(
    ("count", "poisoned"),
    [
        pytest.param(1, {0}, id="alone"),
        pytest.param(2, {1}, id="one of two"),
        pytest.param(50, {0}, id="the first"),
        pytest.param(50, {49}, id="the last"),
        pytest.param(37, {3, 4, 20}, id="some"),
        pytest.param(9, set(range(9)), id="a few, and all of them"),
        pytest.param(20, set(), id="none"),
    ],
)
def test_what_fails_is_set_aside_and_the_rest_counts_as_without_it(
    fault: Callable[[BaseException], Fault],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    poisoned: set[int],
    part_requests: int,
) -> None:
    monkeypatch.setattr(cores, "count", lambda: 3)
    monkeypatch.setattr(failing_requests, "MIN_PART_REQUESTS", part_requests)
    sent = requests(count, poisoned)
    others = sent.filter(~pl.col("query").str.contains(POISON))
    without = processing.process_requests(others, rules, with_params=False)

    fault(ValueError("a fault of the code"))
    done, failed = process_what_can_be(sent, rules)

    assert failed == len(poisoned)
    assert done.hits.schema == HIT_SCHEMA
    assert done.hits.equals(without.hits)
    letters = done.dead_letters
    assert letters.schema == DEAD_LETTER_SCHEMA
    is_failed = pl.col("reason") == "failed"
    assert _ordered(letters.filter(~is_failed)).equals(_ordered(without.dead_letters))
    found = letters.filter(is_failed)
    assert found["request_id"].to_list() == [f"{number:032x}" for number in sorted(poisoned)]


def _ordered(letters: pl.DataFrame) -> pl.DataFrame:
    return letters.sort("request_id", "reason")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a \ud800 that is no character"),
        RecursionError("too deep"),
        AssertionError(),
        pl.exceptions.ComputeError("cannot"),
        pl.exceptions.PanicException("a panic of Polars"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_letter_says_what_was_raised_and_can_be_replayed(
    fault: Callable[[BaseException], Fault], error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # what is no character cannot be handed on as a log
    fault(error)
    sent = requests(8, {5})

    done, _ = process_what_can_be(sent, rules)

    letter = done.dead_letters.filter(reason="failed").row(0, named=True)
    assert (letter["step"], letter["received_at"]) == ("process", sent[5].item(0, "received_at"))
    assert letter["reason"] in REASONS
    assert letter["detail"].startswith("expected")
    assert type(error).__name__ in letter["detail"]
    assert str(error).encode(errors="replace").decode() in letter["detail"]
    assert json.loads(letter["request"]) == sent.row(5, named=True)


def test_a_failing_request_is_found_by_halves(fault: Callable[[BaseException], Fault]) -> None:
    planted = fault(ValueError("a fault of the code"))

    process_what_can_be(requests(1000, {617}), rules)

    assert planted.tries <= 2 * 10 + 1


def test_one_error_is_logged_with_its_traceback(
    fault: Callable[[BaseException], Fault], caplog: pytest.LogCaptureFixture
) -> None:
    fault(ValueError("a fault of the code"))

    process_what_can_be(requests(20, {7, 8, 15}), rules)

    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "3 requests" in record.getMessage()
    assert f"{7:032x}" in record.getMessage()
    assert "a fault of the code" in caplog.text
    assert "Traceback" in caplog.text


def test_what_fails_only_together_is_counted_by_halves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails_on_many(hits: pl.DataFrame) -> pl.DataFrame:
        if hits.height > 4:
            raise ValueError("too many for a fault of the code")
        return hits

    sent = requests(14, set())
    without = processing.process_requests(sent, rules, with_params=False)
    monkeypatch.setattr(processing, "ENRICHMENTS", (*processing.ENRICHMENTS, fails_on_many))

    done, failed = process_what_can_be(sent, rules)

    assert failed == 0
    assert done.hits.equals(without.hits)
    assert "failed together" in caplog.text


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(28, "no space"), ZoneInfoNotFoundError("UTC"), ModuleNotFoundError()],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_the_requests_fault_stops_the_job(
    fault: Callable[[BaseException], Fault], error: BaseException
) -> None:
    planted = fault(error)

    with pytest.raises(type(error)):
        process_what_can_be(requests(20, {7}), rules)

    assert planted.tries == 1


def test_rules_that_cannot_be_asked_stop_the_job() -> None:
    def broken(_measurement_ids: list[str]) -> pl.DataFrame:
        raise ValueError("properties.json is no JSON")

    with pytest.raises(RulesUnavailableError, match=r"properties\.json is no JSON"):
        process_what_can_be(requests(20, set()), broken)


def unasked(measurement_ids: list[str]) -> pl.DataFrame:
    """Rules of a service that is gone: the shop is known, whoever else sends is not."""
    raise UnaskedIdsError(rules([SHOP]), [one for one in measurement_ids if one != SHOP])


def test_what_could_not_be_asked_for_waits_as_a_dead_letter_and_the_rest_is_counted() -> None:
    strange = frame(web("tid=G-STRANGER01&cid=1&en=page_view&dl=https%3A%2F%2Fshop.test%2F"))
    mixed = pl.concat([requests(20, set()), strange])

    done, failed = process_what_can_be(mixed, unasked)

    letters = done.dead_letters.filter(pl.col("step") == "rules")
    assert letters.select("reason", "request_id").rows() == [
        ("rules_unavailable", strange.item(0, "request_id"))
    ]
    assert "G-STRANGER01" in letters.item(0, "detail")
    assert done.hits.height > 0
    assert done.hits.height == process_what_can_be(mixed, rules)[0].hits.height
    assert failed == 0


def test_a_replay_stops_where_something_could_not_be_asked_for() -> None:
    with pytest.raises(RulesUnavailableError, match="could not be asked for 1 measurement ids"):
        process_what_can_be(
            frame(web("tid=G-STRANGER01&cid=1&en=page_view")),
            unasked,
            processing.process_requests,
        )


def test_failures_of_all_cores_count_together(
    fault: Callable[[BaseException], Fault], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "count", lambda: 2)
    monkeypatch.setattr(failing_requests, "MIN_PART_REQUESTS", 20)
    monkeypatch.setattr(failing_requests, "MAX_FAILED", 8)
    fault(ValueError("a fault of the code"))

    with pytest.raises(BrokenProcessingError, match="the code is broken"):
        process_what_can_be(requests(40, {0, 1, 2, 3, 4, 20, 21, 22, 23}), rules)


def test_code_that_fails_on_nothing_at_all_stops_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_hits: pl.DataFrame) -> pl.DataFrame:
        raise KeyError("a column that is gone")

    monkeypatch.setattr(processing, "ENRICHMENTS", (broken,))
    with pytest.raises(KeyError):
        process_what_can_be(requests(0, set()), rules)


def test_so_many_failures_mean_broken_code_and_stop_the_job(
    fault: Callable[[BaseException], Fault], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing_requests, "MAX_FAILED", 8)
    planted = fault(ValueError("a fault of the code"))

    _, failed = process_what_can_be(requests(40, set(range(8))), rules)
    assert failed == 8

    planted.tries = 0
    with pytest.raises(BrokenProcessingError, match="the code is broken") as raised:
        process_what_can_be(requests(512, set(range(512))), rules)
    assert isinstance(raised.value.__cause__, ValueError)
    assert planted.tries < 2 * (8 + 9), "it is not tried on everything before"


@pytest.mark.parametrize(
    ("bundles", "stops"),
    [
        pytest.param([(1, 1)] * MAX_FAILED, False, id="all of a few"),
        pytest.param([(1, 1)] * (MAX_FAILED + 1), True, id="all, one by one"),
        pytest.param([(30, 1)] * (MAX_FAILED + 1), True, id="every thirtieth"),
        pytest.param([(200, 1)] * (3 * MAX_FAILED), False, id="every two-hundredth"),
        pytest.param([(100_000, 100)] * 5, False, id="few of very many"),
        pytest.param([(200, 200), (10**6, 0)], True, id="late good ones mend nothing"),
    ],
)
def test_small_bundles_do_not_hide_broken_code(bundles: list[tuple[int, int]], stops: bool) -> None:
    tally = FailureTally()
    stopped = False
    for count, failed in bundles:
        try:
            tally.add(count, failed)
        except BrokenProcessingError:
            stopped = True
    assert stopped == stops
    assert tally.failed == sum(failed for _, failed in bundles)


def test_a_letter_lies_with_the_block_its_request_came_in(
    fault: Callable[[BaseException], Fault],
) -> None:
    fault(ValueError("a fault of the code"))
    sent = requests(30, {11, 27})
    blocks = [_block(number, sent[10 * number : 10 * number + 10]) for number in range(3)]

    done: ProcessedBlocks = process_blocks(blocks, rules, 2, valid_through=FOR_EVER)

    reasons = {
        name: letters.filter(reason="failed")["request_id"].to_list()
        for name, letters in done.dead_letters
    }
    assert reasons[blocks[1].name] == [f"{11:032x}"]
    assert reasons[blocks[2].name] == [f"{27:032x}"]
    assert (done.requests, done.failed) == (30, 2)
    assert all(len(frame.blocks) == 3 for frame in done.frames)


def _block(number: int, of_block: pl.DataFrame) -> Block:
    return Block(
        spool_id="spool", number=number + 1, kind="requests", requests=of_block.height,
        frontier=1_700_000_000_000_001, payload=encode_requests(of_block),
    )  # fmt: skip
