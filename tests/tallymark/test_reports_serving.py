"""Which cells are served."""

import polars as pl
import pytest

from tallymark.pointer_map import FOR_EVER, PointerMap
from tallymark.reports.serving import Pointers, served_cells
from tallymark.slots import HOUR_US
from tests.tallymark.report_cells import NOON_US, cells_of

EVERY_HOUR = [{"hour": hour, "sessions": 1} for hour in range(4)]
CELLS = pl.concat(
    [
        cells_of("totals", EVERY_HOUR, lineage="live-1"),
        cells_of("totals", EVERY_HOUR, lineage="gen-2"),
        cells_of("totals", EVERY_HOUR, lineage="live-10"),
    ]
)
LIVE = PointerMap.serving("live-1")
PUBLISHED = LIVE.publish(NOON_US + HOUR_US, NOON_US + 2 * HOUR_US, "gen-2")


@pytest.mark.parametrize(
    ("pointers", "span", "cells", "lineages", "newest_hour"),
    [
        (PointerMap(), (0, 4), 0, (), None),
        (LIVE, (0, 4), 4, ("live-1",), 3),
        (LIVE, (1, 3), 2, ("live-1",), 2),
        (PUBLISHED, (0, 4), 4, ("gen-2", "live-1"), 3),
        (PUBLISHED, (1, 2), 1, ("gen-2",), 1),
        (PointerMap.serving("gen-9"), (0, 4), 0, (), None),
        (PointerMap().publish(NOON_US + 2 * HOUR_US, FOR_EVER, "gen-2"), (0, 4), 2, ("gen-2",), 3),
    ],
)
def test_only_cells_of_the_lineage_that_is_named_count(
    pointers: PointerMap,
    span: tuple[int, int],
    cells: int,
    lineages: tuple[str, ...],
    newest_hour: int | None,
) -> None:
    spans = [(NOON_US + span[0] * HOUR_US, NOON_US + span[1] * HOUR_US)]
    found, freshness = served_cells(CELLS, Pointers.of(pointers, PointerMap()), spans)
    assert found.filter(pl.col("family") == "n").height == cells
    assert freshness.lineages == lineages
    expected = None if newest_hour is None else NOON_US + newest_hour * HOUR_US
    assert freshness.newest_slot_us == expected
    assert freshness.pointer_map == pointers.version


def test_chunks_of_large_cells_are_served_with_them() -> None:
    rows = [{"minute": f"{minute:02d}", "users": range(minute * 1000, minute * 1000 + 900)}
            for minute in range(60)]  # fmt: skip
    cells = pl.concat([cells_of("minutes", rows, lineage=name) for name in ("live-1", "gen-2")])
    assert cells.height > 4
    found, _ = served_cells(cells, Pointers.of(LIVE, PointerMap()), [(NOON_US, NOON_US + HOUR_US)])
    assert found.height == cells.height // 2
