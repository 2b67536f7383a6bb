"""Sweeping: which generations may go."""

import pytest

from tallymark.lineages import Input, Lineage
from tallymark.pointer_map import FOR_EVER, SINCE_EVER, PointerMap
from tallymark.slots import HOUR_US
from tallymark.sweeping import ABANDONED_US, GRACE_US, idle_spans, reasons_to_stay, sweepable

NOW_US = 1_700_000_000_000_000
OLD_US = NOW_US - 100 * 24 * HOUR_US


def generation(number: int, state: str = "withdrawn", **facts) -> Lineage:
    settled = {"created_at": OLD_US, "changed_at": OLD_US, **facts}
    return Lineage(name=f"gen-{number}", state=state, **settled)


def live(state: str, **facts) -> Lineage:
    settled = {"created_at": OLD_US, "changed_at": OLD_US, **facts}
    return Lineage(name="live-1", state=state, **settled)


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
        (live("withdrawn"), True),
        (live("withdrawn", changed_at=NOW_US - GRACE_US + 1), False),
        (live("published"), False),
        (live("candidate"), False),
        (live("computing"), False),
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


def test_each_lineage_that_stays_says_why() -> None:
    lineages = [
        generation(0, "published"), generation(1), generation(2, inputs=reading("gen-1")),
        *OTHERS, generation(14, "computing", changed_at=NOW_US), generation(3, "swept"),
        generation(4), live("published"),
    ]  # fmt: skip
    register = {each.name: each for each in lineages}
    reasons = reasons_to_stay(register, ["gen-2"], now_us=NOW_US)
    assert reasons == {
        "gen-0": "sealed hours",
        "gen-1": "gen-2 was computed from it",
        "gen-2": "serves, or did a moment ago",
        "gen-4": "",
        "gen-11": "of the newest 3",
        "gen-12": "of the newest 3",
        "gen-13": "of the newest 3",
        "gen-14": "is being computed",
        "live-1": "serves, or did a moment ago",
    }


@pytest.mark.parametrize(
    ("what", "state", "due_hours", "through", "idle"),
    [
        ("an ended stream, nothing came", "withdrawn", [], 30, [(None, 10), (20, 30)]),
        ("its job runs", "published", [], 30, []),
        ("some hours are to be sealed", "withdrawn", [(4, 8)], 30, [(None, 4), (8, 10), (20, 30)]),
        ("only sealed hours are let go", "withdrawn", [], 22, [(None, 10), (20, 22)]),
        ("its last hours come", "withdrawn", [], 50, [(None, 10), (20, 40)]),
    ],
)
def test_ended_streams_let_sealed_hours_go_of_which_there_is_nothing(
    what: str, state: str, due_hours: list, through: int, idle: list
) -> None:
    served = PointerMap.serving("live-1").publish(10 * HOUR_US, 20 * HOUR_US, "gen-0")
    served = served.publish(40 * HOUR_US, FOR_EVER, "live-2")
    spans = [(first * HOUR_US, end * HOUR_US) for first, end in due_hours]
    found = idle_spans(served, {"live-1": live(state)}, spans, through * HOUR_US)
    assert [
        (None if first == SINCE_EVER else first // HOUR_US, end // HOUR_US) for first, end in found
    ] == idle, what
