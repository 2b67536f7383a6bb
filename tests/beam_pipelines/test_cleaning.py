"""Cleaning: whatever received hours hold, every hit that went in is found where it ended."""

import io
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import partial

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.cleaning import Cleaner, CleanNote, CleanSettings, hour_done, tasks_of
from stores.archive.clean import CleanHits, CleanManifest
from stores.archive.damage import ArchiveDamageError
from stores.archive.raw import RawArchive
from stores.archive.raw_hours import RawHour
from stores.rules_cache.port import RulesUnavailableError
from tallymark.blocks import Block, encode_requests
from tallymark.conservation import Conservation
from tallymark.hits import empty_hits
from tallymark.pointer_map import FOR_EVER
from tallymark.replays import Span
from tallymark.requests import REQUEST_SCHEMA
from tallymark.slots import HOUR_US, LATE_US, MINUTE_US
from tests.strategies import MIDNIGHT_US, SECOND_US, examples
from tests.tallymark.recorded import shop

HOURS = 3
SHOP, OTHER, NOBODY = "G-SHOPSHOP01", "G-SHOPSHOP02", "G-NOBODY0001"
RULES = pl.concat(
    [
        shop().with_columns(property_id=pl.lit(7, pl.Int64), measurement_id=pl.lit(SHOP)),
        shop().with_columns(property_id=pl.lit(8, pl.Int64), measurement_id=pl.lit(OTHER)),
    ]
)


@dataclass
class KnownThrough:
    """The port ``RulesCache`` over ``RULES``, as far as a replay asks it."""

    through: int = FOR_EVER

    def frame(self, measurement_ids: Iterable[str]) -> pl.DataFrame:
        return RULES.filter(pl.col("measurement_id").is_in(list(measurement_ids)))

    def valid_through(self) -> int:
        return self.through


