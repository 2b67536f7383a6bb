"""Facts of hits: what a report is computed from where no rollup holds its combination.

Every hit is placed in its session by the functions that streams and replays use, so that what is
said of it is what rollups say. Of some clients and hours the facts are those of
``DecodedCells``: rows of sums, and sets of which nothing is left out; parts that share no client
or no slot simply stand beside each other.

Numbers of hits lie in the slot of the hit, those of sessions in the slot in which the session
starts. A session counts once in each row that one of its hits is in; where only pages tell rows
apart, that one of its page views is in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tallymark.aggregates import new_vs_returning, with_constant_texts
from tallymark.compaction import merge_pieces
from tallymark.counting import HIT_COLUMNS
from tallymark.decoded_cells import DecodedCells
from tallymark.hit_keys import (
    HIT_KEYS,
    HIT_TEXTS,
    HITS,
    ITEM_SUMS,
    OF_SOURCE,
    SESSION_SETS,
    TEXTS,
    HitKey,
)
from tallymark.key_events import first_of_sessions
from tallymark.narrow_hits import NARROW_SCHEMA, NO_TRANSACTION, narrow
from tallymark.pieces import CLIENT, latest_before, pieces_of, slot_of
from tallymark.reports.item_facts import item_sums_of_hits, with_items
from tallymark.reports.local_time import local_us
from tallymark.reports.plan import Plan
from tallymark.sessions import join_sessions
from tallymark.slots import DAY_US
from tallymark.texts import NO_TEXT, TEXT_SCHEMA, with_text_ids, with_texts
from tallymark.touches import SOURCE, TOUCH_ID_SCHEMA, attributed, histories_of
from tallymark.transactions import counted_once

_OF_SESSION: Final = frozenset((*SESSION_SETS, "active_users", "entrances", "exits", "key_events"))
"""Measures for which sessions have to be known: a key event may count once in one."""
_BY_TOUCHES: Final = ("source_id", "first_source_id")
_SAID: Final = (
    "session_start", "session_slot", "session_duration_ms", "is_engaged", "is_active",
    "is_returning", "source_id", "first_source_id", "landing_id", "device_id",
)  # fmt: skip
"""What the piece of a hit says of it."""
_COUNTED: Final = (
    "property_id", "client_hash", "event_at", "slot_minutes", "excluded_by", "engagement_ms",
    "is_page_view", "is_first_visit",
)  # fmt: skip
"""Columns of hits that count by themselves."""
_WITH_ITEMS: Final = ("items", "sent_value_micros", "currency")


@dataclass(frozen=True)
class Needs:
    """What has to be known of hits for a plan."""

    plan: Plan

    @cached_property
    def keys(self) -> dict[str, HitKey]:
        """The keys of hits that the report needs."""
        return {name: HIT_KEYS[name] for name in self.plan.keys}

    @property
    def sessions(self) -> bool:
        """Whether sessions are needed, and so the hits around the spans."""
        measures = {*self.plan.sums, *self.plan.uniques}
        of_session = any(key.scope == "session" for key in self.keys.values())
        return of_session or bool(_OF_SESSION & measures)

    @property
    def touches(self) -> bool:
        """Whether older touches of the clients are."""
        by_touch = any(key.text_id in _BY_TOUCHES for key in self.keys.values())
        return by_touch or "new_vs_returning" in self.keys

    @property
    def items(self) -> bool:
        """Whether items are."""
        return self.by_item or bool(set(self.plan.sums) & set(ITEM_SUMS))

    @property
    def values(self) -> bool:
        """Whether what sales are worth is, and so the sales that they may repeat."""
        return self.items or "value_micros" in self.plan.sums

    @property
    def by_item(self) -> bool:
        """Whether rows are told apart by item."""
        return self.plan.rollup is not HITS

    @property
    def order(self) -> bool:
        """Whether hits are held against others of their client."""
        return self.sessions or self.values

    @property
    def columns(self) -> list[str]:
        """The columns of a hit that are needed."""
        wanted = [*(HIT_COLUMNS if self.order else _COUNTED), "rules_version"]
        wanted += [key.column for key in self.keys.values() if key.column]
        wanted += [name for group in self.groups for name in HIT_TEXTS.get(group, ())]
        wanted += [OF_SOURCE[name] for name in self.keys if name in OF_SOURCE]
        return list(dict.fromkeys([*wanted, *(_WITH_ITEMS if self.items else ())]))

    @property
    def groups(self) -> list[str]:
        """What rows are grouped by: ids in the place of texts."""
        return list(dict.fromkeys(key.text_id or name for name, key in self.keys.items()))

    @property
    def only_views(self) -> bool:
        """Whether sessions count by the pages that they viewed."""
        scopes = {key.scope for key in self.keys.values()} - {"session"}
        return scopes == {"page"}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What some hits say, of some clients in some slots.

    Attributes:
        numbers: ``row``, ``slot_start`` (UTC µs), keys and sums of the plan.
        sets: ``row``, ``measure``, ``hash``; that of ``SESSION_SETS`` is the session's place in
            ``durations_ms``.
        durations_ms: Of each session.
        newest_us: UTC µs of the newest hit that counts; ``None`` where there is none.
        rules_versions: With which the hits were processed.
    """

    numbers: pl.DataFrame
    sets: pl.DataFrame
    durations_ms: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    newest_us: int | None = None
    rules_versions: frozenset[int] = frozenset()


