"""Sweeping: which generations may go."""

import pytest

from tallymark.lineages import Input, Lineage
from tallymark.slots import HOUR_US
from tallymark.sweeping import ABANDONED_US, GRACE_US, sweepable

NOW_US = 1_700_000_000_000_000
OLD_US = NOW_US - 100 * 24 * HOUR_US


def generation(number: int, state: str = "withdrawn", **facts) -> Lineage:
    settled = {"created_at": OLD_US, "changed_at": OLD_US, **facts}
    return Lineage(name=f"gen-{number}", state=state, **settled)


def due(*lineages: Lineage, named: tuple[str, ...] = (), **choices) -> list[str]:
    register = {each.name: each for each in lineages}
    return [each.name for each in sweepable(register, named, now_us=NOW_US, **choices)]


def reading(*names: str) -> tuple[Input, ...]:
    return tuple(
        Input(start_us=index * HOUR_US, end_us=(index + 1) * HOUR_US, lineage=name)
        for index, name in enumerate(names)
    )


OTHERS = tuple(generation(number) for number in (11, 12, 13))
"""The newest three."""


def test_all_but_the_newest_three_go_oldest_first() -> None:
    generations = [generation(number) for number in (12, 2, 9, 1, 10)]
    assert due(*generations) == ["gen-1", "gen-2"]
    assert due(*generations, kept=0) == ["gen-1", "gen-2", "gen-9", "gen-10", "gen-12"]
    assert due(*generations, kept=9) == []


@pytest.mark.parametrize(
    ("old", "goes"),
    [
        (generation(1), True),
        (generation(1, "candidate"), True),
        (generation(1, "published"), False),  # the pointers do not say so any more, but just did
        (generation(1, "swept"), False),
        (generation(1, changed_at=NOW_US - GRACE_US), True),
        (generation(1, changed_at=NOW_US - GRACE_US + 1), False),
        (generation(1, "computing"), True),
        (generation(1, "computing", changed_at=NOW_US - ABANDONED_US), True),
        (generation(1, "computing", changed_at=NOW_US - ABANDONED_US + 1), False),
        (generation(0), False),
        (Lineage(name="live-1", state="withdrawn", created_at=OLD_US, changed_at=OLD_US), False),
    ],
    ids=lambda value: f"{value.name} {value.state}" if isinstance(value, Lineage) else "",
)
def test_what_may_still_be_in_use_stays(old: Lineage, goes: bool) -> None:
    assert due(old, *OTHERS) == ([old.name] if goes else [])


def test_what_pointers_name_or_named_within_the_grace_period_stays() -> None:
    assert due(generation(1), generation(2), *OTHERS, named=("gen-1",)) == ["gen-2"]


def test_whose_clean_hits_are_read_by_what_stays_stays_too() -> None:
    serving = generation(5, "published", inputs=reading("gen-3", "gen-0", "live-1"))
    through = generation(3, inputs=reading("gen-2"))
    idle = generation(4, inputs=reading("gen-1"))
    chain = (generation(1), generation(2), through, idle, serving, *OTHERS)
    assert due(*chain, named=("gen-5",)) == ["gen-1", "gen-4"]


def test_a_computation_that_goes_on_is_none_of_the_newest() -> None:
    running = generation(14, "computing", changed_at=NOW_US)
    assert due(generation(1), *OTHERS, running) == ["gen-1"]