class MemoryObjects:
    """The port ``Objects`` in a dictionary."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def put(self, name: str, content: bytes) -> None:
        self.held[name] = content

    def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        self.held.update(objects)

    def get(self, name: str) -> bytes:
        if name not in self.held:
            raise FileNotFoundError(name)
        return self.held[name]

    def open(self, name: str) -> io.BytesIO:
        return io.BytesIO(self.get(name))

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.held if name.startswith(prefix))

    def delete(self, name: str) -> None:
        self.held.pop(name, None)


@dataclass(frozen=True)
class Sent:
    """A request as a test thinks of it.

    Attributes:
        kind: What its hits come to.
        hits: How many it holds.
        received_us: After midnight.
        copied_after_us: When a balancer gave it to a second collector too; None if it did not.
        owner: Measurement id.
    """

    kind: str
    hits: int
    received_us: int
    copied_after_us: int | None
    owner: str


KINDS = ("counted", "late", "too_old", "excluded", "nobody", "broken")
sent = st.builds(
    Sent,
    kind=st.sampled_from(KINDS),
    hits=st.integers(1, 4),
    received_us=st.integers(0, HOURS * 60 - 11).map(lambda minute: minute * MINUTE_US + 1),
    copied_after_us=st.sampled_from((None, None, 0, SECOND_US, 9 * MINUTE_US)),
    owner=st.sampled_from((SHOP, SHOP, OTHER)),
)
AGENTS = {"excluded": "Googlebot/2.1 (+http://www.google.com/bot.html)"}
AGE_US = {"late": LATE_US + 1, "too_old": 72 * HOUR_US + 1}
BLANK = {name: "" if kind == pl.String else False for name, kind in REQUEST_SCHEMA.items()}


def recorded(number: int, one: Sent, received_us: int) -> dict:
    received_at = MIDNIGHT_US + received_us
    common = BLANK | {
        # A balancer's id tells its time, which is the event's.
        "request_id": f"{(MIDNIGHT_US + one.received_us) // 1000:012x}7{number:019x}",
        "received_at": received_at,
        "has_balancer_id": one.copied_after_us is not None,
        "method": "POST",
        "body_encoding": "utf-8",
        "user_agent": AGENTS.get(one.kind, "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"),
    }
    owner = NOBODY if one.kind == "nobody" else one.owner
    if one.kind == "broken":
        return common | {"path": "/nowhere", "query": f"tid={owner}"}
    if one.kind in AGE_US:
        # What a copy says of its time is what the first one said.
        happened = MIDNIGHT_US + one.received_us - AGE_US[one.kind]
        events = [{"name": f"event_{index}"} for index in range(one.hits)]
        document = {"client_id": "1.1", "timestamp_micros": happened, "events": events}
        query = f"measurement_id={owner}&api_secret=*"
        return common | {
            "path": "/mp/collect", "query": query, "secret_verdict": "valid",
            "body": json.dumps(document),
        }  # fmt: skip
    lines = "\n".join(f"en=event_{index}" for index in range(one.hits))
    query = f"v=2&tid={owner}&cid={number % 5}.1"
    return common | {"path": "/g/collect", "query": query, "body": lines}


def copies_of(requests: list[Sent]) -> list[tuple[str, int, dict]]:
    """(spool, received µs, request) of all requests and the copies of some."""
    found = []
    for number, one in enumerate(requests):
        found.append(("a", one.received_us, recorded(number, one, one.received_us)))
        if one.copied_after_us is not None:
            again = one.received_us + one.copied_after_us
            found.append(("b", again, recorded(number, one, again)))
    return found


def blocks_of(requests: list[Sent], size: int) -> list[Block]:
    by_hour = defaultdict(list)
    for spool, at, request in copies_of(requests):
        by_hour[spool, at // HOUR_US].append(request)
    blocks = []
    for (spool, _), rows in sorted(by_hour.items()):
        rows.sort(key=lambda row: row["received_at"])
        for at in range(0, len(rows), size):
            part = rows[at : at + size]
            frontier = part[-1]["received_at"] + 1
            blocks.append(
                Block(
                    spool_id=spool, number=1 + sum(block.spool_id == spool for block in blocks),
                    kind="requests", frontier=frontier, requests=len(part), published_at=frontier,
                    payload=encode_requests(pl.DataFrame(part, schema=REQUEST_SCHEMA)),
                )
            )  # fmt: skip
    return blocks


def naive(requests: list[Sent], only: str | None = None) -> dict[int, Conservation]:
    """What every received hour should say, counted request by request."""
    hours = dict.fromkeys(range(HOURS), Conservation())
    for one in requests:
        hits = 1 if one.kind == "broken" else one.hits
        ends = {
            "counted": "counted", "late": "counted", "too_old": "too_old",
            "excluded": "excluded", "nobody": "dead_lettered", "broken": "dead_lettered",
        }[one.kind]  # fmt: skip
        late = hits if one.kind == "late" else 0
        counts = Conservation(requests=1, hits_in=hits, late=late, **{ends: hits})
        hours[one.received_us // HOUR_US] += counts
        if one.copied_after_us is not None:
            hours[(one.received_us + one.copied_after_us) // HOUR_US] += Conservation(
                requests=1, repeated_requests=1, hits_in=hits, repeated=hits
            )
    return hours


class Laboratory:
    """An archive in memory, and what cleans it."""

    def __init__(self, blocks: list[Block], *, together=True, ids=None, not_held=()) -> None:
        self.objects = MemoryObjects()
        for part in [blocks] if together else [[block] for block in blocks]:
            RawArchive(self.objects).write(part)
        self.settings = CleanSettings(
            lineage="gen-1", archive_url="", rules_path="", rules="as-received", span=Span(0, 1),
            measurement_ids=ids, not_held=not_held, code_version="code-1", late_us=LATE_US,
        )  # fmt: skip
        self.clean = CleanHits(self.objects)
        self.rules = KnownThrough()

    def notes(self, requests_a_task=50_000) -> dict[int, list[CleanNote]]:
        """Of each received hour."""
        cleaner = Cleaner(
            self.settings, raw_hour=partial(RawHour, self.objects), clean=self.clean,
            rules=self.rules,
        )  # fmt: skip
        hours = [RawHour(self.objects, MIDNIGHT_US + hour * HOUR_US) for hour in range(HOURS)]
        notes = defaultdict(list)
        for task in tasks_of(hours, requests_a_task):
            for note in cleaner.run(task)[0]:
                notes[note.hour.hour_us].append(note)
        return dict(sorted(notes.items()))

    def commit(self, requests_a_task=50_000) -> list[CleanManifest]:
        """The manifests of all hours."""
        notes = self.notes(requests_a_task).values()
        manifests = [hour_done(self.settings, of_hour)[0] for of_hour in notes]
        self.clean.commit(*manifests)
        return manifests

    def hits(self, manifests: list[CleanManifest]) -> pl.DataFrame:
        parts = [part for manifest in manifests for part in manifest.parts]
        frames = [frame for part in parts for frame in self.clean.read(part)]
        return pl.concat([empty_hits(), *frames]).sort("hit_id")


@examples(25)
@given(
    requests=st.lists(sent, max_size=25),
    size=st.integers(1, 6),
    requests_a_task=st.sampled_from((1, 3, 50_000)),
    together=st.booleans(),
)
def test_every_hit_that_went_in_is_found_where_it_ended(requests, size, requests_a_task, together):
    laboratory = Laboratory(blocks_of(requests, size), together=together)
    manifests = laboratory.commit(requests_a_task)
    hits = laboratory.hits(manifests)
    counts = [manifest.conservation for manifest in manifests]
    assert counts == list(naive(requests).values())
    assert sum(one.unexplained for one in counts) == 0
    assert hits.height == sum(one.counted + one.excluded + one.too_old for one in counts)
    assert hits.get_column("hit_id").is_unique().all()


@examples(20)
@given(requests=st.lists(sent, max_size=25), size=st.integers(1, 6))
def test_one_property_alone_is_the_same_hits_and_nothing_is_lost(requests, size):
    blocks = blocks_of(requests, size)
    everything, alone = Laboratory(blocks), Laboratory(blocks, ids=(SHOP,))
    manifests = alone.commit()
    total = sum((manifest.conservation for manifest in manifests), Conservation())
    assert total.unexplained == 0
    assert total.requests == len(copies_of(requests))
    expected = everything.hits(everything.commit()).filter(pl.col("measurement_id") == SHOP)
    assert alone.hits(manifests).equals(expected)


def test_an_hour_of_nothing_but_copies_is_no_damage():
    just_before = HOUR_US - SECOND_US
    requests = [Sent("counted", 2, just_before, 2 * SECOND_US, SHOP)]
    laboratory = Laboratory(blocks_of(requests, 5))
    manifests = laboratory.commit()
    assert [one.conservation.repeated for one in manifests] == [0, 2, 0]
    assert laboratory.hits(manifests).height == 2


def test_two_hours_with_a_request_of_the_same_id_are_not_mixed_up():
    """No balancer gives an id twice; if one does, hours apart, these are two requests."""
    [first] = blocks_of([Sent("counted", 1, MINUTE_US, None, SHOP)], 5)
    [second] = blocks_of([Sent("counted", 3, 2 * HOUR_US + MINUTE_US, None, SHOP)], 5)
    same_id = second.frame().with_columns(request_id=pl.lit(first.frame().item(0, "request_id")))
    again = replace(second, spool_id="z", payload=encode_requests(same_id))
    manifests = Laboratory([first, again]).commit()
    assert [one.conservation.counted for one in manifests] == [1, 0, 3]
    assert [sum(one.event_hours().values()) for one in manifests] == [1, 0, 3]


def test_hours_of_other_lineages_are_left_out_of_the_files_and_not_of_the_counts():
    requests = [Sent("counted", 1, hour * HOUR_US + 1, None, SHOP) for hour in range(HOURS)]
    laboratory = Laboratory(blocks_of(requests, 5), not_held=(MIDNIGHT_US + HOUR_US,))
    manifests = laboratory.commit()
    assert [one.conservation.counted for one in manifests] == [1, 1, 1]
    assert laboratory.hits(manifests).height == 2


def test_an_hour_is_not_decoded_before_the_rules_of_its_time_are_known():
    laboratory = Laboratory(blocks_of([Sent("counted", 1, MINUTE_US, None, SHOP)], 5))
    laboratory.rules.through = MIDNIGHT_US + MINUTE_US - 1
    with pytest.raises(RulesUnavailableError, match="Start the configuration service"):
        laboratory.notes()
    laboratory.rules.through += 1
    assert laboratory.notes()


def test_another_number_of_requests_than_the_manifests_name_is_damage():
    laboratory = Laboratory(blocks_of([Sent("counted", 1, 1, None, SHOP)], 5))
    [note] = laboratory.notes()[MIDNIGHT_US]
    with pytest.raises(ArchiveDamageError, match=r"expected 1 requests, .* read 2"):
        hour_done(laboratory.settings, [note, note])


@examples(20)
@given(
    counts=st.lists(st.integers(0, 40), max_size=30), requests=st.sampled_from((1, 7, 20, 1_000))
)
def test_tasks_hold_every_slice_once_and_no_more_requests_than_asked_for(counts, requests):
    objects = MemoryObjects()
    archive = RawArchive(objects)
    for hour, count in enumerate(counts):
        at = [hour * HOUR_US + index * SECOND_US for index in range(count)]
        archive.write(blocks_of([Sent("counted", 1, one, None, SHOP) for one in at], 4))
    hours = [RawHour(objects, MIDNIGHT_US + hour * HOUR_US) for hour in range(len(counts))]
    tasks = tasks_of(hours, requests)
    slices = sorted(part for task in tasks for part in task.slices)
    assert slices == sorted(part for hour in hours for part in hour.slices(requests))
    assert sum(part.requests for part in slices) == sum(counts)
    assert {hour.hour_us for task in tasks for hour in task.hours} == {
        hour.hour_us for hour in hours
    }
    for task in tasks:
        held = sum(part.requests for part in task.slices)
        assert held <= requests or len(task.slices) == 1


def test_small_files_of_a_large_hour_are_decoded_together():
    objects = MemoryObjects()
    for minute in range(10):
        at = [minute * MINUTE_US + index for index in range(3)]
        block = blocks_of([Sent("counted", 1, one, None, SHOP) for one in at], 5)
        RawArchive(objects).write([replace(one, spool_id=f"s{minute}") for one in block])
    tasks = tasks_of([RawHour(objects, MIDNIGHT_US)], 12)
    assert [len(task.slices) for task in tasks] == [4, 4, 2]
    assert [task.number for task in tasks] == [0, 1, 2]


def test_conservation_adds_up_field_by_field():
    one = Conservation(**{field.name: index for index, field in enumerate(fields(Conservation))})
    twice = one + one
    assert all(getattr(twice, field.name) == 2 * getattr(one, field.name) for field in fields(one))
