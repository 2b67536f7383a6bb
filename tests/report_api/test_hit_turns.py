"""Turns of reports: few at a time, fair among properties, and nobody waits for ever."""

import threading
import time
from collections.abc import Callable

import pytest

from report_api.turns import FairTurns, NoTurnError, TooManyReportsError, Turns


def test_a_property_has_one_turn_and_the_others_theirs() -> None:
    turns = Turns(2, waiting=0, seconds=30)
    with turns.taken(1), turns.taken(2):
        for property_id in (1, 3):
            with pytest.raises(TooManyReportsError), turns.taken(property_id):
                pass
    with turns.taken(3):
        pass


def test_who_waits_gets_the_turn_that_becomes_free() -> None:
    turns, seen = Turns(1, waiting=1, seconds=30), []
    is_taken = threading.Event()

    def ask() -> None:
        is_taken.wait(30)
        with turns.taken(2):
            seen.append(2)

    thread = threading.Thread(target=ask)
    thread.start()
    with turns.taken(1):
        is_taken.set()
        seen.append(1)
    thread.join(30)
    assert seen == [1, 2]


def test_a_turn_that_does_not_come_is_given_up() -> None:
    turns = Turns(1, waiting=1, seconds=0.05)
    with turns.taken(1):
        for _ in range(2):  # who gave up waits no more
            with pytest.raises(TooManyReportsError, match="takes long"), turns.taken(2):
                pass


def failing(turns: Turns) -> None:
    with turns.taken(1):
        raise ZeroDivisionError


def test_a_turn_ends_with_an_error_too() -> None:
    turns = Turns(1, waiting=0, seconds=30)
    with pytest.raises(ZeroDivisionError):
        failing(turns)
    with turns.taken(1):
        pass


def test_a_property_that_asks_for_much_waits_for_itself() -> None:
    turns, order = FairTurns(2, seconds=30), list[int]()
    lock = threading.Lock()
    leave = threading.Semaphore(0)

    def ask(property_id: int) -> None:
        with turns.taken(property_id):
            with lock:
                order.append(property_id)
            leave.acquire(timeout=30)

    threads = []
    for waiting, property_id in enumerate([1, 1, 1, 1, 1, 2, 3, 2]):
        threads.append(threading.Thread(target=ask, args=(property_id,)))
        threads[-1].start()
        until(lambda count=waiting + 1: len(order) + len(turns._waiting) == count)
    assert order == [1, 1]
    for count in range(3, 9):
        leave.release()
        until(lambda count=count: len(order) == count)
    for _ in range(2):
        leave.release()
    for thread in threads:
        thread.join(30)
    assert order[2] == 2
    assert 3 in order[3:5], "it waits for no more than the two that run"
    assert sorted(order) == [1, 1, 1, 1, 1, 2, 2, 3]
    assert turns._running == turns._last == turns._waiting == {}


def until(holds: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to hold")


def failing_fairly(turns: FairTurns) -> None:
    with turns.taken(1):
        raise ZeroDivisionError


def test_a_turn_that_is_not_fair_to_wait_for_is_given_up_and_one_that_failed_ends() -> None:
    turns = FairTurns(1, seconds=0.02)
    with turns.taken(1):
        for _ in range(2):
            with pytest.raises(NoTurnError), turns.taken(2):
                pass
    with pytest.raises(ZeroDivisionError):
        failing_fairly(turns)
    with turns.taken(2):
        pass
    assert not turns._waiting
