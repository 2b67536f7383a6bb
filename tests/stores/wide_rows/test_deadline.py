"""Deadlines: calls of a request share its time, and only what a store took counts."""

import time
from pathlib import Path

import pytest

from stores.wide_rows.deadline import DeadlineExceededError, spending, within
from stores.wide_rows.port import WideRowsUnavailableError
from stores.wide_rows.sqlite import SqliteWideRows


def slow_call(seconds: float) -> float:
    with spending(10) as allowed:
        time.sleep(min(seconds, allowed))
        if seconds > allowed:
            raise WideRowsUnavailableError("too slow")
        return allowed


def test_calls_of_a_request_share_its_time() -> None:
    assert slow_call(0) == 10
    with within(0.1):
        assert 0.09 < slow_call(0.04) <= 0.1
        assert slow_call(0.02) <= 0.06
        with pytest.raises(WideRowsUnavailableError):
            slow_call(1)
        with pytest.raises(WideRowsUnavailableError, match="the time of the request is over"):
            slow_call(0)
    assert slow_call(0) == 10


def too_slow() -> None:
    with within(0.02):
        slow_call(1)


def only_away() -> None:
    with within(10):
        raise WideRowsUnavailableError("away")


def test_a_store_that_is_too_slow_is_told_from_one_that_is_away() -> None:
    with pytest.raises(DeadlineExceededError, match=r"not answered within 0\.02 s: too slow"):
        too_slow()
    with pytest.raises(WideRowsUnavailableError) as raised:
        only_away()
    assert not isinstance(raised.value, DeadlineExceededError)


def test_time_between_calls_is_no_time_of_the_store() -> None:
    with within(0.05):
        time.sleep(0.06)
        assert slow_call(0) > 0.04


def test_an_inner_time_replaces_the_outer_one() -> None:
    with within(0.02):
        with within(1):
            slow_call(0.03)
        assert slow_call(0) > 0.01


def test_a_file_is_not_asked_when_no_time_is_left(tmp_path: Path) -> None:
    store = SqliteWideRows(tmp_path / "rows.sqlite")
    with within(0.01):
        with pytest.raises(WideRowsUnavailableError):
            slow_call(1)
        with pytest.raises(WideRowsUnavailableError, match="over"):
            store.read_rows([b"r"])
    assert store.read_rows([b"r"]).is_empty()
    store.close()
