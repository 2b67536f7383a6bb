"""Stale hours: which served hours other code has decided, and who mends them."""

from dataclasses import replace
from pathlib import Path

import pytest

from beam_pipelines import stale_hours
from beam_pipelines.announced_hours import announced_spans
from beam_pipelines.places import Places
from beam_pipelines.stale_hours import stale_spans
from stores.announcements import LATE, STALE, Announcements
from stores.archive.clean import CleanHits, CleanManifest
from stores.archive.raw import RawArchive
from stores.publication import Publisher
from tallymark.conservation import Conservation
from tallymark.lineages import Lineage
from tallymark.replays import Span
from tallymark.slots import HOUR_US
from tests.beam_pipelines.worlds import World, request_blocks
from tests.strategies import MIDNIGHT_US

FIRST, SEALED, RECORDED = -2, 27, 36
"""Hours from midnight on: events may be of an hour before the first block, which says that nothing
came before midnight; hits on time may still change hours from the second on; the third is now."""


def at(hour: int) -> int:
    """UTC µs of an hour counted from midnight."""
    return MIDNIGHT_US + hour * HOUR_US


@pytest.fixture(name="world")
def _world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A live lineage has counted a day and a half of a shop in the code ``old``; ``new`` runs."""
    world = World(tmp_path)
    blocks = request_blocks([world.property()], requests=1_400)
    assert blocks[-1].frontier < at(RECORDED)
    idle = [
        replace(blocks[0], spool_id="idle", number=number, kind=kind, frontier=at(hour))
        for number, kind, hour in ((1, "opening", 0), (2, "heartbeat", RECORDED))
    ]
    RawArchive(world.objects).write([*blocks, *idle])
    monkeypatch.setattr(stale_hours, "code_version", lambda: "new")
    publisher(world).live_lineage(shards=1)
    computed(world, "live-1", "old", -(2**62))
    return world


def publisher(world: World) -> Publisher:
    return Publisher(world.rows, lambda: 1, who="test")  # type: ignore[arg-type]


def computed(world: World, name: str, version: str, from_us: int) -> Lineage:
    """Note which code a live lineage was gone on with."""
    register = publisher(world).lineages
    return register.update(name, lambda held: held.computed_by(version, from_us))


def found(world: World) -> list[tuple[int, int, str, str, bool]]:
    """First hour, end, lineage, version and openness of what is stale."""
    return [
        (*hours(one.span), one.lineage, one.code_version, one.is_open)
        for one in stale_spans(places(world))
    ]


def hours(span: Span) -> tuple[int, int]:
    """Counted from midnight."""
    return (span.start_us - MIDNIGHT_US) // HOUR_US, (span.end_us - MIDNIGHT_US) // HOUR_US


def places(world: World) -> Places:
    settings = world.settings()
    return Places(
        archive_url=settings.archive_url,
        wide_rows_url=settings.wide_rows_url,
        rules_path=settings.rules_path,
    )


def test_recorded_hours_of_a_stream_in_other_code_are_stale(world: World) -> None:
    assert found(world) == [
        (FIRST, SEALED, "live-1", "old", False),
        (SEALED, RECORDED, "live-1", "old", True),
    ]


def test_a_stream_in_this_code_has_no_stale_hours(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stale_hours, "code_version", lambda: "old")
    assert found(world) == []


def test_hours_before_those_that_a_restart_read_again_stay_stale(world: World) -> None:
    computed(world, "live-1", "new", at(20))
    assert found(world) == [(FIRST, 20, "live-1", "old", False)]


def test_hours_that_an_heir_did_not_take_over_stay_stale_until_they_are_replayed(
    world: World,
) -> None:
    stores = publisher(world)
    heir = stores.lineages.draw(
        "live", code_version="new", state="candidate", targets=((at(SEALED), 2**62),)
    )
    stores.publish(heir.name)
    assert found(world) == [(FIRST, SEALED, "live-1", "old", False)]
    replay = stores.lineages.draw(
        code_version="new", state="candidate", targets=((at(-4), at(SEALED)),)
    )
    stores.publish(replay.name)
    assert found(world) == []


def test_a_replay_in_other_code_is_stale_as_a_whole(world: World) -> None:
    stores = publisher(world)
    computed(world, "live-1", "new", -(2**62))
    replay = stores.lineages.draw(code_version="old", state="candidate", targets=((at(0), at(4)),))
    stores.publish(replay.name)
    assert found(world) == [(0, 4, "gen-1", "old", False)]


def test_hours_that_were_sealed_in_other_code_are_stale(world: World) -> None:
    stores = publisher(world)
    computed(world, "live-1", "new", -(2**62))
    stores.lineages.standing()
    stores.lineages.update("gen-0", lambda held: held.extended([(at(0), at(8))]))
    for hour, version in ((0, "old"), (1, "old"), (2, "new"), (3, "old")):
        manifest = CleanManifest(
            lineage="gen-0", received_hour=at(hour), code_version=version, rules="as-received",
            span=(at(0), at(8)), measurement_ids=None, not_held=(), parts=(),
            conservation=Conservation(),
        )  # fmt: skip
        CleanHits(world.objects).commit(manifest)
    stores.seal(at(0), at(8))
    assert found(world) == [(0, 2, "gen-0", "old", False), (3, 4, "gen-0", "old", False)]


def test_announced_hours_are_named_by_property_and_those_that_are_not_sealed_as_open(
    world: World,
) -> None:
    for kind, told in (
        (LATE, [(7, at(5), b"block-1"), (7, at(5), b"block-2"), (8, at(1), b"block-1")]),
        (STALE, [(7, at(8), b"pointers"), (7, at(SEALED + 1), b"pointers")]),
    ):
        Announcements(world.rows, kind).announce(told)  # type: ignore[arg-type]
    assert [(one.property_id, *hours(one.span), one.is_open) for one in announced_spans(
        places(world)
    )] == [(8, 0, 4, False), (7, 4, 12, False), (7, 28, 32, True)]  # fmt: skip
    late = Announcements(world.rows, LATE)  # type: ignore[arg-type]
    late.answer(at(0), at(8), [b"block-1"], version=1)
    assert [one.property_id for one in announced_spans(places(world))] == [7, 7]


def test_of_an_archive_that_holds_nothing_nothing_is_announced(tmp_path: Path) -> None:
    assert announced_spans(places(World(tmp_path))) == []
