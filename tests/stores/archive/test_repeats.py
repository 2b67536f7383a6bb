import random

import polars as pl
import pytest

from stores.archive.repeats import winners, without_losers


def frame(rows: list[tuple[str, int, bool, str, int]]) -> pl.DataFrame:
    names = ["request_id", "received_at", "has_balancer_id", "spool_id", "number"]
    return pl.DataFrame(rows, schema=names, orient="row")


@pytest.mark.parametrize("ids_a_pass", [1, 50, 1_000_000])
def test_the_copies_found_do_not_depend_on_how_many_ids_a_pass_holds(ids_a_pass: int) -> None:
    chance = random.Random(7)
    rows = [(f"{number:032x}", number, True, "a", 1) for number in range(300)]
    copies = [(one, at + chance.randint(1, 9), True, "b", 1) for one, at, *_ in rows[::10]]
    frames = [frame(rows[:150] + copies[:5]), frame(copies[5:] + rows[150:])]
    won = winners(lambda: iter(frames), 330, ids_a_pass)
    assert sorted(won.get_column("request_id")) == [one for one, *_ in copies]
    kept = pl.concat([without_losers(one, won) for one in frames])
    assert sorted(kept.rows()) == rows


def test_the_order_of_rows_stays() -> None:
    rows = [("c", 1, True, "a", 1), ("a", 2, True, "a", 1), ("b", 3, True, "a", 1)]
    copy = ("c", 9, True, "b", 1)
    frames = [frame([*rows, copy])]
    won = winners(lambda: iter(frames), 4, 2)
    assert without_losers(frames[0], won).rows() == rows
