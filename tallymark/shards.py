"""A shard's state: what it has seen and holds, how it takes hits in, and which cells it owes.

The state is the fold of its log: each entry is a ``Delta`` (the blocks taken in and the tables of
their new hits). Whoever folds the same deltas, in any order, holds the same hits and blocks, so the
log may lie in a runner's state or in a snapshot while the folded form is a cache. The clock, which
only ever went forward, may then be a little behind what it was.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Final

import polars as pl

from tallymark.additions import (
    added_in,
    customs_with_additions,
    events_with_additions,
    joined_with_additions,
)
from tallymark.aggregates import Counted
from tallymark.cells import SLOT_COLUMNS
from tallymark.compaction import compact, merge_pieces
from tallymark.custom_rows import CUSTOM_SCHEMA
from tallymark.histories import Histories
from tallymark.key_events import first_of_pieces
from tallymark.owed import Owed, changed_slots, changed_touches
from tallymark.pieces import (
    CLIENT,
    PAGE_SCHEMA,
    Tables,
    empty_tables,
    tables_of,
)
from tallymark.seen_ids import ID_SCHEMA, SeenIds
from tallymark.sessions import (
    JOINED_SCHEMA,
    PAGE_SESSION_SCHEMA,
    SESSION_DESCENDS,
    SESSION_ORDER,
    join_customs,
    join_pages,
)
from tallymark.shard_frames import SHARD_HIT_SCHEMA, ShardFrame
from tallymark.shard_log import HELD_SINCE_EVER, Delta
from tallymark.slots import (
    HOUR_US,
    LATE_US,
    SESSION_ALIGNMENT_US,
    first_unsealed_hour,
    first_whole_hour,
)
from tallymark.texts import with_text_ids
from tallymark.touch_cells import CLIENT_HOUR, hour_of
from tallymark.touches import ATTRIBUTED_SCHEMA, SOURCE, TOUCH_ID_SCHEMA, attributed, touches_of
from tallymark.transactions import counted_once
from tallymark.vectors import BlockMark, Vector

IDS_KEPT_US: Final = 600_000_000
"""How long ids of requests that a balancer may have run twice are remembered: ten minutes."""
_TEXT_KEY: Final = ("property_id", "text_id")
LATE_SCHEMA: Final = pl.Schema(
    {"property_id": pl.Int64, "event_hour": pl.Int64, "spool_id": pl.String, "number": pl.Int64}
)
"""Announcements: blocks that hold hits which a live lineage does not count, by hour of event."""


@dataclass(frozen=True)
class Taken:
    """What became of a shard frame: the log entry, announcements (``LATE_SCHEMA``), counts."""

    delta: Delta
    late: pl.DataFrame
    hits: int
    repeated_blocks: int
    repeated_hits: int


@dataclass
class Shard:
    """The folded state of one shard.

    Attributes:
        tables: All but the page rows, which ``pages`` holds with their sessions.
        reads_whole_from: UTC µs since when the job has read everything; hours whose window begins
            earlier are not written.
        late_us: D, the lateness that a live lineage still counts.
        held_from: UTC µs; hours before it were let go, sealed and written.
        histories: The touches of its clients before ``known_from``, as far as they were told.
        dirty_touches: Hours of clients whose touches are not written yet.
        handed_out: What is being written; it is held as what is not written yet.
    """

    reads_whole_from: int
    late_us: int = LATE_US
    held_from: int = HELD_SINCE_EVER
    vector: Vector = field(default_factory=Vector)
    tables: Tables = field(default_factory=empty_tables)
    joined: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ATTRIBUTED_SCHEMA))
    pages: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PAGE_SESSION_SCHEMA))
    ids: SeenIds = field(default_factory=SeenIds)
    pending: list[pl.DataFrame] = field(default_factory=list)
    restored: list[Tables] = field(default_factory=list)
    dirty: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={n: JOINED_SCHEMA[n] for n in SLOT_COLUMNS})
    )
    handed_out: Owed | None = None
    histories: Histories = field(default_factory=Histories)
    dirty_touches: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(
            schema={n: TOUCH_ID_SCHEMA.get(n, pl.Int64()) for n in CLIENT_HOUR}
        )
    )

    @property
    def known_from(self) -> int:
        """UTC µs of the first hour whose sessions this state knows; older ones the store has."""
        return max(self.held_from, first_whole_hour(self.reads_whole_from))

    def take(self, frame: ShardFrame) -> Taken:
        """Count the hits of blocks that are new. The frame's log entry is already folded in."""
        blocks, fresh, repeated_blocks = self._fresh(frame)
        fresh, repeated_hits = self._without_repeated_ids(fresh)
        is_late = self._is_late()
        late = _announcements(fresh.filter(is_late), frame.blocks)
        counting = fresh.filter(~is_late)
        ids = fresh.filter("has_balancer_id").select(list(ID_SCHEMA))
        delta = Delta(None, blocks, counting, replace(empty_tables(), texts=frame.texts), ids)
        self.fold(delta)
        return Taken(delta, late, counting.height, repeated_blocks, repeated_hits)

    def fold(self, delta: Delta) -> None:
        """Take a log entry in. Blocks of one delta must be new to this state."""
        self._include(delta)
        self.vector.advance()

    def restore(self, log: Iterable[Delta]) -> None:
        """Take a whole log into a new state, its entries in any order.

        All blocks are noted before a spool is based on the least of them and the clock moves.
        """
        for delta in sorted(log, key=lambda delta: delta.vector is None):
            self._include(delta)
        self.vector.advance()

    def _include(self, delta: Delta) -> None:
        if delta.vector is not None:
            self.vector, self.held_from = delta.vector, delta.held_from
        for mark in delta.blocks:
            self.vector.observe(mark)
        if delta.tables.pieces.height or delta.tables.texts.height:
            self.restored.append(delta.tables)
        if delta.hits.height:
            self.pending.append(delta.hits)
        self.ids.add(delta.ids)

    def settle(self) -> None:
        """Merge what was taken in; slots whose rows changed become dirty."""
        if not (self.pending or self.restored):
            return
        fresh = self._unsettled()
        clients = fresh.pieces.select(CLIENT).unique()
        pieces_of, other_pieces = _apart(self.tables.pieces, clients)
        joined_of, other_joined = _apart(self.joined, clients)
        pages_of, other_pages = _apart(self.pages, clients)
        sales_of, other_sales = _apart(self.tables.transactions, clients)
        key_events_of, other_key_events = _apart(self.tables.key_events, clients)
        transactions = pl.concat([sales_of, fresh.transactions])
        pieces = merge_pieces(pl.concat([pieces_of, fresh.pieces]))
        key_events = first_of_pieces(pl.concat([key_events_of, fresh.key_events]), pieces)
        self.histories.meet(clients)
        joined = self._attributed(
            joined_with_additions(pieces, counted_once(transactions), key_events)
        )
        pages = join_pages(pl.concat([pages_of.select(list(PAGE_SCHEMA)), fresh.pages]), joined)
        self._mark_dirty(changed_slots(joined_of, joined))
        self._mark_touches(changed_touches(joined_of, joined))
        self.joined = pl.concat([other_joined, joined])
        self.pages = pl.concat([other_pages, pages])
        self.tables = Tables(
            pieces=pl.concat([other_pieces, pieces]),
            pages=self.tables.pages,
            events=pl.concat([self.tables.events, fresh.events]),
            minutes=pl.concat([self.tables.minutes, fresh.minutes]),
            customs=pl.concat([self.tables.customs, fresh.customs]),
            amounts=pl.concat([self.tables.amounts, fresh.amounts]),
            transactions=pl.concat([other_sales, transactions]),
            key_events=pl.concat([other_key_events, key_events]),
            texts=pl.concat([self.tables.texts, fresh.texts]).unique(_TEXT_KEY),
        )

    def _unsettled(self) -> Tables:
        """The tables of what was taken in or restored since the last time."""
        parts, self.restored = self.restored, []
        hits, self.pending = self.pending, []
        if hits:
            parts = [*parts, tables_of(pl.concat(hits), empty_tables().texts)]
        return Tables(
            *(pl.concat([getattr(part, table.name) for part in parts]) for table in fields(Tables))
        )

    def strangers(self) -> pl.DataFrame:
        """Clients (``CLIENT``) whose older touches have to be told before cells are right.

        There are none as long as the state has let no hour go and has read everything.
        """
        self.settle()
        if self.known_from <= 0:
            return pl.DataFrame(schema={name: JOINED_SCHEMA[name] for name in CLIENT})
        return self.histories.strangers()

    def learn(self, clients: pl.DataFrame, touches: pl.DataFrame) -> None:
        """Be told the older touches of some strangers; what they change becomes dirty.

        Args:
            clients: ``CLIENT``; who is not in ``touches`` has none.
            touches: ``TOUCH_SCHEMA``, all that are served for hours before ``known_from``.
        """
        numbered, texts = with_text_ids(touches, {"source_id": SOURCE})
        found = self.histories.tell(clients, numbered.select(list(TOUCH_ID_SCHEMA)))
        if found.is_empty():
            return
        self.tables = replace(
            self.tables, texts=pl.concat([self.tables.texts, texts]).unique(_TEXT_KEY)
        )
        before, others = _apart(self.joined, found)
        ordered = before.select(list(JOINED_SCHEMA)).sort(
            SESSION_ORDER, descending=SESSION_DESCENDS
        )
        after = self._attributed(ordered)
        self._mark_dirty(changed_slots(before, after))
        self.joined = pl.concat([others, after])

    def _attributed(self, joined: pl.DataFrame) -> pl.DataFrame:
        return attributed(joined, self.histories.rows.drop("is_known"), self.known_from)

    def prune(self) -> None:
        """Let go of what no hour depends on that may change or that changed and is not written.

        Ids are let go after ten minutes.
        """
        first = max(self.held_from, self.first_unsealed_hour())
        unwritten = [self.owed(), *([self.handed_out] if self.handed_out else [])]
        for slot_start in pl.concat(owed.slots for owed in unwritten)["slot_start"].bottom_k(1):
            first = min(first, slot_start // HOUR_US * HOUR_US)
        known_from, self.held_from = self.known_from, first
        needed = first // SESSION_ALIGNMENT_US * SESSION_ALIGNMENT_US - 2 * SESSION_ALIGNMENT_US
        still = pl.col("slot_start") >= first
        self.tables = Tables(
            pieces=self.tables.pieces.filter(pl.col("slot_start") >= needed),
            pages=self.tables.pages,
            events=self.tables.events.filter(still),
            minutes=self.tables.minutes.filter(still),
            customs=self.tables.customs.filter(still),
            amounts=self.tables.amounts.filter(still),
            transactions=self.tables.transactions.filter(pl.col("slot_start") >= needed),
            key_events=self.tables.key_events.filter(pl.col("slot_start") >= needed),
            texts=self.tables.texts,
        )
        let_go = pl.col("start").is_between(known_from, self.known_from, closed="left")
        self.histories.go_on(touches_of(self.joined).filter(let_go))
        self.joined = self.joined.filter(pl.col("slot_start") >= needed)
        self.histories.keep(self.joined.select(CLIENT).unique())
        self.pages = self.pages.filter(pl.col("slot_start") >= needed)
        self.dirty = self.dirty.filter(still)
        self.dirty_touches = self.dirty_touches.filter(pl.col("hour") >= first)
        self.ids.forget(self.vector.clock - IDS_KEPT_US)

    def base(self) -> Delta:
        """The whole state as one log entry, as small as it can be; equal states, equal rows."""
        self.settle()
        self.prune()
        customs = join_customs(self.tables.customs, self.joined).select(list(CUSTOM_SCHEMA))
        texts = self._texts_in_use(with_others=True)
        self.tables = compact(replace(self.tables, customs=customs, texts=texts))
        pages = self.pages.select(list(PAGE_SCHEMA)).sort(list(PAGE_SCHEMA))
        hits = pl.DataFrame(schema=SHARD_HIT_SCHEMA)
        tables = replace(self.tables, pages=pages, texts=self._texts_in_use())
        return Delta(self.vector, (), hits, tables, self.ids.frame(), self.held_from)

    def _texts_in_use(self, *, with_others: bool = False) -> pl.DataFrame:
        """The dictionary without the texts of pages and sources that nobody held has seen.

        Args:
            with_others: Whether to keep the texts of touches that the store told: whoever folds
                the log is told them again.
        """
        facts = ("landing_id", "exit_id", "device_id")
        holders = [
            (self.tables.pieces, ("source_id", *facts)),
            (self.joined, ("own_source_id", *facts)),
            (self.pages, ("page_id",)),
            (self.tables.events, ("event_id",)),
            (self.tables.customs, ("custom_id",)),
            (self.tables.amounts, ("custom_id",)),
            (self.tables.transactions, ("event_id",)),
        ]
        if with_others:
            holders.append((self.joined, ("source_id", "first_source_id")))
            holders.append((self.histories.rows, ("first_id", "last_id")))
        used = pl.concat(
            rows.select("property_id", pl.col(name).alias("text_id")).unique()
            for rows, names in holders
            for name in names
        )
        return self.tables.texts.join(used, on=["property_id", "text_id"], how="semi")

    def owed(self) -> Owed:
        """Cells that are not written yet and may be.

        A sealed hour is owed too: it may have been sealed while the store was away.
        """
        self.settle()
        slots = self.dirty.filter(self._may_be_written())
        added = added_in(slots, self.tables.transactions, self.tables.key_events, self.joined)
        # Of its own, since a frame that is being written into bytes is locked for all who hold it.
        tables = (
            table.clone()
            for table in (
                self.joined,
                self.pages,
                events_with_additions(self.tables.events, added),
                self.tables.minutes,
                join_customs(self._customs_in(slots, added), self.joined),
                self.tables.amounts,
                self.tables.texts,
            )
        )
        return Owed(
            slots=slots,
            client_hours=self.dirty_touches.filter(self._may_be_written("hour")),
            facts=Counted(*tables),
        )

    def _customs_in(self, slots: pl.DataFrame, added: pl.DataFrame) -> pl.DataFrame:
        """Custom rows of slots, and of sessions that may start in them."""
        customs = self.tables.customs
        if customs.is_empty() or slots.is_empty():
            return customs
        first = slots.get_column("slot_start").min()
        return customs_with_additions(customs.filter(pl.col("slot_start") >= first), added)

    def hand_out(self) -> Owed:
        """What is owed, for one who writes it and then says whether it is written or not.

        It may take a while: what changes meanwhile is owed anew.
        """
        assert self.handed_out is None, "one flush of a shard is on its way at most"
        owed = self.handed_out = self.owed()
        self.dirty = self.dirty.filter(~self._may_be_written())
        self.dirty_touches = self.dirty_touches.filter(~self._may_be_written("hour"))
        return owed

    def note_written(self) -> None:
        """What was handed out is stored."""
        self.handed_out = None

    def take_back(self) -> None:
        """What was handed out may not be stored: it is owed again."""
        assert self.handed_out is not None
        self._mark_dirty(self.handed_out.slots)
        self._mark_touches(self.handed_out.client_hours)
        self.handed_out = None

    def mark_all_dirty(self) -> None:
        """Owe every cell that is held: who takes a shard up rewrites what it holds.

        An hour in which no session of a client begins may have had a touch when it was written.
        """
        self.settle()
        self._mark_dirty(self.joined.select(SLOT_COLUMNS).unique())
        opening = self.joined.filter("opens_session")
        self._mark_touches(opening.select(*CLIENT, hour_of("start")).unique())

    def first_unsealed_hour(self) -> int:
        """UTC µs of the first hour that on-time hits may still change."""
        return first_unsealed_hour(self.vector.clock, self.late_us)

    def _may_be_written(self, start: str = "slot_start") -> pl.Expr:
        hour = pl.col(start) // HOUR_US * HOUR_US
        return hour >= self.known_from

    def _mark_dirty(self, slots: pl.DataFrame) -> None:
        self.dirty = pl.concat([self.dirty, slots.select(SLOT_COLUMNS)]).unique()

    def _mark_touches(self, client_hours: pl.DataFrame) -> None:
        self.dirty_touches = pl.concat([self.dirty_touches, client_hours]).unique()

    def _is_late(self) -> pl.Expr:
        late = pl.col("received_at") - pl.col("event_at") > self.late_us
        sealed = pl.col("event_at") // HOUR_US * HOUR_US < self.first_unsealed_hour()
        return late | sealed

    def _fresh(self, frame: ShardFrame) -> tuple[tuple[BlockMark, ...], pl.DataFrame, int]:
        """The blocks not seen before, once each, and their hits."""
        names: set[tuple[str, int]] = set()
        keep = []
        for mark in frame.blocks:
            name = (mark.spool_id, mark.number)
            keep.append(not self.vector.has(*name) and name not in names)
            names.add(name)
        blocks = tuple(mark for mark, new in zip(frame.blocks, keep, strict=True) if new)
        if all(keep):
            return blocks, frame.hits, 0
        new = pl.DataFrame(
            {"block": [index for index, is_new in enumerate(keep) if is_new]},
            schema={"block": pl.UInt32},
        )
        return blocks, frame.hits.join(new, on="block", how="semi"), keep.count(False)

    def _without_repeated_ids(self, hits: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """Hits of requests that came twice, once."""
        if not hits.select(pl.col("has_balancer_id").any()).item():
            return hits, 0
        fresh = hits.filter(~self.ids.known_among(hits.get_column("hit_order")))
        once = fresh.sort("hit_order", "received_at").unique("hit_order", keep="first")
        return once, hits.height - once.height


def _apart(rows: pl.DataFrame, clients: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of ``clients``, and the others."""
    on = list(CLIENT)
    return rows.join(clients, on=on, how="semi"), rows.join(clients, on=on, how="anti")


def _announcements(late: pl.DataFrame, blocks: tuple[BlockMark, ...]) -> pl.DataFrame:
    """Which property's hours have to be computed again, because of which block."""
    names = pl.DataFrame(
        {
            "block": range(len(blocks)),
            "spool_id": [mark.spool_id for mark in blocks],
            "number": [mark.number for mark in blocks],
        },
        schema={"block": pl.UInt32, "spool_id": pl.String, "number": pl.Int64},
    )
    hour = (pl.col("event_at") // HOUR_US * HOUR_US).alias("event_hour")
    return (
        late.select("property_id", hour, "block")
        .unique()
        .join(names, on="block", how="left")
        .select(list(LATE_SCHEMA))
        .sort(list(LATE_SCHEMA))
    )
