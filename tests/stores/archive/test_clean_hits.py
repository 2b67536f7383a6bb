"""Clean hits: what was decoded of a received hour is read back, or what is wrong is said."""

from dataclasses import replace

import orjson
import polars as pl
import pytest

from stores.archive.clean import HASHES, CleanHits, CleanManifest
from stores.archive.damage import ArchiveDamageError, OlderSchemaError
from stores.archive.folder import FolderObjects
from tallymark.conservation import Conservation
from tallymark.hits import HIT_SCHEMA
from tallymark.slots import HOUR_US
from tests.strategies import MIDNIGHT_US

RECEIVED = MIDNIGHT_US + 5 * HOUR_US
EVENT = MIDNIGHT_US + 4 * HOUR_US


def hits(count: int, *, seed: int = 1, excluded: int = 0, late: int = 0) -> pl.DataFrame:
    """Hits of the event hour; the first are excluded, the last late."""
    blank = pl.DataFrame(
        [[None] * len(HIT_SCHEMA)] * count, schema=HIT_SCHEMA, orient="row"
    ).with_columns(
        pl.col(pl.String).fill_null(""), pl.col(pl.Int64, pl.Int32).fill_null(0),
        pl.col(pl.Boolean).fill_null(value=False),
    )  # fmt: skip
    at = pl.int_range(pl.len(), dtype=pl.Int64)
    return blank.with_columns(
        hit_id=pl.format("{}-{}-0000", pl.lit(seed), at),
        client_hash=(at.cast(pl.UInt64) + seed).hash(),
        event_at=EVENT + at,
        received_at=pl.when(at >= count - late).then(RECEIVED + HOUR_US - 1).otherwise(RECEIVED),
        excluded_by=pl.when(at < excluded).then(pl.lit("internal")).otherwise(pl.lit("")),
        params=pl.when(at == 0).then(
            pl.lit([{"key": "size", "text": "42", "micros": 42_000_000}], HIT_SCHEMA["params"])
        ),
    )


def manifest(*parts, lineage="gen-1", received_hour=RECEIVED, **changes) -> CleanManifest:
    values = {
        "lineage": lineage, "received_hour": received_hour, "code_version": "code-1",
        "rules": "as-received", "span": (EVENT, EVENT + HOUR_US), "measurement_ids": None,
        "not_held": (), "parts": parts, "conservation": Conservation(requests=9, hits_in=9),
    }  # fmt: skip
    return CleanManifest(**(values | changes))


@pytest.fixture
def objects(tmp_path):
    return FolderObjects(tmp_path)


@pytest.fixture
def clean(objects):
    return CleanHits(objects)


def put(clean, frame, number="00000", **where):
    place = {"lineage": "gen-1", "received_hour": RECEIVED, "event_hour": EVENT} | where
    return clean.write_part(**place, number=number, hits=frame)


def read(clean, part, **how) -> pl.DataFrame:
    return pl.concat(list(clean.read(part, **how)))


def test_hits_and_their_manifest_are_read_as_they_were_written(clean):
    written = hits(5_000, excluded=7, late=3)
    part = put(clean, written)
    assert (part.hits, part.counted, part.late) == (5_000, 4_993, 3)
    clean.commit(manifest(part, measurement_ids=("G-A", "G-B"), not_held=(EVENT - HOUR_US,)))
    [found] = clean.manifests("gen-1", [RECEIVED, RECEIVED + HOUR_US])
    assert found == manifest(part, measurement_ids=("G-A", "G-B"), not_held=(EVENT - HOUR_US,))
    assert found.event_hours() == {EVENT: 5_000}
    again = read(clean, found.parts[0])
    assert again.schema == HIT_SCHEMA
    assert again.sort("hit_id").equals(written.sort("hit_id"))
    assert again.get_column("client_hash").is_sorted()


def test_without_a_manifest_there_is_nothing(clean):
    put(clean, hits(3))
    assert clean.received_hours("gen-1") == []
    assert clean.manifest("gen-1", RECEIVED) is None
    assert clean.parts("gen-1", {EVENT}) == []


def test_writing_again_replaces_what_was_there(clean, objects):
    clean.commit(manifest(put(clean, hits(3)), put(clean, hits(3, seed=2), "00001")))
    new = put(clean, hits(4, seed=3))
    clean.commit(manifest(new))
    assert clean.parts("gen-1", {EVENT}) == [new]
    assert len(objects.names("clean/")) == 2


