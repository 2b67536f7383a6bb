"""Clean hits: what was decoded of a received hour is read back, or what is wrong is said."""

from dataclasses import replace

import orjson
import polars as pl
import pytest

from stores.archive.clean import HASHES, SCHEMA, CleanHits, CleanManifest
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


def placed(frames: dict[tuple[int, int], pl.DataFrame]) -> pl.DataFrame:
    """Hits of received and event hours, in no order."""
    together = pl.concat(
        frame.with_columns(
            received_hour=pl.lit(received, pl.Int64), event_hour=pl.lit(event, pl.Int64)
        )
        for (received, event), frame in frames.items()
    )
    return together.sample(fraction=1.0, shuffle=True, seed=3)


def hours_together(large: int = 3_000) -> dict[tuple[int, int], pl.DataFrame]:
    """Hours of few hits, one of them with late hits of another, and one of many."""
    sizes = {(0, 0): 5, (1, 1): 700, (1, 0): 2, (2, 2): large, (3, 3): 2_047, (4, 4): 1}
    return {
        (RECEIVED + received * HOUR_US, RECEIVED + event * HOUR_US): hits(size, seed=number)
        for number, ((received, event), size) in enumerate(sizes.items())
    }


@pytest.mark.parametrize("passes", [1, 4])
def test_hours_of_few_hits_share_a_file_and_are_read_apart_or_together(clean, objects, passes):
    frames = hours_together()
    parts = clean.write_parts("gen-1", "0", placed(frames))
    assert len(objects.names("clean/")) == 2
    found = {(received, part.event_hour): part for received, some in parts.items() for part in some}
    assert found.keys() == frames.keys()
    size = HASHES // passes
    ranges = [(n * size, HASHES if n == passes - 1 else (n + 1) * size) for n in range(passes)]
    for hour, part in found.items():
        assert (part.hits, part.counted) == (frames[hour].height, frames[hour].height)
        apart = pl.concat(frame for one in ranges for frame in clean.read(part, hashes=one))
        assert apart.sort("hit_id").equals(frames[hour].sort("hit_id"))
    few = [part for part in found.values() if part.rows is not None]
    for some in (few, few[::2], few[1::3]):
        read_at_once = [frame for one in ranges for frame in clean.read(some, hashes=one)]
        expected = pl.concat(frames[hour] for hour, part in found.items() if part in some)
        assert (
            pl.concat(read_at_once)
            .sort("hit_id", "client_hash", "event_at")
            .equals(expected.sort("hit_id", "client_hash", "event_at"))
        )


def test_an_hour_that_is_decoded_again_leaves_those_it_shared_a_file_with(clean):
    frames = hours_together()
    parts = clean.write_parts("gen-1", "0", placed(frames))
    clean.commit(*(manifest(*some, received_hour=hour) for hour, some in parts.items()))
    new = put(clean, hits(4, seed=99), event_hour=RECEIVED)
    clean.commit(manifest(new))
    assert clean.parts("gen-1", {RECEIVED})[0] == new
    neighbour = RECEIVED + HOUR_US
    [of_neighbour] = clean.parts("gen-1", {neighbour})
    assert of_neighbour == parts[neighbour][1]
    assert read(clean, of_neighbour).height == 700


def test_a_lineage_takes_its_shared_files_with_it(clean, objects):
    parts = clean.write_parts("gen-1", "0", placed(hours_together()))
    clean.commit(*(manifest(*some, received_hour=hour) for hour, some in parts.items()))
    clean.delete("gen-1")
    assert objects.names("clean/") == []


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
        (
            lambda facts: facts | {"schema": 0},
            OlderSchemaError,
            f"schema is 0, this code reads {SCHEMA}",
        ),
        (lambda facts: facts | {"schema": 99}, OlderSchemaError, "schema is 99"),
        (lambda facts: facts | {"parts": [{}]}, ArchiveDamageError, "no manifest"),
        (lambda facts: {"schema": SCHEMA}, ArchiveDamageError, "no manifest"),
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
