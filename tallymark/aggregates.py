"""From tables to the rows of rollups: every slot asked for is computed whole."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from tallymark.cells import SLOT_COLUMNS, encode
from tallymark.custom_rows import CUSTOM_SUMS
from tallymark.pieces import CLIENT, Tables
from tallymark.rollups import CLIENT_SETS, ROLLUPS, Rollup
from tallymark.sessions import join_customs, join_pages
from tallymark.texts import TEXT_SCHEMA, text_id, with_texts
from tallymark.touches import DIRECT, NO_SESSION
from tallymark.uniques import least_hashes

OTHER: Final = "(other)"


@dataclass(frozen=True)
class Counted:
    """What rollups are computed from: the tables of ``Tables``, joined with their sessions.

    ``joined`` replaces the pieces (``touches.ATTRIBUTED_SCHEMA``); ``pages`` and ``customs`` have
    ``session_start`` and ``session_slot`` added (null outside sessions).
    """

    joined: pl.DataFrame
    pages: pl.DataFrame
    events: pl.DataFrame
    minutes: pl.DataFrame
    customs: pl.DataFrame
    amounts: pl.DataFrame
    texts: pl.DataFrame


def counted(tables: Tables, joined: pl.DataFrame) -> Counted:
    """Everything that the rollups of ``tables`` need, its pieces being joined and attributed."""
    return Counted(
        joined,
        join_pages(tables.pages, joined),
        tables.events,
        tables.minutes,
        join_customs(tables.customs, joined),
        tables.amounts,
        tables.texts,
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
        if rollup.within and facts.customs.is_empty() and facts.amounts.is_empty():
            yield rollup, no_rows(rollup)
            continue
        rows = _GRAINS[rollup.grain](rollup, facts, touched)
        for name, keys in rollup.text_ids:
            rows = with_texts(rows, name, keys, texts)
        columns = [*SLOT_COLUMNS, *rollup.keys, *rollup.sums, *rollup.uniques]
        yield rollup, rows.select(columns)


def no_rows(rollup: Rollup) -> pl.DataFrame:
    """A frame of a rollup's rows, without any."""
    return pl.DataFrame(
        schema={
            **{name: pl.Int32 if name == "slot_minutes" else pl.Int64 for name in SLOT_COLUMNS},
            **dict.fromkeys(rollup.keys, pl.String),
            **dict.fromkeys(rollup.sums, pl.Int64),
            **{name: pl.List(pl.UInt64) for name in rollup.uniques},
        }
    )


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
    return [*SLOT_COLUMNS, *([name for name, _ in rollup.text_ids] or rollup.keys)]


def cell_frame(
    facts: Counted, touched: pl.DataFrame, *, lineage: str, version: int
) -> pl.DataFrame:
    """The cells of all rollups in the touched slots."""
    defined = [facts.customs, facts.amounts]
    return pl.concat(
        encode(rollup, rows, written, lineage=lineage, version=version)
        for rollup, rows in rollup_rows(facts, touched)
        if (written := slots_of_definers(rollup, defined, touched)).height or not rollup.within
    )


def slots_of_definers(
    rollup: Rollup, defined: Sequence[pl.DataFrame], touched: pl.DataFrame
) -> pl.DataFrame:
    """Those of the touched slots in which a rollup has cells, empty or not.

    Args:
        rollup: Which one.
        defined: Rows (with a ``property_id``) of what properties have defined.
        touched: ``SLOT_COLUMNS``.
    """
    if not rollup.within:
        return touched
    owners = pl.concat([rows.select("property_id") for rows in (touched[:0], *defined)]).unique()
    return touched.join(owners, on="property_id", how="semi")


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
    viewed = facts.pages.filter(pl.col("views") > 0)
    parts = [hits, _sessions_of(viewed, "page_id", touched)]
    # A view of a page that is not known begins and ends a session too, as "(not set)".
    begun = _in_slots(facts.joined.filter("begins_session", "has_views"), touched)
    for sum_name, page in (("entrances", "landing_id"), ("exits", "exit_id")):
        counts = begun.group_by(*SLOT_COLUMNS, pl.col(page).alias("page_id"))
        parts.append(counts.agg(pl.len().cast(pl.Int64).alias(sum_name)))
    together = pl.concat(parts, how="diagonal")
    return together.group_by(keys).agg(
        pl.col(*rollup.sums).sum(), pl.col("users").drop_nulls().first().fill_null([])
    )


def _sessions_of(rows: pl.DataFrame, text_id: str, touched: pl.DataFrame) -> pl.DataFrame:
    """Sessions that have a row of a page or value, in the slot in which they start."""
    within = rows.filter(pl.col("session_start").is_not_null())
    moved = within.with_columns(slot_start=pl.col("session_slot"))
    once = _in_slots(moved, touched).unique([*CLIENT, "session_start", text_id])
    return once.group_by(*SLOT_COLUMNS, text_id).agg(pl.len().cast(pl.Int64).alias("sessions"))


def _custom_rows(rollup: Rollup, facts: Counted, touched: pl.DataFrame) -> pl.DataFrame:
    keys = _keys(rollup)
    if "sessions" not in rollup.sums:
        return _client_rows(rollup, facts.customs, touched)
    hits = (
        _in_slots(facts.customs, touched)
        .group_by(keys)
        .agg(
            pl.col(*CUSTOM_SUMS).sum(),
            least_hashes(pl.col("client_hash"), rollup.unique_k).alias("users"),
        )
    )
    together = pl.concat([hits, _sessions_of(facts.customs, "custom_id", touched)], how="diagonal")
    return together.group_by(keys).agg(
        pl.col(*rollup.sums).sum(), pl.col("users").drop_nulls().first().fill_null([])
    )


def _amount_rows(rollup: Rollup, facts: Counted, touched: pl.DataFrame) -> pl.DataFrame:
    return _client_rows(rollup, facts.amounts, touched)


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
    "custom": _custom_rows,
    "amount": _amount_rows,
}


def capped_rows(rollup: Rollup, rows: pl.DataFrame) -> pl.DataFrame:
    """At most ``max_rows`` rows a cell; the ones with the fewest events become one ``(other)``.

    Of a rollup whose rows count within a key it is so for each value of that.
    """
    cell = [*SLOT_COLUMNS, *([rollup.within] if rollup.within else [])]
    sizes = rows.group_by(cell).len().filter(pl.col("len") > rollup.max_rows)
    if sizes.is_empty():
        return rows
    order = pl.struct(-pl.col("events"), *rollup.keys).rank("ordinal").over(cell)
    ranked = rows.with_columns(rank=order)
    kept = ranked.filter(pl.col("rank") < rollup.max_rows).drop("rank")
    rest = ranked.filter(pl.col("rank") >= rollup.max_rows)
    folded = rest.group_by(cell).agg(
        *(pl.lit(OTHER).alias(key) for key in rollup.keys if key not in cell),
        pl.col(*rollup.sums).sum(),
        *(
            least_hashes(pl.col(name).explode(empty_as_null=False), rollup.unique_k).alias(name)
            for name in rollup.uniques
        ),
    )
    return pl.concat([kept, folded.select(kept.columns)])
