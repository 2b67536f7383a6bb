"""The register of lineages: numbers are drawn once, documents change by conditional writes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import pytest

from stores.lineages import LineageRegister, UnknownLineageError
from stores.wide_rows.port import WideRows
from tallymark.lineages import Input, LineageStateError
from tallymark.slots import HOUR_US

FACTS = {
    "asked": ((4 * HOUR_US, 8 * HOUR_US),),
    "targets": ((0, 16 * HOUR_US),),
    "inputs": (Input(start_us=0, end_us=4 * HOUR_US, lineage="gen-0"),),
    "property_id": 42,
    "rules": "latest",
    "code_version": "abc",
    "who": "ada",
    "why": "classified newsletters wrongly",
}


def ticking() -> Callable[[], int]:
    ticks = count(1_700_000_000_000_000)
    return lambda: next(ticks)


@pytest.fixture
def register(wide_rows: WideRows) -> LineageRegister:
    return LineageRegister(wide_rows, ticking())


def test_numbers_are_drawn_in_order_and_generations_apart_from_live_ones(
    register: LineageRegister,
) -> None:
    register.standing()
    drawn = [register.draw(series).name for series in ("gen", "live", "gen", "live")]
    assert drawn == ["gen-1", "live-1", "gen-2", "live-2"]
    assert list(register.all()) == ["gen-0", "gen-1", "gen-2", "live-1", "live-2"]


def test_what_was_drawn_comes_back_as_it_was(register: LineageRegister) -> None:
    drawn = register.draw(**FACTS)
    assert drawn.state == "computing"
    assert register.get("gen-1") == drawn
    assert drawn.asked == FACTS["asked"]
    assert drawn.inputs == FACTS["inputs"]


def test_two_who_draw_at_once_never_get_the_same_number(wide_rows: WideRows) -> None:
    def draw(drawer: int) -> list[str]:
        register = LineageRegister(wide_rows, ticking())
        return [register.draw(who=str(drawer)).name for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        drawn = [name for names in pool.map(draw, range(4)) for name in names]
    assert sorted(drawn) == sorted(f"gen-{number}" for number in range(1, 21))


def test_changes_made_at_once_are_all_kept(register: LineageRegister) -> None:
    register.draw()

    def add(_: int) -> None:
        for _ in range(5):
            register.update("gen-1", lambda held: replace(held, hits=held.hits + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert register.get("gen-1").hits == 20


def test_a_state_is_set_only_from_the_one_expected(register: LineageRegister) -> None:
    register.draw()
    assert register.turn("gen-1", "candidate", expected=("computing",)).state == "candidate"
    assert register.turn("gen-1", "candidate", expected=("computing",)).state == "candidate"
    register.turn("gen-1", "published")
    with pytest.raises(LineageStateError, match="expected the state candidate, got published"):
        register.turn("gen-1", "withdrawn", expected=("candidate",))
    with pytest.raises(LineageStateError, match="gen-1 is published: expected a change to one of"):
        register.turn("gen-1", "swept")
    assert register.get("gen-1").state == "published"


def test_a_change_of_nothing_writes_nothing(register: LineageRegister) -> None:
    drawn = register.draw()
    assert register.update("gen-1", lambda held: held) == drawn
    assert register.get("gen-1").changed_at == drawn.changed_at


def test_a_clock_that_stands_still_or_goes_back_holds_no_change_up(wide_rows: WideRows) -> None:
    times = iter([100, 50, 50])
    register = LineageRegister(wide_rows, lambda: next(times))
    register.draw()
    register.turn("gen-1", "candidate")
    assert register.turn("gen-1", "published").changed_at == 102


def test_an_unknown_lineage_is_named_with_those_that_there_are(register: LineageRegister) -> None:
    with pytest.raises(UnknownLineageError, match="'gen-9'; there are: none"):
        register.get("gen-9")
    register.draw()
    with pytest.raises(UnknownLineageError, match="'gen-9'; there are: gen-1"):
        register.turn("gen-9", "candidate")


def test_the_standing_lineage_is_made_once(register: LineageRegister) -> None:
    made = register.standing(who="ada")
    assert register.standing(who="bob") == made
