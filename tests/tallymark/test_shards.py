"""A shard: whatever the order of arrival and wherever it is flushed, the cells are the same."""

from collections.abc import Iterable
from dataclasses import fields, replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from stores.wide_rows.port import CELL_SCHEMA
from tallymark.aggregates import cell_frame
from tallymark.cells import SLOT_COLUMNS, version_of
from tallymark.decoded_cells import decode
from tallymark.pieces import CLIENT, Tables
from tallymark.rollups import BY_NAME
from tallymark.shard_frames import ShardFrame, decode_frame, encode_frame
from tallymark.shard_log import Delta, decode_delta, encode_delta
from tallymark.shards import Shard
from tallymark.slots import HOUR_US, LATE_US, MINUTE_US, sealed_at
from tallymark.texts import with_texts
from tallymark.touch_cells import decode_touches, encode_touches, hour_of
from tallymark.touches import SOURCE, TOUCH_SCHEMA, touches_of
from tallymark.vectors import BlockMark
from tests.strategies import (
    GAPS_MINUTES,
    MIDNIGHT_US,
    NAMES,
    SentBlock,
    Visit,
    all_counted,
    deliveries,
    examples,
    frame_of,
    hits_of,
    recordings,
    visits,
)

SINCE_EVER = -(2**62)
LINEAGE = "live-1"
SPAN_US = 8 * HOUR_US + 30 * MINUTE_US
"""Less than it takes to seal the first hour, so that every on-time hit counts in any order."""
Name = tuple[bytes, str, bytes]
SALE = 15
"""The look of a purchase that names its transaction."""


def cells_at_once(hits: pl.DataFrame) -> dict[Name, bytes]:
    """The cells of hits that were all there from the beginning."""
    facts = all_counted(hits)
    touched = facts.joined.select(SLOT_COLUMNS).unique()
    if touched.is_empty():
        return {}
    frame = pl.concat(
        [
            cell_frame(facts, touched, lineage=LINEAGE, version=1),
            touch_cells_of(facts.joined, facts.texts),
        ]
    )
    return said({(key, family, at): value for key, family, at, _, value in frame.iter_rows()})


def said(cells: dict[Name, bytes]) -> dict[Name, bytes]:
    """The cells but for those of custom definitions that are empty, which may be there or not."""
    return {
        (key, family, at): value
        for (key, family, at), value in cells.items()
        if b"#custom" not in key or cells[key, "n", at] != b"1"
    }


