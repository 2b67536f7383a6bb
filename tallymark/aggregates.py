"""From tables to the rows of rollups: every slot asked for is computed whole."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from tallymark.cells import SLOT_COLUMNS, encode
from tallymark.pieces import CLIENT, Tables
from tallymark.rollups import CLIENT_SETS, ROLLUPS, Rollup
from tallymark.sessions import join_pages
from tallymark.texts import TEXT_SCHEMA, text_id, with_texts
from tallymark.touches import DIRECT, NO_SESSION
from tallymark.uniques import least_hashes

OTHER: Final = "(other)"


@dataclass(frozen=True)
class Counted:
    """What rollups are computed from: the tables of ``Tables``, joined with their sessions.

    ``joined`` replaces the pieces (``touches.ATTRIBUTED_SCHEMA``); ``pages`` has ``session_start``
    and ``session_slot`` added (null outside sessions).
    """

    joined: pl.DataFrame
    pages: pl.DataFrame
    events: pl.DataFrame
    minutes: pl.DataFrame
    texts: pl.DataFrame


def counted(tables: Tables, joined: pl.DataFrame) -> Counted:
    """Everything that the rollups of ``tables`` need, its pieces being joined and attributed."""
    return Counted(
        joined, join_pages(tables.pages, joined), tables.events, tables.minutes, tables.texts
    )


def rollup_rows(facts: Counted, touched: pl.DataFrame) -> Iterator[tuple[Rollup, pl.DataFrame]]:
    """For each rollup its rows in the touched slots, as ``cells.encode`` takes them.

    Args:
        facts: Holds all rows that lie in, or belong to sessions that start in, those slots.
        touched: ``SLOT_COLUMNS``, without duplicates.
    """
    for rollup, rows in partial_rows(facts, touched):
        yield rollup, capped_rows(rollup, rows)


def partial_rows(facts: Counted, touched: pl.DataFrame) -> Iterator[tuple[Rollup, pl.DataFrame]]:
    """The same of some clients: all rows, however many, to be merged with those of the others."""
    texts = with_constant_texts(facts.texts, touched)
    for rollup in ROLLUPS:
        rows = _GRAINS[rollup.grain](rollup, facts, touched)
        if rollup.text_id:
            rows = with_texts(rows, rollup.text_id, rollup.keys, texts)
        columns = [*SLOT_COLUMNS, *rollup.keys, *rollup.sums, *rollup.uniques]
        yield rollup, rows.select(columns)


def merged_rows(rollup: Rollup, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of ``partial_rows`` of several sets of clients as those of all of them."""
    return rows.group_by(*SLOT_COLUMNS, *rollup.keys).agg(
        pl.col(*rollup.sums).sum(),
        *(
            least_hashes(pl.col(name).explode(empty_as_null=False), rollup.unique_k).alias(name)
            for name in rollup.uniques
        ),
    )


def with_constant_texts(texts: pl.DataFrame, touched: pl.DataFrame) -> pl.DataFrame:
    """The dictionary, and what sessions without a source and hits without a session are called."""
    constants = pl.DataFrame(
        [(text_id(*names), *names) for names in (DIRECT, NO_SESSION)],
        schema=[(name, kind) for name, kind in TEXT_SCHEMA.items() if name != "property_id"],
        orient="row",
    )
    owners = touched.select("property_id").unique()
    wanted = texts.join(owners, on="property_id", how="semi")
    named = owners.join(constants, how="cross").select(list(TEXT_SCHEMA))
    return pl.concat([wanted, named]).unique(["property_id", "text_id"])


def _keys(rollup: Rollup) -> list[str]:
    """The columns that a rollup's rows are grouped by before texts take the place of ids."""
    return [*SLOT_COLUMNS, *((rollup.text_id,) if rollup.text_id else rollup.keys)]


def cell_frame(
    facts: Counted, touched: pl.DataFrame, *, lineage: str, version: int
) -> pl.DataFrame:
    """The cells of all rollups in the touched slots."""
    return pl.concat(
        encode(rollup, rows, touched, lineage=lineage, version=version)
        for rollup, rows in rollup_rows(facts, touched)
    )


def _in_slots(rows: pl.DataFrame, touched: pl.DataFrame) -> pl.DataFrame:
    return rows.join(touched, on=list(SLOT_COLUMNS), how="semi")


