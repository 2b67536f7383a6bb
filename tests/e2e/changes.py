"""What a comparison of two computations should tell, counted from what each should hold."""

from collections import Counter, defaultdict
from typing import Any

from .cells_reader import LAYOUTS, Cells, Layout
from .oracle import HOUR_US

Hours = dict[int, dict[str, int]]
"""Of one row, by hour (UTC µs): its sums, and how many clients its sets hold."""
Change = tuple[int, str, tuple[str, ...], str, tuple[str, ...], int, int]
"""Property id, rollup, keys, what becomes of the row, the metrics that differ in some hour, its
events before and after."""


def between(cells: Cells, start_us: int, end_us: int) -> Cells:
    """The slots that start in [start_us, end_us)."""
    return {
        rollup: {slot: rows for slot, rows in slots.items() if start_us <= slot[1] < end_us}
        for rollup, slots in cells.items()
    }


def together(earlier: Cells, later: Cells) -> Cells:
    """The slots of both, which have none in common."""
    return {rollup: earlier[rollup] | later[rollup] for rollup in earlier}


def expected_changes(before: Cells, after: Cells) -> set[Change]:
    """Every row that differs in some hour, and nothing else."""
    changes = set()
    for rollup, layout in LAYOUTS.items():
        if not layout.keys:
            continue
        old, new = _rows(before[rollup], layout), _rows(after[rollup], layout)
        for row in old.keys() | new.keys():
            change = _change(rollup, row, old.get(row, {}), new.get(row, {}), layout)
            changes |= {change} if change else set()
    return changes


def told_changes(document: dict[str, Any]) -> set[Change]:
    """The same as ``tallymark diff --json`` tells it."""
    return {
        (
            row["property_id"], row["rollup"], tuple(row["keys"]), row["what"],
            tuple(row["metrics"]), row["served"], row["candidate"],
        )
        for row in document["rows"]
    }  # fmt: skip


def told_counts(document: dict[str, Any]) -> Counter[tuple[int, str, str]]:
    """How many rows of each property and rollup it says appear, vanish or change."""
    whats = ("appears", "vanishes", "changes")
    counts = Counter(
        {
            (row["property_id"], row["rollup"], what): row[what]
            for row in document["row_counts"]
            for what in whats
        }
    )
    return +counts


def _rows(slots: Any, layout: Layout) -> dict[tuple[int, tuple[str, ...]], Hours]:
    """Rows of a rollup by property and keys; the slots of an hour together."""
    sums: Any = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    members: Any = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for (property_id, start, _), rows in slots.items():
        hour = start // HOUR_US * HOUR_US
        for keys, row in rows.items():
            for name in layout.sums:
                sums[property_id, keys][hour][name] += row[name]
            for name in layout.sets:
                members[property_id, keys][hour][name] |= row[name]
    return {
        row: {
            hour: dict(numbers) | {name: len(some) for name, some in members[row][hour].items()}
            for hour, numbers in hours.items()
        }
        for row, hours in sums.items()
    }


def _change(
    rollup: str, row: tuple[int, tuple[str, ...]], old: Hours, new: Hours, layout: Layout
) -> Change | None:
    differing = tuple(
        name
        for name in (*layout.sums, *layout.sets)
        if any(
            old.get(hour, {}).get(name, 0) != new.get(hour, {}).get(name, 0)
            for hour in old.keys() | new.keys()
        )
    )
    if old and new and not differing:
        return None
    what = "changes" if old and new else "vanishes" if old else "appears"
    events = [sum(numbers["events"] for numbers in side.values()) for side in (old, new)]
    return (row[0], rollup, row[1], what, differing, events[0], events[1])
