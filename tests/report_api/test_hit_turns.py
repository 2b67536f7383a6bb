"""Turns of reports from hits: few at a time, of each property one, and nobody waits for ever."""

import threading

import pytest

from report_api.turns import TooManyReportsError, Turns


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