def _piece_rows(rollup: Rollup, facts: Counted, touched: pl.DataFrame) -> pl.DataFrame:
    rows = _in_slots(facts.joined, touched)
    if "new_vs_returning" in rollup.keys:
        rows = rows.with_columns(new_vs_returning=new_vs_returning())
    begins = pl.col("begins_session")
    counted_once = {
        "sessions": begins.cast(pl.Int64),
        "engaged_sessions": (begins & pl.col("is_engaged")).cast(pl.Int64),
        "session_duration_ms": pl.when(begins).then("session_duration_ms").otherwise(0),
    }
    members = {
        "users": pl.col("client_hash"),
        "active_users": pl.col("client_hash").filter("is_active"),
        "new_users": pl.col("client_hash").filter("is_new"),
    }
    sums = rows.with_columns(**counted_once)
    return sums.group_by(_keys(rollup)).agg(
        pl.col(*rollup.sums).sum(),
        *(least_hashes(members[name], rollup.unique_k).alias(name) for name in CLIENT_SETS),
    )


def new_vs_returning() -> pl.Expr:
    """As in GA4: clients without an earlier session are new; "" outside sessions."""
    is_returning = pl.col("is_returning")
    return (
        pl.when(is_returning).then(pl.lit("returning")).when(~is_returning).then(pl.lit("new"))
        .otherwise(pl.lit(""))
    )  # fmt: skip


def _page_rows(rollup: Rollup, facts: Counted, touched: pl.DataFrame) -> pl.DataFrame:
    keys = _keys(rollup)
    rows = _in_slots(facts.pages, touched)
    hits = rows.group_by(keys).agg(
        pl.col("events", "views", "engagement_ms").sum(),
        least_hashes(pl.col("client_hash"), rollup.unique_k).alias("users"),
    )
    parts = [hits, _viewing_sessions(facts.pages, touched)]
    # A view of a page that is not known begins and ends a session too, as "(not set)".
    begun = _in_slots(facts.joined.filter("begins_session", "has_views"), touched)
    for sum_name, page in (("entrances", "landing_id"), ("exits", "exit_id")):
        counts = begun.group_by(*SLOT_COLUMNS, pl.col(page).alias("page_id"))
        parts.append(counts.agg(pl.len().cast(pl.Int64).alias(sum_name)))
    together = pl.concat(parts, how="diagonal")
    return together.group_by(keys).agg(
        pl.col(*rollup.sums).sum(), pl.col("users").drop_nulls().first().fill_null([])
    )


def _viewing_sessions(pages: pl.DataFrame, touched: pl.DataFrame) -> pl.DataFrame:
    """Sessions that viewed a page, in the slot in which they start."""
    viewed = pages.filter((pl.col("views") > 0) & pl.col("session_start").is_not_null())
    moved = viewed.with_columns(slot_start=pl.col("session_slot"))
    once = _in_slots(moved, touched).unique([*CLIENT, "session_start", "page_id"])
    return once.group_by(*SLOT_COLUMNS, "page_id").agg(pl.len().cast(pl.Int64).alias("sessions"))


def _event_rows(rollup: Rollup, facts: Counted, touched: pl.DataFrame) -> pl.DataFrame:
    return _client_rows(rollup, facts.events, touched)


def _minute_rows(rollup: Rollup, facts: Counted, touched: pl.DataFrame) -> pl.DataFrame:
    text = pl.col("minute").cast(pl.String).str.zfill(2)
    return _client_rows(
        rollup, _in_slots(facts.minutes, touched).with_columns(minute=text), touched
    )


def _client_rows(rollup: Rollup, table: pl.DataFrame, touched: pl.DataFrame) -> pl.DataFrame:
    return (
        _in_slots(table, touched)
        .group_by(_keys(rollup))
        .agg(
            pl.col(*rollup.sums).sum(),
            least_hashes(pl.col("client_hash"), rollup.unique_k).alias("users"),
        )
    )


_GRAINS: Final[dict[str, Callable[[Rollup, Counted, pl.DataFrame], pl.DataFrame]]] = {
    "piece": _piece_rows,
    "page": _page_rows,
    "event": _event_rows,
    "minute": _minute_rows,
}


def capped_rows(rollup: Rollup, rows: pl.DataFrame) -> pl.DataFrame:
    """At most ``max_rows`` rows a cell; the ones with the fewest events become one ``(other)``."""
    sizes = rows.group_by(SLOT_COLUMNS).len().filter(pl.col("len") > rollup.max_rows)
    if sizes.is_empty():
        return rows
    order = pl.struct(-pl.col("events"), *rollup.keys).rank("ordinal").over(SLOT_COLUMNS)
    ranked = rows.with_columns(rank=order)
    kept = ranked.filter(pl.col("rank") < rollup.max_rows).drop("rank")
    rest = ranked.filter(pl.col("rank") >= rollup.max_rows)
    folded = rest.group_by(SLOT_COLUMNS).agg(
        *(pl.lit(OTHER).alias(key) for key in rollup.keys),
        pl.col(*rollup.sums).sum(),
        *(
            least_hashes(pl.col(name).explode(empty_as_null=False), rollup.unique_k).alias(name)
            for name in rollup.uniques
        ),
    )
    return pl.concat([kept, folded.select(kept.columns)])
