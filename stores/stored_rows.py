"""Stored rows: what the wide rows hold now at the cells of a few hits."""

from itertools import chain
from typing import Final

import polars as pl

from stores.wide_rows.port import WideRows, WideRowsUnavailableError
from tallymark.aggregates import OTHER
from tallymark.decoded_cells import ChunksChangedError, DecodedCells, decode
from tallymark.rollups import BY_NAME, Rollup
from tallymark.row_keys import lineage_range

CHUNK_READS: Final = 4
"""A flush may replace a large cell between the reads of its parts; it is then read again."""
CLIENTS: Final = "users"
"""The set that every rollup keeps of the clients of a row."""
_PLACE: Final = ("property_id", "lineage", "slot_start")
_ANSWER: Final = ("is_stored", "is_folded", "holds_client", "numbers")


def with_stored_rows(cells: pl.DataFrame, wide_rows: WideRows) -> pl.DataFrame:
    """``cells`` with what is stored of their rows, in the same order.

    Args:
        cells: ``hit_cells.CELL_SCHEMA`` and ``lineage``.
        wide_rows: Where cells are.

    Returns:
        The same and ``is_stored``: whether there is such a row (null where its keys are not
        known); ``is_folded``: it is not there, but the cell has a row ``(other)`` for those with
        the fewest events; ``holds_client``: whether its set of clients holds the hit's (null where
        the set is full, so that it does not tell); ``numbers``: its sums as JSON, "" if none.

    Raises:
        WideRowsUnavailableError: when the store cannot be read.
    """
    for _ in range(CHUNK_READS):
        try:
            return _with_stored_rows(cells, wide_rows)
        except ChunksChangedError:
            continue
    raise WideRowsUnavailableError(f"cells changed in each of {CHUNK_READS} reads; ask again")


def _with_stored_rows(cells: pl.DataFrame, wide_rows: WideRows) -> pl.DataFrame:
    numbered = cells.with_row_index("place")
    by_rollup = numbered.partition_by("rollup", as_dict=True, maintain_order=True)
    ranges = {
        BY_NAME[str(rollup)]: sorted(
            {
                lineage_range(owner, str(rollup), slot, lineage)
                for owner, slot, lineage in part.select(
                    "property_id", "slot_start", "lineage"
                ).iter_rows()
            }
        )
        for (rollup,), part in by_rollup.items()
    }
    read = wide_rows.read(list(chain.from_iterable(ranges.values())), ("n", "u"))
    key = pl.col("row_key")
    parts = [
        _matched(
            by_rollup[rollup.name,],
            rollup,
            decode(
                rollup,
                read.filter(
                    pl.any_horizontal(
                        (key >= pl.lit(start)) & (key < pl.lit(end)) for start, end in mine
                    )
                ),
            ),
        )
        for rollup, mine in ranges.items()
    ]
    if not parts:
        return cells.with_columns(
            is_stored=pl.lit(None, pl.Boolean),
            is_folded=pl.lit(value=False),
            holds_client=pl.lit(None, pl.Boolean),
            numbers=pl.lit(""),
        )
    return pl.concat(parts).sort("place").drop("place")


def _matched(cells: pl.DataFrame, rollup: Rollup, held: DecodedCells) -> pl.DataFrame:
    """The cells of one rollup with their rows."""
    clients = held.sets.filter(pl.col("measure").cast(pl.String) == CLIENTS)
    sizes = clients.group_by("row").agg(size=pl.len())
    keys = pl.concat_list(rollup.keys) if rollup.keys else pl.lit([], pl.List(pl.String))
    rows = held.numbers.select(
        *_PLACE,
        "row",
        keys=keys,
        numbers=pl.struct(rollup.sums).struct.json_encode(),
    ).join(sizes, on="row", how="left")
    apart = 1 if rollup.within else 0
    others = rows.filter(
        pl.col("keys").list.len() > 0,
        pl.col("keys").list.slice(apart).list.eval(pl.element() == OTHER).list.all(),
    ).select(*_PLACE, within=pl.col("keys").list.head(apart), has_other=pl.lit(value=True))
    members = clients.select("row", client_hash="hash", is_member=pl.lit(value=True))
    found = (
        cells.join(rows, on=[*_PLACE, "keys"], how="left", maintain_order="left")
        .with_columns(within=pl.col("keys").list.head(apart))
        .join(others, on=[*_PLACE, "within"], how="left", maintain_order="left", nulls_equal=True)
        .join(members, on=["row", "client_hash"], how="left", maintain_order="left")
    )
    is_known, is_there = pl.col("keys").is_not_null(), pl.col("row").is_not_null()
    is_member = pl.col("is_member").fill_null(value=False)
    tells = is_member | (pl.col("size").fill_null(0) < rollup.unique_k)
    return found.with_columns(
        is_stored=pl.when(is_known).then(is_there),
        is_folded=is_known & ~is_there & pl.col("has_other").fill_null(value=False),
        holds_client=pl.when(is_there & tells).then(is_member),
        numbers=pl.col("numbers").fill_null(""),
    ).select(*cells.columns, *_ANSWER)