def together(parts: Sequence[Facts]) -> DecodedCells:
    """Facts that share no client or no slot as a read of one rollup.

    Args:
        parts: At least one.
    """
    numbers, sets, rows, sessions = [], [], 0, 0
    for part in parts:
        numbers.append(part.numbers.with_columns(pl.col("row") + rows))
        offset = pl.when(pl.col("measure").is_in(SESSION_SETS)).then(sessions).otherwise(0)
        sets.append(
            part.sets.with_columns(pl.col("row") + rows, pl.col("hash") + offset.cast(pl.UInt64))
        )
        rows += part.numbers.height
        sessions += len(part.durations_ms)
    durations = np.concatenate([part.durations_ms for part in parts])
    return DecodedCells(
        numbers=pl.concat(numbers), sets=pl.concat(sets), weights={"session_duration_ms": durations}
    )


def facts_of(
    needs: Needs, hits: pl.DataFrame, older: pl.DataFrame, *, known_from: int,
    spans: Sequence[tuple[int, int]],
) -> Facts:  # fmt: skip
    """What hits say in slots.

    Args:
        needs: Of the report.
        hits: ``Needs.columns``: all hits that count, of the clients in them, on which the sessions
            depend that start, or hold a hit, in the spans. Each once.
        older: ``TOUCH_SCHEMA``: touches of these clients in hours before ``known_from``.
        known_from: UTC µs of the first hour whose sessions the hits make up whole.
        spans: Half-open slot ranges (UTC µs).
    """
    if needs.order:
        placed, texts = narrow(hits)
    else:
        ids = {name: HIT_TEXTS[name] for name in needs.groups if name in HIT_TEXTS}
        empty = pl.DataFrame(schema=TEXT_SCHEMA)
        placed, texts = with_text_ids(hits, ids) if ids else (hits, empty)
    placed = placed.with_columns(_keys_of_hits(needs), slot_start=slot_of(), at="event_at")
    if needs.order:
        placed = _with_values(placed.sort("at", "hit_order").with_row_index("place"))
    if needs.sessions:
        placed, texts = _with_sessions(needs, placed, texts, older, known_from)
    if needs.items:
        placed = (with_items if needs.by_item else item_sums_of_hits)(
            placed, needs.plan.request.currency
        )
    own = placed.filter(_within("slot_start", spans))
    parts = [_grouped(needs, _timed(needs, own, "slot_start"), _of_hits(needs))]
    durations = np.zeros(0, dtype=np.int64)
    if aggregates := _of_sessions(needs):
        begun, durations = _sessions(needs, placed, spans)
        parts.append(_grouped(needs, _timed(needs, begun, "session_slot"), aggregates))
    together = pl.concat(parts, how="diagonal").with_row_index("row")
    return Facts(
        numbers=_numbers(needs, together, texts),
        sets=_sets(needs, together),
        durations_ms=durations,
        newest_us=own.get_column("event_at").max(),  # type: ignore[arg-type]
        rules_versions=frozenset(own.get_column("rules_version").unique()),
    )


