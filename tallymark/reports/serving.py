"""What is served: of the cells that a read found, those of the lineage named for their slot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from tallymark.pointer_map import PointerMap
from tallymark.row_keys import SEPARATOR

_NOBODY = -1
_QUALIFIER = np.dtype([("start", ">u8"), ("minutes", ">u2")])


@dataclass(frozen=True, kw_only=True)
class Freshness:
    """What an answer was computed from.

    Attributes:
        newest_slot_us: UTC µs of the start of the newest slot that took part; ``None`` when no
            cell did.
        lineages: Those that took part, by name.
        pointer_map: Version of the map that was used.
        overrides: Version of the property's overrides that were used, 0 where it has none.
    """

    newest_slot_us: int | None
    lineages: tuple[str, ...]
    pointer_map: int
    overrides: int


@dataclass(frozen=True, kw_only=True)
class Pointers:
    """The map and a property's overrides, taken once for an answer."""

    served: PointerMap
    map_version: int
    overrides_version: int

    @classmethod
    def of(cls, everywhere: PointerMap, overrides: PointerMap) -> "Pointers":
        """What serves a property that has these overrides."""
        return cls(
            served=everywhere.overridden_by(overrides),
            map_version=everywhere.version,
            overrides_version=overrides.version,
        )


def served_cells(
    cells: pl.DataFrame, pointers: Pointers, spans: Sequence[tuple[int, int]]
) -> tuple[pl.DataFrame, Freshness]:
    """The cells (and chunks of cells) that count, and what they say of freshness.

    Args:
        cells: A cell frame of one rollup of one property, every lineage.
        pointers: Which lineage serves which slots.
        spans: Half-open slot ranges (UTC µs) that are asked for.
    """
    starts = slot_starts(cells)
    inside = np.zeros(len(starts), dtype=bool)
    for start_us, end_us in spans:
        inside |= (starts >= start_us) & (starts < end_us)
    names, serving = pointers.served.lineages_of(starts)
    serving = np.where(inside, serving, _NOBODY)
    counts = np.zeros(len(starts), dtype=bool)
    for index in np.unique(serving[serving != _NOBODY]):
        counts |= (serving == index) & _written_by(cells, names[index])
    newest = starts[counts].max() if counts.any() else None
    freshness = Freshness(
        newest_slot_us=None if newest is None else int(newest),
        lineages=tuple(names[index] for index in np.unique(serving[counts])),
        pointer_map=pointers.map_version,
        overrides=pointers.overrides_version,
    )
    return (cells if counts.all() else cells.filter(pl.Series(counts))), freshness


def slot_starts(cells: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The starts (UTC µs) of the slots of a cell frame, read from the qualifiers."""
    raw = b"".join(cells.get_column("qualifier").to_list())
    return np.frombuffer(raw, dtype=_QUALIFIER)["start"].astype(np.int64)


def _written_by(cells: pl.DataFrame, lineage: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each cell is of a lineage, which is a whole part of its row key."""
    part = f"{SEPARATOR}{lineage}{SEPARATOR}".encode()
    return cells.get_column("row_key").bin.contains(part).to_numpy()
