"""Rollup choice: which rollup answers a combination of dimensions and metrics.

It follows from their columns; what no rollup can answer is answered from hits (``hit_keys``).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from tallymark.dimensions import Dimension
from tallymark.metrics import AskedMetric, part_of
from tallymark.rollups import ROLLUPS, Rollup

NOT_ADDITIVE: Final = {("pages", "sessions"): "pagePath"}
"""(rollup, sum) → the dimension without which it does not add up: a session that viewed two pages
counts for both, so rows by page are right, and everything coarser would count it twice."""

TOTALS: Final = next(rollup for rollup in ROLLUPS if not rollup.keys)
"""The rollup without breakdown: what is whole is best counted there."""
_BY_SIZE: Final = sorted(ROLLUPS, key=lambda rollup: rollup.max_rows)


def missing(
    rollup: Rollup,
    rows_by: Sequence[Dimension],
    filtered_by: Sequence[Dimension],
    metrics: Sequence[AskedMetric],
) -> list[str]:
    """The names that ``rollup`` cannot answer in this combination."""
    names = {dimension.name for dimension in rows_by}
    dimensions = dict.fromkeys((*rows_by, *filtered_by))
    meant = meant_by(dimensions) if rollup.within else ""
    columns = {
        column
        for column in (*rollup.sums, *rollup.uniques)
        if whole_by(rollup, column, meant) in ("", *names)
    }
    said = {metric.name: [part_of(measure) for measure in metric.measures] for metric in metrics}
    if rollup.within and not (meant or any(name for parts in said.values() for _, name in parts)):
        return [*(dimension.name for dimension in dimensions), *said]
    return [
        dimension.name
        for dimension in dimensions
        if not set(dimension.keys) <= set(rollup.keys) or dimension.among not in ("", meant)
    ] + [
        name
        for name, parts in said.items()
        if any(column not in columns or not _says(rollup, meant, own) for column, own in parts)
    ]


def meant_by(dimensions: Iterable[Dimension]) -> str:
    """The name whose rows dimensions mean in a rollup that counts within names: the first's."""
    return next((each.among for each in dimensions if each.among), "")


def whole_by(rollup: Rollup, column: str, meant: str) -> str:
    """The dimension without which a column does not add up over rows; "" where it always does.

    Args:
        rollup: Whose column.
        column: A sum or a set.
        meant: The name whose rows dimensions mean.
    """
    if rollup.within and column == "sessions":
        return meant
    return NOT_ADDITIVE.get((rollup.name, column), "")


def _says(rollup: Rollup, meant: str, name: str) -> bool:
    """Whether the rows that are meant, or those of the name itself, add up to a measure."""
    if name:
        return bool(rollup.within) and not meant
    return bool(meant) or not rollup.within


def smallest_rollup(
    rows_by: Sequence[Dimension], filtered_by: Sequence[Dimension], metrics: Sequence[AskedMetric]
) -> tuple[Rollup, list[str]]:
    """The smallest rollup that answers most of the names, and the names that it cannot answer."""
    unanswered = [
        (len(lacking := missing(rollup, rows_by, filtered_by, metrics)), rollup, lacking)
        for rollup in _BY_SIZE
    ]
    _, rollup, lacking = min(unanswered, key=lambda entry: entry[0])
    return rollup, lacking