def _keys_of_hits(needs: Needs) -> list[pl.Expr]:
    """The keys that hits say themselves, under their own names."""
    return [
        pl.col(key.column).alias(name)
        for name, key in needs.keys.items()
        if key.column and not key.text_id
    ]


def _with_sessions(
    needs: Needs, hits: pl.DataFrame, texts: pl.DataFrame, older: pl.DataFrame, known_from: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hits with what their pieces say of them, and the texts of it."""
    touched, more = with_text_ids(older, {"source_id": SOURCE})
    histories = histories_of(touched.select(list(TOUCH_ID_SCHEMA)))
    pieces = merge_pieces(pieces_of(hits.select(list(NARROW_SCHEMA)).cast(NARROW_SCHEMA)))
    joined = attributed(join_sessions(pieces), histories, known_from)
    marks = joined.select(
        *CLIENT, "opens_session", at="start", piece=pl.struct(_SAID)
    )  # fmt: skip
    own = hits.rename({"source_id": "own_source_id"}).drop(
        *(set(_SAID) & set(hits.columns) - {"source_id"})
    )
    told = latest_before(own, marks, "piece").unnest("piece")
    told = _counted_once(told).with_columns(*_firsts(needs), new_vs_returning=new_vs_returning())
    known = with_constant_texts(pl.concat([texts, more]), told)
    return told, known


def _counted_once(told: pl.DataFrame) -> pl.DataFrame:
    """``told`` without the key events that another one of their session stands for."""
    key_events = told.filter("is_once_per_session")
    if key_events.is_empty():
        return told
    counted = first_of_sessions(key_events).get_column("hit_order")
    repeats = pl.col("is_once_per_session") & ~pl.col("hit_order").is_in(counted.implode())
    return told.with_columns(is_key_event=pl.col("is_key_event") & ~repeats)


def _firsts(needs: Needs) -> list[pl.Expr]:
    """What single hits say of their sessions, numbered by ``place`` in the order of time: where it
    was entered and left, and what its campaign said."""
    session = [*CLIENT, "session_start"]
    opens = pl.col("opens_session") & pl.col("session_start").is_not_null()
    wanted = {*needs.plan.sums}
    found = []
    for name, end in (("entrances", "min"), ("exits", "max")):
        if name in wanted:
            place = pl.when(opens & pl.col("is_page_view")).then("place")
            ends = getattr(place, end)().over(session)
            found.append((place == ends).fill_null(value=False).alias(name))
    names_source = opens & (pl.col("own_source_id") != NO_TEXT)
    for name in needs.keys:
        if name in OF_SOURCE:
            first = pl.when(names_source).then("place")
            is_first = first == first.min().over(session)
            said = pl.when(is_first).then(OF_SOURCE[name]).max().over(session).fill_null("")
            found.append(said.alias(name))
    return found


def _with_values(placed: pl.DataFrame) -> pl.DataFrame:
    """``placed`` with ``repeats_sale``, and without the values of sales that repeat others."""
    named = placed.filter(pl.col("transaction_key") != NO_TRANSACTION)
    once = counted_once(named).get_column("hit_order")
    repeats = (pl.col("transaction_key") != NO_TRANSACTION) & ~pl.col("hit_order").is_in(
        once.implode()
    )
    return placed.with_columns(repeats_sale=repeats, sale_micros="value_micros").with_columns(
        value_micros=pl.when("repeats_sale").then(0).otherwise("value_micros")
    )


def _sessions(
    needs: Needs, placed: pl.DataFrame, spans: Sequence[tuple[int, int]]
) -> tuple[pl.DataFrame, npt.NDArray[np.int64]]:
    """The hits by which sessions that start in the spans count, each with the ``session``'s
    number, and the durations of the sessions."""
    is_inside = _within("session_slot", spans)
    rows = placed.filter(is_inside & pl.col("is_page_view") if needs.only_views else is_inside)
    sessions = rows.group_by(*CLIENT, "session_start").agg(
        pl.col("session_duration_ms").first()
    )  # fmt: skip
    numbered = sessions.with_row_index("session").with_columns(pl.col("session").cast(pl.UInt64))
    held = rows.join(
        numbered.drop("session_duration_ms"), on=[*CLIENT, "session_start"], how="left"
    )
    return held, sessions.get_column("session_duration_ms").to_numpy()


def _of_hits(needs: Needs) -> dict[str, pl.Expr]:
    """What is counted in the slots of hits."""
    client = pl.col("client_hash")
    is_active = pl.col("is_active") if needs.sessions else pl.lit(value=False)
    every = {
        "events": pl.len().cast(pl.Int64),
        "views": pl.col("is_page_view").sum().cast(pl.Int64),
        "engagement_ms": pl.col("engagement_ms").sum(),
        "key_events": pl.col("is_key_event").sum().cast(pl.Int64),
        "value_micros": pl.col("value_micros").sum(),
        "users": client.unique(),
        "active_users": client.filter(is_active).unique(),
        "new_users": client.filter("is_first_visit").unique(),
        **{name: pl.col(name).sum() for name in ITEM_SUMS},
    }
    wanted = {*needs.plan.sums, *needs.plan.uniques}
    return {name: counted for name, counted in every.items() if name in wanted}


def _of_sessions(needs: Needs) -> dict[str, pl.Expr]:
    """What is counted in the slots in which sessions start."""
    session = pl.col("session")
    every = {
        "entrances": pl.col("entrances").sum().cast(pl.Int64),
        "exits": pl.col("exits").sum().cast(pl.Int64),
        "sessions": session.unique(),
        "engaged_sessions": session.filter("is_engaged").unique(),
        "session_duration_ms": session.unique(),
    }
    wanted = {*needs.plan.sums, *needs.plan.uniques}
    return {name: counted for name, counted in every.items() if name in wanted}


def _grouped(needs: Needs, rows: pl.DataFrame, aggregates: dict[str, pl.Expr]) -> pl.DataFrame:
    return rows.group_by("slot", "property_id", *needs.groups).agg(
        counted.alias(name) for name, counted in aggregates.items()
    )


def _timed(needs: Needs, rows: pl.DataFrame, slot: str) -> pl.DataFrame:
    """``rows`` with a ``slot`` that stands for all that the report does not tell apart."""
    request = needs.plan.request
    if any(part.is_by_hour for part in (*request.dimensions, *request.filter_dimensions)):
        return rows.with_columns(slot=slot)
    slots = rows.select(slot).unique()
    day = local_us(slots.get_column(slot).to_numpy(), request.time_zone) // DAY_US
    days = slots.with_columns(pl.Series("day", day, pl.Int64))
    named = days.with_columns(slot=pl.col(slot).min().over("day")).drop("day")
    return rows.join(named, on=slot, how="left")


def _numbers(needs: Needs, grouped: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    sums = needs.plan.sums
    numbers = grouped.select(
        "row", "property_id", pl.col("slot").alias("slot_start"), *needs.groups,
        *(pl.col(name).fill_null(0) for name in sums),
    )  # fmt: skip
    for text_id, columns in TEXTS.items():
        if text_id in needs.groups:
            numbers = with_texts(numbers, text_id, columns, texts)
    return numbers.select("row", "slot_start", *needs.plan.keys, *sums)


def _sets(needs: Needs, grouped: pl.DataFrame) -> pl.DataFrame:
    """The members of all sets; a row a member."""
    measures = pl.Enum(needs.plan.rollup.uniques)
    empty = pl.DataFrame(schema={"row": pl.UInt32, "measure": measures, "hash": pl.UInt64})
    parts = [
        grouped.select("row", pl.lit(name, measures).alias("measure"), pl.col(name).alias("hash"))
        .drop_nulls("hash")
        .explode("hash", empty_as_null=False)
        for name in needs.plan.uniques
    ]
    return pl.concat([empty, *parts])


def _within(slot: str, spans: Sequence[tuple[int, int]]) -> pl.Expr:
    """Whether a slot lies in one of the spans."""
    return pl.any_horizontal(
        [pl.col(slot).is_between(start, end, closed="left") for start, end in spans]
    ).fill_null(value=False)