def test_the_same_hits_are_the_same_bytes_whatever_their_order(clean):
    frame = hits(3_000)
    assert put(clean, frame) == put(clean, frame.sample(fraction=1.0, shuffle=True, seed=7))


@pytest.mark.parametrize("passes", [1, 2, 8])
def test_ranges_of_hashes_hold_each_hit_once(clean, passes):
    part = put(clean, hits(9_000))
    size = HASHES // passes
    ranges = [(n * size, HASHES if n == passes - 1 else (n + 1) * size) for n in range(passes)]
    held = [read(clean, part, columns=["hit_id", "client_hash"], hashes=one) for one in ranges]
    assert all(frame.height < 9_000 for frame in held) or passes == 1
    found = pl.concat(held).get_column("hit_id")
    assert sorted(found) == sorted(hits(9_000).get_column("hit_id"))


def test_late_hits_of_an_hour_are_found_in_later_received_hours(clean):
    on_time = put(clean, hits(3))
    far = RECEIVED + 60 * HOUR_US
    late = put(clean, hits(2, seed=2), received_hour=far)
    other = put(clean, hits(2, seed=3), received_hour=far, event_hour=far)
    clean.commit(manifest(on_time))
    clean.commit(manifest(late, other, received_hour=far))
    assert clean.parts("gen-1", {EVENT}) == [on_time, late]


def test_rules_as_received_are_the_same_whatever_range_was_asked_for():
    asked, other = manifest(), manifest(span=(0, 1))
    assert asked.is_made_like(other)
    assert not replace(asked, rules="latest").is_made_like(replace(other, rules="latest"))
    assert not asked.is_made_like(replace(other, code_version="code-2"))
    assert not asked.is_made_like(replace(other, measurement_ids=("G-A",)))


def test_deleting_a_lineage_leaves_the_others(clean):
    for lineage in ("gen-1", "gen-10"):
        part = put(clean, hits(3), lineage=lineage)
        clean.commit(manifest(part, lineage=lineage))
    clean.delete("gen-1")
    assert clean.received_hours("gen-1") == []
    assert clean.received_hours("gen-10") == [RECEIVED]


def change(objects, part, content):
    objects.put(part.name, content(objects.get(part.name)))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: data[:-100], "expected .* bytes, it has"),
        (lambda data: data[: len(data) // 2] + b"\0" * (len(data) - len(data) // 2), "Parquet"),
    ],
    ids=["cut off", "overwritten"],
)
def test_a_damaged_file_is_named_with_what_to_do(clean, objects, damage, says):
    part = put(clean, hits(100))
    change(objects, part, damage)
    with pytest.raises(ArchiveDamageError, match=says) as told:
        read(clean, part)
    assert part.name in str(told.value)
    assert "materialise clean_hits of received hour 2023-11-15T05" in str(told.value)


def test_a_missing_part_is_named(clean, objects):
    part = put(clean, hits(3))
    objects.delete(part.name)
    with pytest.raises(ArchiveDamageError, match="its manifest names it and it is missing"):
        read(clean, part)


def test_a_file_that_lacks_a_column_is_of_an_older_schema(clean, objects, tmp_path):
    part = put(clean, hits(3))
    older = pl.read_parquet(objects.open(part.name)).drop("slot_minutes")
    older.write_parquet(tmp_path / part.name)
    part = replace(part, size_bytes=(tmp_path / part.name).stat().st_size)
    with pytest.raises(OlderSchemaError, match="lacks the columns slot_minutes"):
        read(clean, part)
    assert read(clean, part, columns=["hit_id"]).height == 3


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda facts: facts | {"schema": 0}, OlderSchemaError, "schema is 0, this code reads 1"),
        (lambda facts: facts | {"schema": 99}, OlderSchemaError, "schema is 99"),
        (lambda facts: facts | {"parts": [{}]}, ArchiveDamageError, "no manifest"),
        (lambda facts: {"schema": 1}, ArchiveDamageError, "no manifest"),
        (lambda facts: [], ArchiveDamageError, "no manifest"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_why(clean, objects, change, error, says):
    clean.commit(manifest(put(clean, hits(3))))
    [name] = [name for name in objects.names("clean/") if name.endswith("manifest.json")]
    objects.put(name, orjson.dumps(change(orjson.loads(objects.get(name)))))
    with pytest.raises(error, match=says):
        clean.manifest("gen-1", RECEIVED)
    objects.put(name, b'{"schema":')
    with pytest.raises(ArchiveDamageError, match="no manifest"):
        clean.manifest("gen-1", RECEIVED)
