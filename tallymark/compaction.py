"""Compaction: the same tables in fewer rows."""

import polars as pl

from tallymark.custom_rows import AMOUNT_SCHEMA, AMOUNT_SUMS, CUSTOM_SCHEMA, CUSTOM_SUMS
from tallymark.key_events import first_of_pieces
from tallymark.pieces import (
    CLIENT,
    EVENT_SCHEMA,
    EVENT_SUMS,
    FACTS,
    MINUTE_SCHEMA,
    MINUTE_SUMS,
    PAGE_SCHEMA,
    PAGE_SUMS,
    PIECE_SCHEMA,
    RUN,
    SUMS,
    Tables,
    run_numbers,
)
from tallymark.texts import merged as merged_texts


def compact(tables: Tables) -> Tables:
    """The same tables in fewer rows, sorted."""
    pieces = merge_pieces(tables.pieces)
    return Tables(
        pieces=pieces,
        pages=_summed(tables.pages, PAGE_SCHEMA, PAGE_SUMS),
        events=_summed(tables.events, EVENT_SCHEMA, EVENT_SUMS),
        minutes=_summed(tables.minutes, MINUTE_SCHEMA, MINUTE_SUMS),
        customs=_summed(tables.customs, CUSTOM_SCHEMA, CUSTOM_SUMS),
        amounts=_summed(tables.amounts, AMOUNT_SCHEMA, AMOUNT_SUMS),
        transactions=tables.transactions.sort(*CLIENT, "at", "hit_order"),
        key_events=first_of_pieces(tables.key_events, pieces),
        texts=merged_texts(tables.texts),
    )


def merge_pieces(pieces: pl.DataFrame) -> pl.DataFrame:
    """Join pieces that overlap or follow each other with a pause below the gap."""
    ordered = pieces.sort(*RUN, "start", "first_order")
    numbered = _with_reach(ordered).with_columns(piece=run_numbers(start="start", end="reach"))
    if numbered.is_empty() or numbered.get_column("piece").item(-1) == numbered.height:
        return ordered
    begins = pl.col("piece") != pl.col("piece").shift(1, fill_value=0)
    merged = numbered.filter(begins).select(
        "piece", *RUN, *FACTS, "start", "first_order", "device_id"
    )
    sums = numbered.group_by("piece", maintain_order=True).agg(
        pl.col("end").max(), pl.col(*SUMS).sum(), pl.col("is_new").any()
    )
    merged = pl.concat([merged, sums.drop("piece")], how="horizontal")
    for columns, is_last in (
        (("source_at", "source_order", "source_id"), False),
        (("landing_at", "landing_order", "landing_id"), False),
        (("exit_at", "exit_order", "exit_id"), True),
    ):
        candidates = (
            numbered.lazy().select("piece", *columns).filter(pl.col(columns[0]).is_not_null())
        )
        chosen = (
            candidates.sort("piece", *columns[:2], descending=[False, is_last, is_last])
            .filter(begins)
            .collect()
        )
        merged = merged.join(chosen, on="piece", how="left", maintain_order="left")
    return merged.select(list(PIECE_SCHEMA))


def _with_reach(ordered: pl.DataFrame) -> pl.DataFrame:
    """``reach``: the latest end so far of a run's pieces, which may lie within others.

    A running maximum that starts anew with each run: the run's number stands in front of the
    offset in the slot, which is less than an hour and so fits into 32 bits.
    """
    changed = pl.lit(value=False)
    for column in RUN:
        changed = changed | (pl.col(column) != pl.col(column).shift(1))
    run = changed.fill_null(value=True).cum_sum().cast(pl.Int64)
    highest = (run * 2**32 + pl.col("end") - pl.col("slot_start")).cum_max()
    return ordered.with_columns(reach=pl.col("slot_start") + highest % 2**32)


def _summed(rows: pl.DataFrame, schema: pl.Schema, sums: tuple[str, ...]) -> pl.DataFrame:
    keys = [column for column in schema if column not in sums]
    return rows.group_by(keys).agg(pl.col(*sums).sum()).select(list(schema)).sort(keys)
