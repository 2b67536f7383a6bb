"""Counts, slots and sessions: kept between counting and merging, replaced by counting again."""

import polars as pl
import pytest

from stores.archive.counts import SLOT_SCHEMA, Counts, CountsManifest, Sessions
from stores.archive.damage import ArchiveDamageError
from stores.archive.folder import FolderObjects
from tallymark.replays import Span
from tallymark.session_rows import SESSION_SCHEMA
from tallymark.slots import HOUR_US
from tests.strategies import MIDNIGHT_US

HOURS = Span(MIDNIGHT_US, MIDNIGHT_US + 4 * HOUR_US)


@pytest.fixture
def objects(tmp_path):
    return FolderObjects(tmp_path)


@pytest.fixture
def counts(objects):
    return Counts(objects, "gen-1", HOURS)


def slots(*hours: int) -> pl.DataFrame:
    rows = [(1, MIDNIGHT_US + hour * HOUR_US, 60) for hour in hours]
    return pl.DataFrame(rows, schema=SLOT_SCHEMA, orient="row")


def sessions(hour: int, *clients: int) -> pl.DataFrame:
    start = MIDNIGHT_US + hour * HOUR_US
    rows = [{"property_id": 1, "client_hash": client, "session_start": start} for client in clients]
    return pl.DataFrame(rows, schema=SESSION_SCHEMA)


MANIFEST = CountsManifest(
    lineage="gen-1",
    targets=(HOURS.start_us, HOURS.end_us),
    code_version="code-1",
    passes=2,
    groups=((HOURS.start_us, HOURS.end_us),),
    hits=7,
    sessions=((MIDNIGHT_US, 3),),
)


def test_rows_and_manifest_are_read_as_they_were_written(counts):
    counts.begin({"entries": []})
    rows = [pl.DataFrame({"events": [1, 2]}), pl.DataFrame()]
    counts.write(1, 0, slots(1, 2), rows)
    assert counts.manifest() is None
    counts.commit(MANIFEST)
    assert counts.manifest() == MANIFEST
    held, found = counts.read(1, 0)
    assert held.equals(slots(1, 2))
    assert [frame.to_dicts() for frame in found] == [[{"events": 1}, {"events": 2}], []]


def test_what_was_counted_before_does_not_stand_any_more(counts, objects):
    counts.begin({"entries": []})
    counts.write(0, 0, slots(1), [])
    counts.commit(MANIFEST)
    name = counts.begin({"entries": [1]})
    assert counts.manifest() is None
    assert objects.names("counts/") == [name]
    with pytest.raises(ArchiveDamageError, match="Count again: materialise sessions"):
        counts.read(0, 0)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_counts_that_are_cut_off_are_named_with_what_to_do(counts, objects, kept):
    counts.write(0, 0, slots(1), [pl.DataFrame({"events": range(1_000)})])
    [name] = objects.names("counts/")
    content = objects.get(name)
    objects.put(name, content[: int(len(content) * kept)])
    with pytest.raises(ArchiveDamageError, match=r"cannot be read: .*Count again"):
        counts.read(0, 0)


def test_slots_that_had_cells_are_remembered_within_the_targets(counts, objects):
    wider = Counts(objects, "gen-1", Span(HOURS.start_us, HOURS.end_us + 4 * HOUR_US))
    wider.note_slots(slots(2, 6))
    Counts(objects, "gen-2", HOURS).note_slots(slots(3))
    Counts(objects, "gen-1", Span(HOURS.end_us, HOURS.end_us + HOUR_US)).note_slots(slots(4))
    counts.write(0, 0, slots(1), [])
    assert counts.all_slots(1, 1).equals(slots(1, 2))


def test_noted_slots_are_those_of_the_hours_asked_for(counts):
    counts.note_slots(slots(0, 1, 2))
    assert counts.noted_slots(Span(HOURS.start_us + HOUR_US, HOURS.end_us)).equals(slots(1, 2))


def test_missing_slots_are_named_with_what_to_do(counts):
    with pytest.raises(ArchiveDamageError, match=r"slots/gen-1/.*replay the lineage gen-1 again"):
        counts.noted_slots(HOURS)


def test_sessions_are_read_by_hour_once_they_are_committed(objects):
    kept = Sessions(objects)
    first, second = sessions(1, 5, 6), sessions(1, 7)
    parts = [
        part
        for number, frame in enumerate((first, second))
        for part in kept.write_parts("gen-1", number, {MIDNIGHT_US + HOUR_US: frame})
    ]
    assert list(kept.read("gen-1", MIDNIGHT_US + HOUR_US)) == []
    kept.commit("gen-1", HOURS, parts)
    found = pl.concat(kept.read("gen-1", MIDNIGHT_US + HOUR_US))
    assert found.equals(pl.concat([first, second]))


def test_sessions_committed_again_replace_those_of_their_hours_alone(objects):
    kept = Sessions(objects)
    outside = HOURS.end_us + HOUR_US
    hours = {MIDNIGHT_US + hour * HOUR_US: sessions(hour, 5) for hour in (1, 2)}
    old = kept.write_parts("gen-1", 0, hours | {outside: sessions(5, 5)})
    beside = old[-1]
    kept.commit("gen-1", Span(HOURS.start_us, outside + HOUR_US), old)
    [new] = kept.write_parts("gen-1", 0, {MIDNIGHT_US + HOUR_US: sessions(1, 8, 9)})
    kept.commit("gen-1", HOURS, [new])
    assert kept.parts("gen-1", MIDNIGHT_US + HOUR_US) == [new]
    assert kept.parts("gen-1", MIDNIGHT_US + 2 * HOUR_US) == []
    assert kept.parts("gen-1", outside) == [beside]
    assert len(objects.names("sessions/")) == 4
