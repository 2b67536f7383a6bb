"""The breaker over a real store that a test makes unavailable by holding its file."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from stores.wide_rows.breaker import BreakingWideRows
from stores.wide_rows.port import CELL_SCHEMA, WideRowsUnavailableError
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.circuit import CircuitSettings

CELLS = pl.DataFrame([(b"r", "n", b"q", 1, b"v")], schema=CELL_SCHEMA, orient="row")


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Scene:
    """A breaker, its clock, and the store behind it, which can be held."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.store = SqliteWideRows(path, busy_timeout_seconds=0)
        self.breaker = BreakingWideRows(
            self.store,
            clock=self.clock,
            settings=CircuitSettings(failures=3, pause_seconds=2, longest_pause_seconds=7),
        )
        self._holder = sqlite3.connect(path, isolation_level=None)

    def hold(self) -> None:
        self._holder.execute("BEGIN IMMEDIATE")

    def let_go(self) -> None:
        self._holder.execute("ROLLBACK")

    def fail(self, times: int = 1) -> WideRowsUnavailableError:
        for _ in range(times):
            with pytest.raises(WideRowsUnavailableError) as raised:
                self.breaker.write(CELLS)
        return raised.value

    def is_refused(self) -> bool:
        with pytest.raises(WideRowsUnavailableError) as raised:
            self.breaker.write(CELLS)
        return "are not asked" in str(raised.value)

    def close(self) -> None:
        self._holder.close()
        self.breaker.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    opened = Scene(tmp_path / "wide_rows.db")
    yield opened
    opened.close()


def test_every_call_goes_through_a_closed_circuit(scene: Scene) -> None:
    scene.breaker.write(CELLS)
    assert scene.breaker.read([(b"a", b"z")]).rows() == CELLS.rows()
    assert scene.breaker.read_rows([b"r"], ("u",)).is_empty()
    assert scene.breaker.compare_and_set(b"d", b"q", expected=None, value=b"1", version=1)
    assert not scene.breaker.compare_and_set(b"d", b"q", expected=None, value=b"2", version=2)
    scene.breaker.delete([(b"a", b"z")])
    assert scene.breaker.read([(b"a", b"z")]).is_empty()


def test_failures_in_a_row_open_the_circuit_for_reads_too(scene: Scene) -> None:
    scene.hold()
    scene.fail(2)
    assert scene.breaker.state == "closed"
    assert scene.fail().retry_after_seconds == 2
    assert scene.breaker.state == "open"
    with pytest.raises(
        WideRowsUnavailableError, match=r"the last 3 of them failed; next try in 2\.0 s"
    ):
        scene.breaker.read([(b"a", b"z")])


def test_an_open_circuit_does_not_ask_the_store_before_its_pause_is_over(scene: Scene) -> None:
    scene.hold()
    scene.fail(3)
    scene.let_go()
    scene.clock.seconds += 1.5
    assert scene.fail().retry_after_seconds == pytest.approx(0.5)
    assert scene.store.read([(b"a", b"z")]).is_empty()


def test_a_success_in_between_starts_the_count_again(scene: Scene) -> None:
    for _ in range(3):
        scene.hold()
        scene.fail(2)
        scene.let_go()
        scene.breaker.write(CELLS)
        scene.clock.seconds += 11
    assert scene.breaker.state == "closed"


def test_failures_among_as_many_good_calls_open_the_circuit_too(scene: Scene) -> None:
    for _ in range(2):
        scene.breaker.write(CELLS)
        scene.hold()
        scene.fail()
        scene.let_go()
    scene.breaker.write(CELLS)
    assert scene.breaker.state == "closed"
    scene.hold()
    scene.fail()
    assert scene.breaker.state == "open"
    assert scene.breaker.opened == 1


def test_the_call_after_the_pause_closes_the_circuit_if_it_succeeds(scene: Scene) -> None:
    scene.hold()
    scene.fail(3)
    scene.let_go()
    scene.clock.seconds += 2
    scene.breaker.write(CELLS)
    assert scene.breaker.state == "closed"
    scene.hold()
    scene.fail(2)
    assert scene.fail().retry_after_seconds == 2, "the pause is the first one again"


def test_each_failed_probe_doubles_the_pause_up_to_the_longest(scene: Scene) -> None:
    scene.hold()
    scene.fail(3)
    for pause_seconds, next_pause_seconds in ((2, 4), (4, 7), (7, 7)):
        scene.clock.seconds += pause_seconds - 0.1
        assert scene.is_refused()
        scene.clock.seconds += 0.2
        assert scene.fail().retry_after_seconds == pytest.approx(next_pause_seconds)
        scene.clock.seconds -= 0.1


def test_a_call_that_breaks_a_limit_is_no_failure_of_the_store(scene: Scene) -> None:
    for _ in range(5):
        with pytest.raises(ValueError, match="families"):
            scene.breaker.read([], ("x",))
    assert scene.breaker.state == "closed"