def touch_cells_of(joined: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """The cells of all touches."""
    touches = with_texts(touches_of(joined), "source_id", SOURCE, texts)
    owed = touches.select(*CLIENT, hour_of("start")).unique()
    return encode_touches(touches, owed, lineage=LINEAGE, version=1)


class Store:
    """Keeps the newest version of every cell, whatever the order of the writes."""

    def __init__(self) -> None:
        self._held: dict[Name, tuple[int, bytes]] = {}
        self._flush = 0

    def flush(self, shard: Shard) -> int:
        """Write what the shard owes; how many slots."""
        self.begin(shard)
        return self.end(shard)

    def begin(self, shard: Shard) -> None:
        """Let the shard hand out what it owes, unless it has already."""
        if shard.handed_out is None:
            self._teach(shard)
            self._flush += 1
            shard.hand_out()

    def end(self, shard: Shard) -> int:
        """Write what was handed out, if anything was; how many slots."""
        owed = shard.handed_out
        if owed is None:
            return 0
        version = version_of(1, self._flush)
        touches = owed.touch_cells(lineage=LINEAGE, version=version)
        cells = owed.cells(lineage=LINEAGE, version=version)
        for key, family, at, number, value in pl.concat([cells, touches]).iter_rows():
            self._held[key, family, at] = max(
                self._held.get((key, family, at), (0, b"")), (number, value)
            )
        shard.note_written()
        return owed.slots.height

    def fail(self, shard: Shard) -> None:
        """Do not write what was handed out."""
        if shard.handed_out is not None:
            shard.take_back()

    def _teach(self, shard: Shard) -> None:
        """Tell the touches of clients that the shard does not know."""
        clients = shard.strangers()
        held = [
            (key, family, at, version, value)
            for (key, family, at), (version, value) in self._held.items()
            if b"#touches#" in key
        ]
        cells = pl.DataFrame(held, schema=CELL_SCHEMA, orient="row")
        touches = decode_touches(cells).filter(pl.col("hour") < shard.known_from)
        mine = touches.join(clients, on=list(CLIENT), how="semi")
        shard.learn(clients, mine.select(list(TOUCH_SCHEMA)))

    @property
    def cells(self) -> dict[Name, bytes]:
        """What a reader sees; hours of clients that lost their touches are not there."""
        return said({name: value for name, (_, value) in self._held.items() if value})


def assert_same(found: dict[Name, bytes], expected: dict[Name, bytes]) -> None:
    different = [name for name in expected | found if found.get(name) != expected.get(name)]
    assert not different, [(name, found.get(name), expected.get(name)) for name in different[:3]]


def assert_same_entry(found: Delta, expected: Delta) -> None:
    assert found.vector == expected.vector
    assert (found.blocks, found.held_from) == (expected.blocks, expected.held_from)
    assert_frame_equal(found.hits, expected.hits)
    assert_frame_equal(found.ids, expected.ids)
    for table in fields(Tables):
        mine, theirs = getattr(found.tables, table.name), getattr(expected.tables, table.name)
        assert_frame_equal(mine, theirs)


@st.composite
def sent(draw: st.DrawFn) -> tuple[pl.DataFrame, list[SentBlock]]:
    """Hits under one gap, and the blocks in which collectors recorded them."""
    gap_us = draw(st.sampled_from(GAPS_MINUTES)) * MINUTE_US
    hits = hits_of(draw(visits(gap_us=gap_us, span_us=SPAN_US, clients=2)), gap_us)
    return hits, draw(recordings(hits))


@examples(25)
@given(data=st.data(), recorded=sent())
def test_any_order_split_and_repetition_gives_the_cells_of_all_hits_at_once(
    data: st.DataObject, recorded: tuple[pl.DataFrame, list[SentBlock]]
) -> None:
    hits, blocks = recorded
    shard, store = Shard(reads_whole_from=SINCE_EVER), Store()
    counted_hits = 0
    for frame in data.draw(deliveries(blocks)):
        taken = shard.take(decode_frame(encode_frame(frame)))
        counted_hits += taken.hits
        assert taken.late.is_empty()
        step = data.draw(st.sampled_from(("nothing", "begin", "end", "fail", "prune", "compact")))
        if step == "prune":
            shard.prune()
        elif step == "compact":
            shard.base()
        elif step != "nothing":
            getattr(store, step)(shard)
    store.end(shard)
    store.flush(shard)
    assert counted_hits == hits.height
    assert store.flush(shard) == 0
    assert_same(store.cells, cells_at_once(hits))


@examples(15)
@given(data=st.data(), recorded=sent())
def test_a_state_folded_from_its_log_in_any_order_equals_the_live_one(
    data: st.DataObject, recorded: tuple[pl.DataFrame, list[SentBlock]]
) -> None:
    hits, blocks = recorded
    live = Shard(reads_whole_from=SINCE_EVER)
    log: list[bytes] = []
    for frame in data.draw(deliveries(blocks)):
        log.append(encode_delta(live.take(frame).delta))
        if data.draw(st.integers(0, 5)) == 0:
            log = [encode_delta(live.base())]
    folded = Shard(reads_whole_from=SINCE_EVER)
    folded.restore(map(decode_delta, data.draw(st.permutations(log))))
    for block in blocks:
        assert folded.vector.has(block.mark.spool_id, block.mark.number)
    assert folded.vector.clock <= live.vector.clock
    folded.vector = live.vector  # clock and bases tell in which order blocks came
    assert_same_entry(decode_delta(encode_delta(folded.base())), live.base())
    folded.mark_all_dirty()
    store = Store()
    store.flush(folded)
    assert_same(store.cells, cells_at_once(hits))


@examples(3)
@given(
    seed=st.integers(0, 2**32 - 1),
    flush_every=st.sampled_from((3, 7, 30, 10_000)),
    restart_every=st.sampled_from((13, 30, 10_000)),
    flush_takes=st.sampled_from((0, 1, 5)),
)
def test_days_of_hits_read_out_of_order_leave_whole_hours_behind(
    seed: int, flush_every: int, restart_every: int, flush_takes: int
) -> None:
    """Hours are sealed and let go meanwhile, however rarely the store can be written, however long
    it takes, and though every third flush fails."""
    hits = _days_of_hits(seed)
    shard, store = Shard(reads_whole_from=SINCE_EVER), Store()
    for number, frame in enumerate(_half_sorted(hits, seed), start=1):
        shard.take(frame)
        if number % flush_every == 0:
            store.begin(shard)
        if number % flush_every == flush_takes:
            (store.fail if number % 3 == 0 else store.end)(shard)
        if number % 11 == 0:
            shard.prune()
        if number % restart_every == 0:
            base = decode_delta(encode_delta(shard.base()))
            shard = Shard(reads_whole_from=SINCE_EVER)
            shard.restore([base])
            shard.mark_all_dirty()
    store.end(shard)
    store.flush(shard)
    shard.prune()
    assert_same(store.cells, cells_at_once(hits))
    oldest = shard.tables.pieces.get_column("slot_start").min()
    assert oldest is not None
    assert int(oldest) >= shard.vector.clock - 24 * HOUR_US  # type: ignore[call-overload]


def _days_of_hits(seed: int) -> pl.DataFrame:
    """About two days of 6 clients of two properties, in bursts."""
    random = _random(seed)
    found = []
    for client in range(6):
        at = MIDNIGHT_US + random(4 * HOUR_US)
        while at < MIDNIGHT_US + 46 * HOUR_US:
            found.append(
                Visit(
                    client=client,
                    property_id=1 + client % 2,
                    event_at=at,
                    opens_session=random(4) > 0,
                    look=random(288),
                )
            )
            at += random(55 * MINUTE_US) if random(12) else random(5 * HOUR_US)
    gap_us = (5, 30, 45, 240)[random(4)] * MINUTE_US
    return hits_of(found, gap_us)


def _half_sorted(hits: pl.DataFrame, seed: int) -> list[ShardFrame]:
    """A block a half hour from each of two spools, displaced by up to two hours."""
    random = _random(seed + 1)
    delays = [random(LATE_US + 1) for _ in range(hits.height)]
    spools = [random(2) for _ in range(hits.height)]
    placed = hits.with_columns(
        received_at=pl.col("event_at") + pl.Series(delays, dtype=pl.Int64),
        spool=pl.Series(spools, dtype=pl.Int64),
    )
    sent_blocks = []
    half = 30 * MINUTE_US
    for number in range(1, 2 * 48 + 1):
        frontier = MIDNIGHT_US + number * half
        for spool in range(2):
            mine = placed.filter(
                (pl.col("spool") == spool)
                & pl.col("received_at").is_between(frontier - half, frontier, closed="left")
            ).drop("spool")
            mark = BlockMark(
                spool_id=f"s{spool}",
                number=number,
                kind="requests",
                frontier=frontier,
                published_at=frontier + random(1000),
            )
            sent_blocks.append((number + random(5), SentBlock(mark, mine)))
    ordered = [block for _, block in sorted(sent_blocks, key=lambda pair: pair[0])]
    return [frame_of(ordered[at : at + 3]) for at in range(0, len(ordered), 3)]


def _random(seed: int):  # type: ignore[no-untyped-def]
    state = [seed * 2 + 1]

    def below(limit: int) -> int:
        state[0] = (state[0] * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state[0] >> 33) % limit

    return below


def visit(at_us: int, **changes: int) -> Visit:
    return Visit(
        client=changes.get("client", 0),
        property_id=3,
        event_at=MIDNIGHT_US + at_us,
        opens_session=True,
        look=changes.get("look", 1),
    )


def block(
    number: int,
    frontier_us: int,
    hits: Iterable[Visit] = (),
    *,
    spool: str = "a",
    delay_us: int = 0,
) -> SentBlock:
    """A block of one spool; times are µs after midnight."""
    held = hits_of(list(hits), 30 * MINUTE_US).with_columns(
        received_at=pl.col("event_at") + delay_us,
        hit_id=pl.format(f"{ord(spool):04x}{number:04x}{{}}", pl.col("hit_id").str.slice(8)),
    )
    frontier = MIDNIGHT_US + frontier_us
    mark = BlockMark(
        spool_id=spool, number=number, kind="requests", frontier=frontier, published_at=frontier
    )
    return SentBlock(mark, held)


def events_by_hour(store: Store) -> dict[int, int]:
    """Events in the totals, by hours after midnight."""
    rows = [
        (key, family, at, 1, value)
        for (key, family, at), value in store.cells.items()
        if b"#totals#" in key
    ]
    schema = ["row_key", "family", "qualifier", "version", "value"]
    if not rows:
        return {}
    found = decode(BY_NAME["totals"], pl.DataFrame(rows, schema=schema, orient="row")).numbers
    return {
        (start - MIDNIGHT_US) // HOUR_US: events
        for start, events in found.select("slot_start", "events").iter_rows()
    }


def taken_all(shard: Shard, *blocks: SentBlock) -> list[int]:
    """Hits counted of each block, each in a frame of its own."""
    return [shard.take(frame_of([each])).hits for each in blocks]


def test_a_block_seen_twice_is_dropped() -> None:
    shard = Shard(reads_whole_from=SINCE_EVER)
    first = block(1, HOUR_US, [visit(0)])
    again = shard.take(frame_of([first, first, block(2, HOUR_US, [visit(5)])]))
    assert (again.hits, again.repeated_blocks, len(again.delta.blocks)) == (2, 1, 2)
    assert taken_all(shard, first) == [0]


def test_the_same_number_of_another_spool_is_another_block() -> None:
    shard = Shard(reads_whole_from=SINCE_EVER)
    one, other = block(1, HOUR_US, [visit(0)]), block(1, HOUR_US, [visit(0)], spool="b")
    assert taken_all(shard, one, other) == [1, 1]


@pytest.mark.parametrize(("delay_us", "counts"), [(LATE_US - 1, 1), (LATE_US, 1), (LATE_US + 1, 0)])
def test_late_is_later_than_d_and_is_announced(delay_us: int, counts: int) -> None:
    shard = Shard(reads_whole_from=SINCE_EVER)
    taken = shard.take(frame_of([block(1, 3 * HOUR_US, [visit(10)], delay_us=delay_us)]))
    assert taken.hits == counts
    announced = [(3, MIDNIGHT_US, "a", 1)]
    assert taken.late.rows() == ([] if counts else announced)


def test_a_replay_counts_late_hits() -> None:
    shard = Shard(reads_whole_from=SINCE_EVER, late_us=2**60)
    assert taken_all(shard, block(1, 30 * HOUR_US, [visit(10)], delay_us=30 * HOUR_US)) == [1]


@pytest.mark.parametrize(("short_us", "counts"), [(1, 1), (0, 0)])
def test_hits_of_a_sealed_hour_are_announced(short_us: int, counts: int) -> None:
    """Of a spool that was cut off: its hits were on time when they were received."""
    sealed_us = sealed_at(MIDNIGHT_US) - MIDNIGHT_US
    shard = Shard(reads_whole_from=SINCE_EVER)
    taken_all(shard, block(1, sealed_us - short_us))
    taken = shard.take(frame_of([block(1, HOUR_US, [visit(10)], spool="b")]))
    assert (taken.hits, taken.late.height) == (counts, 1 - counts)


def test_an_hour_sealed_while_the_store_was_away_is_still_written() -> None:
    shard, store = Shard(reads_whole_from=SINCE_EVER), Store()
    taken_all(shard, block(1, HOUR_US, [visit(10)]), block(2, 40 * HOUR_US))
    shard.prune()
    restored = Shard(reads_whole_from=SINCE_EVER)
    restored.restore([decode_delta(encode_delta(shard.base()))])
    restored.mark_all_dirty()
    store.flush(shard)
    assert events_by_hour(store) == {0: 1}
    shard.prune()
    assert shard.tables.pieces.is_empty()
    after_restart = Store()
    after_restart.flush(restored)
    assert events_by_hour(after_restart) == {0: 1}


def test_an_hour_that_was_let_go_is_never_written_again() -> None:
    """A chain that goes on for hours makes the shard remember parts of hours it has let go."""
    shard, store = Shard(reads_whole_from=SINCE_EVER), Store()
    taken_all(shard, block(1, HOUR_US, [visit(0), visit(20 * MINUTE_US)]))
    store.flush(shard)
    taken_all(shard, block(2, 11 * HOUR_US))
    shard.prune()
    shard.mark_all_dirty()
    assert shard.owed().slots.is_empty()


def test_an_hour_is_held_until_what_was_handed_out_of_it_is_written() -> None:
    shard, store = Shard(reads_whole_from=SINCE_EVER), Store()
    taken_all(shard, block(1, HOUR_US, [visit(0), visit(20 * MINUTE_US)]))
    store.begin(shard)
    taken_all(shard, block(2, 11 * HOUR_US))
    shard.prune()
    store.fail(shard)
    shard.prune()
    assert store.flush(shard) == 1
    assert events_by_hour(store) == {0: 2}
    shard.prune()
    assert shard.tables.events.is_empty()


def test_hours_whose_window_was_not_read_whole_are_not_written() -> None:
    shard, store = Shard(reads_whole_from=MIDNIGHT_US - 4 * HOUR_US), Store()
    at_hours = [visit(hour * HOUR_US + 1) for hour in (0, 3, 4, 5)]
    taken_all(shard, block(1, 6 * HOUR_US, at_hours))
    store.flush(shard)
    assert events_by_hour(store) == {4: 1, 5: 1}


def test_a_request_that_a_balancer_ran_twice_counts_once() -> None:
    shard = Shard(reads_whole_from=SINCE_EVER)
    copies = [
        SentBlock(
            each.mark, each.hits.with_columns(has_balancer_id=True, hit_id=pl.lit(f"{1:032x}-0000"))
        )
        for each in (
            block(1, MINUTE_US, [visit(0)]),
            block(1, MINUTE_US, [visit(0)], spool="b"),
            block(1, MINUTE_US, [visit(0)], spool="c"),
        )
    ]
    both = shard.take(frame_of(copies[:2]))
    assert (both.hits, both.repeated_hits) == (1, 1)
    restored = Shard(reads_whole_from=SINCE_EVER)
    restored.restore([decode_delta(encode_delta(shard.base()))])
    for state in (shard, restored):
        assert state.take(frame_of(copies[2:])).repeated_hits == 1


def test_ids_are_forgotten_after_ten_minutes() -> None:
    shard = Shard(reads_whole_from=SINCE_EVER)
    first = block(1, MINUTE_US, [visit(0)])
    marked = SentBlock(first.mark, first.hits.with_columns(has_balancer_id=True))
    taken_all(shard, marked, block(2, 10 * MINUTE_US))
    shard.prune()
    assert shard.ids.frame().height == 1
    taken_all(shard, block(3, 10 * MINUTE_US + 1))
    shard.prune()
    assert shard.ids.frame().is_empty()


def test_only_slots_that_changed_are_owed() -> None:
    shard, store = Shard(reads_whole_from=SINCE_EVER), Store()
    taken_all(shard, block(1, HOUR_US, [visit(0), visit(0, client=1), visit(3 * HOUR_US)]))
    assert store.flush(shard) == 2
    taken_all(shard, block(2, HOUR_US, [visit(3 * HOUR_US + 1, client=1)]))
    assert shard.owed().slots.get_column("slot_start").to_list() == [MIDNIGHT_US + 3 * HOUR_US]


def test_a_hit_that_joins_two_sessions_makes_both_their_slots_owed() -> None:
    shard, store = Shard(reads_whole_from=SINCE_EVER), Store()
    minutes = (30, 50, 80, 100)
    taken_all(shard, block(1, HOUR_US, [visit(at * MINUTE_US) for at in minutes]))
    store.flush(shard)
    taken_all(shard, block(2, HOUR_US, [visit(70 * MINUTE_US)]))
    owed = shard.owed().slots.get_column("slot_start").sort().to_list()
    assert owed == [MIDNIGHT_US, MIDNIGHT_US + HOUR_US]


def test_a_hit_changes_the_hour_in_which_its_session_started() -> None:
    shard, store = Shard(reads_whole_from=SINCE_EVER), Store()
    taken_all(shard, block(1, HOUR_US, [visit(at * MINUTE_US) for at in (50, 70)]))
    store.flush(shard)
    taken_all(shard, block(2, HOUR_US, [visit(80 * MINUTE_US)]))
    owed = shard.owed().slots.get_column("slot_start").sort().to_list()
    assert owed == [MIDNIGHT_US, MIDNIGHT_US + HOUR_US]


def test_a_page_seen_meanwhile_changes_the_hour_in_which_its_session_started() -> None:
    """Sessions are counted where they start, by page too, though nothing else of it changes."""
    shard, store = Shard(reads_whole_from=SINCE_EVER), Store()
    taken_all(shard, block(1, HOUR_US, [visit(at * MINUTE_US, look=0) for at in (50, 70, 90)]))
    store.flush(shard)
    taken_all(shard, block(2, HOUR_US, [visit(80 * MINUTE_US, look=4)]))
    owed = shard.owed().slots.get_column("slot_start").sort().to_list()
    assert owed == [MIDNIGHT_US, MIDNIGHT_US + HOUR_US]


def test_a_sale_found_later_to_have_come_before_takes_the_value_from_what_repeats_it() -> None:
    shard, store = Shard(reads_whole_from=SINCE_EVER), Store()
    first, again = visit(0, look=SALE), visit(3 * HOUR_US, look=SALE)
    taken_all(shard, block(1, 3 * HOUR_US, [again]))
    store.flush(shard)
    taken_all(shard, block(2, 3 * HOUR_US, [first], delay_us=HOUR_US))
    assert shard.owed().slots.height == 2
    store.flush(shard)
    assert_same(store.cells, cells_at_once(hits_of([first, again], 30 * MINUTE_US)))


def test_a_key_event_of_an_hour_that_was_let_go_still_stands_for_those_of_its_session() -> None:
    shard, store = Shard(reads_whole_from=SINCE_EVER), Store()
    early, late, between = (once_a_session(minutes) for minutes in (50, 70, 65))
    taken_all(shard, block(1, 2 * HOUR_US, [early, late]))
    store.flush(shard)
    taken_all(shard, block(2, sealed_at(MIDNIGHT_US) - MIDNIGHT_US))
    shard.prune()
    assert shard.held_from == MIDNIGHT_US + HOUR_US
    assert taken_all(shard, block(1, 2 * HOUR_US, [between], spool="b")) == [1]
    store.flush(shard)
    assert_same(store.cells, cells_at_once(hits_of([early, late, between], 30 * MINUTE_US)))


def once_a_session(minutes: int) -> Visit:
    """A key event of which a session counts the first, so long after midnight."""
    return replace(visit(minutes * MINUTE_US, look=NAMES.index("scroll")), property_id=1)


def test_a_log_entry_survives_its_bytes() -> None:
    shard = Shard(reads_whole_from=SINCE_EVER)
    delta = shard.take(frame_of([block(1, HOUR_US, [visit(0)]), block(3, HOUR_US)])).delta
    for entry in (delta, shard.base()):
        assert_same_entry(decode_delta(encode_delta(entry)), entry)


def test_texts_are_let_go_with_the_hits_that_used_them() -> None:
    """The dictionary of a shop with a page a visitor must not grow for ever."""
    shard, store = Shard(reads_whole_from=SINCE_EVER), Store()
    old = block(1, HOUR_US, [visit(0), visit(5)])
    new = block(2, 50 * HOUR_US, [visit(50 * HOUR_US - 5, look=2)])
    renamed = old.hits.with_columns(path=pl.lit("/seen-once"), event_name=pl.lit("once"))
    taken_all(shard, SentBlock(old.mark, renamed))
    assert store.flush(shard) == 1
    taken_all(shard, new)
    store.flush(shard)
    kept = shard.base().tables.texts
    words = set(kept.get_column("text_0")) | set(kept.get_column("text_1"))
    assert not words & {"once", "/seen-once"}
    assert "scroll" in words
    assert_same(store.cells, cells_at_once(pl.concat([renamed, new.hits])))
