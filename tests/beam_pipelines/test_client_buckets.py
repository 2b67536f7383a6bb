"""Counting by ranges of client hashes: in however many ranges, the cells are the same bytes."""

from itertools import pairwise

import orjson
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.client_buckets import (
    ClientCounter,
    CountSettings,
    Inventory,
    InventoryEntry,
    decode_inventory,
    encode_inventory,
    merged_group,
)
from stores.archive.clean import CleanHits
from stores.archive.counts import Counts
from stores.wide_rows.port import CELL_SCHEMA
from tallymark.aggregates import capped_rows, rollup_rows
from tallymark.cells import encode
from tallymark.counting import Tally, slots_in
from tallymark.hits import empty_hits
from tallymark.pointer_map import PointerMap
from tallymark.replays import Span
from tallymark.slots import HOUR_US
from tallymark.touches import TOUCH_SCHEMA
from tests.beam_pipelines.test_cleaning import MemoryObjects
from tests.strategies import MIDNIGHT_US, MINUTE_US, examples, hits_of, visits

TARGETS = Span(MIDNIGHT_US - 2 * HOUR_US, MIDNIGHT_US + 8 * HOUR_US)
GAP_US = 30 * MINUTE_US


class NothingOlder:
    """Wide rows that hold no touches."""

    def read_rows(self, _keys, _families):
        return CELL_SCHEMA.to_frame()


def cells_of(frames) -> pl.DataFrame:
    """All cells but for those of custom definitions that are empty, which may be there or not."""
    cells = pl.concat(list(frames))
    is_custom = pl.col("row_key").bin.contains(b"#custom")
    empty = cells.filter(is_custom, pl.col("value") == b"1")
    left = cells.join(empty, on=["row_key", "qualifier"], how="anti")
    return left.sort("row_key", "qualifier", "family")


def at_once(hits: pl.DataFrame) -> pl.DataFrame:
    """The cells of all hits in one tally."""
    tally = Tally()
    tally.add(hits)
    facts = tally.counted(TOUCH_SCHEMA.to_frame(), TARGETS.start_us)
    slots = slots_in(TARGETS, facts)
    return cells_of(
        encode(rollup, rows, slots, lineage="gen-1", version=1)
        for rollup, rows in rollup_rows(facts, slots)
    )


def in_passes(hits: pl.DataFrame, *, passes: int, hours: int, parts: int):
    """The cells of hits that lie in some parts, counted in passes, merged hours together."""
    objects = MemoryObjects()
    clean = CleanHits(objects)
    entries = [
        InventoryEntry(
            (clean.write_part("gen-1", MIDNIGHT_US, MIDNIGHT_US, f"{index}", part),), None, ()
        )
        for index, part in enumerate(hits[at::parts] for at in range(parts))
    ]
    starts = [*range(TARGETS.start_us, TARGETS.end_us, hours * HOUR_US), TARGETS.end_us]
    settings = CountSettings(
        lineage="gen-1", archive_url="", wide_rows_url="", targets=TARGETS, passes=passes,
        inventory="",
        groups=tuple(Span(*pair) for pair in pairwise(starts)),
    )  # fmt: skip
    counter = ClientCounter(
        settings,
        objects=objects,
        wide_rows=NothingOlder(),
        inventory=Inventory(entries, {None: PointerMap.serving("live-1")}),
    )
    notes = [counter.run(number) for number in range(passes)]
    counts = Counts(objects, "gen-1", TARGETS)
    slots = counts.all_slots(passes, len(settings.groups))
    counts.note_slots(slots)
    cells = [
        encode(
            rollup, capped_rows(rollup, rows), counts.noted_slots(hours),
            lineage="gen-1", version=1,
        )
        for group, hours in enumerate(settings.groups)
        for rollup, rows in merged_group(counts, passes, group)
    ]  # fmt: skip
    return notes, cells


@examples(20)
@given(
    seen=visits(gap_us=GAP_US, span_us=8 * HOUR_US, clients=6),
    passes=st.sampled_from((1, 2, 3, 8)),
    hours=st.sampled_from((1, 4, 10)),
    parts=st.integers(1, 3),
)
def test_any_number_of_passes_gives_the_same_cells(seen, passes, hours, parts):
    hits = pl.concat([empty_hits(), hits_of(seen, GAP_US)], how="diagonal").with_columns(
        measurement_id=pl.lit("G-A")
    )
    notes, cells = in_passes(hits, passes=passes, hours=hours, parts=parts)
    assert sum(note.hits for note in notes) == hits.height
    once, _ = in_passes(hits, passes=1, hours=10, parts=1)
    assert sum(part.sessions for note in notes for part in note.sessions) == sum(
        part.sessions for part in once[0].sessions
    )
    expected = at_once(hits)
    assert (cells_of(cells) if cells else expected.clear()).equals(expected)


def test_an_inventory_is_read_as_it_was_written():
    clean = CleanHits(MemoryObjects())
    part = clean.write_part("gen-1", MIDNIGHT_US, MIDNIGHT_US, "0", empty_hits())
    entries = [InventoryEntry((part,), None, (3,)), InventoryEntry((part, part), (1, 2), ())]
    pointers = {None: PointerMap.serving("live-1"), 7: PointerMap().publish(0, HOUR_US, "gen-2")}
    inventory = Inventory(entries, pointers)
    assert decode_inventory(orjson.dumps(encode_inventory(inventory))) == inventory


def test_hits_are_wanted_of_some_properties_or_of_all_but_some():
    hits = pl.DataFrame({"property_id": [1, 2, 3]})
    part = CleanHits(MemoryObjects()).write_part("g", MIDNIGHT_US, MIDNIGHT_US, "0", empty_hits())

    def wanted(only, without):
        return InventoryEntry((part,), only, without).of_properties(hits)["property_id"].to_list()

    assert wanted(None, ()) == [1, 2, 3]
    assert wanted((2,), ()) == [2]
    assert wanted(None, (2,)) == [1, 3]
    assert wanted((1, 2), (2,)) == [1]
