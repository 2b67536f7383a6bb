"""Whole replays over a small archive: what is computed, what is said when it cannot be."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace as changed
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from beam_pipelines.replay import main, replay
from beam_pipelines.replay_request import ReplayRequest, decode_request, encode_request
from beam_pipelines.replay_stages import clean_received_hours, compute_sessions, roll_up
from stores.archive.clean import CleanHits
from stores.archive.dead_letters import DeadLetters
from stores.archive.folder import FolderObjects
from stores.archive.raw import RawArchive
from tallymark.blocks import Block, encode_requests
from tallymark.requests import REQUEST_SCHEMA
from tallymark.slots import HOUR_US, SESSION_ALIGNMENT_US
from tests.beam_pipelines.worlds import World, page_view, request_blocks
from tests.strategies import MIDNIGHT_US, MINUTE_US

pytestmark = pytest.mark.slow

L = SESSION_ALIGNMENT_US
REQUESTS = 200
"""About five hours of visits."""
KILLS = (
    "clean.parts-before-manifest",
    "counts.parts-before-manifest",
    "rollups.slots-before-cells",
)


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


@pytest.fixture
def shop(world) -> str:
    return world.property()


def server_hit(measurement_id: str, received_us: int, event_us: int, number: int) -> dict:
    """A recorded request of the Measurement Protocol, dated back."""
    document = {
        "client_id": "7.7",
        "timestamp_micros": MIDNIGHT_US + event_us,
        "events": [{"name": "refund"}],
    }
    return page_view(measurement_id, "", received_us, 10_000 + number) | {
        "path": "/mp/collect",
        "query": f"measurement_id={measurement_id}&api_secret=*",
        "secret_verdict": "valid",
        "body": json.dumps(document),
    }


def block_of(request: dict, spool_id: str) -> Block:
    frontier = request["received_at"] + 1
    return Block(
        spool_id=spool_id,
        number=1,
        kind="requests",
        frontier=frontier,
        requests=1,
        payload=encode_requests(pl.DataFrame([request], schema=REQUEST_SCHEMA)),
        published_at=frontier,
    )


def events(world: World, lineage: str, name: str) -> int:
    """How many events of a name all cells of a lineage hold."""
    return sum(
        int(line.split(b"\t")[1])
        for (key, family, _), value in world.cells(lineage).items()
        if b"#events#" in key and family == "n"
        for line in value.split(b"\n")
        if line.startswith(name.encode() + b"\t")
    )


def of_property(cells: dict, property_id: int) -> dict:
    mine = f"#{property_id}#".encode()
    return {name: value for name, value in cells.items() if mine in name[0]}


def with_version(world: World, **settings) -> None:
    """Give every property another version of its rules, in force when all is over."""
    path = world.folder / "properties.json"
    document = json.loads(path.read_text())
    for owner in document["properties"]:
        newest = owner["versions"][-1]
        number = newest["version"] + 1
        at = MIDNIGHT_US + 900 * HOUR_US
        owner["versions"].append(newest | {"version": number, "effective_at": at} | settings)
    path.write_text(json.dumps(document))


def ran(request: ReplayRequest, stage: str = "all"):
    """The exit code and the last line of a run of the module."""
    result = CliRunner().invoke(
        main, ["--request", "-", "--stage", stage], input=encode_request(request)
    )
    return result.exit_code, json.loads(result.stdout.splitlines()[-1])


def test_a_request_survives_its_json():
    request = ReplayRequest(
        lineage="gen-3", start_us=0, end_us=1, archive_url="a", wide_rows_url="w", rules_path="r",
        measurement_ids=("G-A",), inputs=((0, "gen-0"),), overrides=((7, 0, "gen-2"),),
        late_hours=(5,), runner_options=("--x=1",), rules="2", is_sealing=True,
    )  # fmt: skip
    assert decode_request(encode_request(request)) == request
    bare = changed(request, measurement_ids=None, late_hours=None)
    assert decode_request(encode_request(bare)) == bare


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"lineage": "gen-1", "more": 1}'])
def test_what_is_no_request_is_said_to_be_none(content):
    with pytest.raises(ValueError, match="expected a replay request as JSON"):
        decode_request(content)


def test_dead_letters_are_counted_by_a_replay_once_what_was_wrong_is_mended(world, shop, tmp_path):
    unborn = World(tmp_path / "elsewhere").property(seed=2)
    sale = page_view(shop, "9.9", HOUR_US, 20_000)
    sale |= {"query": sale["query"].replace("page_view", "purchase") + "&epn.value=5&cu=EUR"}
    blocks = [*request_blocks([shop, unborn], requests=REQUESTS), block_of(sale, "sale")]
    world.archive(blocks)
    letters = DeadLetters(world.objects)
    replay(world.replay_request("gen-1"))
    assert set(letters.read("gen-1")["reason"]) == {"unknown_measurement_id", "missing_rate"}
    assert value_micros(world, "gen-1") == 0

    assert world.property(seed=2) == unborn
    with_version(world, exchange_rates=[{"currency": "EUR", "since": "2020-01-01", "rate": "1.1"}])
    replay(world.replay_request("gen-2", rules="latest"))

    assert letters.read("gen-2").is_empty()
    sent = sum(block.requests for block in blocks)
    counted = [events(world, lineage, "page_view") for lineage in ("gen-1", "gen-2")]
    assert 0 < counted[0] < counted[1] == sent - 1
    assert value_micros(world, "gen-2") == 5_500_000


def value_micros(world: World, lineage: str) -> int:
    """The value of all sales that the cells of a lineage hold."""
    return sum(
        int(line.split(b"\t")[3])
        for (key, family, _), value in world.cells(lineage).items()
        if b"#events#" in key and family == "n"
        for line in value.split(b"\n")
        if line.startswith(b"purchase\t")
    )


def test_rules_may_be_those_as_received_the_latest_or_a_version(world, shop, tmp_path):
    blocks = request_blocks([shop], requests=REQUESTS)
    world.archive(blocks)
    replay(world.replay_request("gen-1"))
    as_received = world.cells("gen-1")
    with_version(world, session_gap_seconds=300)
    for lineage, rules in (("gen-2", "as-received"), ("gen-3", "latest"), ("gen-4", "1")):
        replay(world.replay_request(lineage, rules=rules))
    assert world.cells("gen-2") == world.cells("gen-4") == as_received

    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other")
    other.property(session_gap_seconds=300)
    other.archive(blocks)
    replay(other.replay_request("gen-1"))
    assert world.cells("gen-3") == other.cells("gen-1") != as_received


def test_one_property_alone_is_read_and_written_alone(world):
    shops = [world.property(seed) for seed in (1, 2)]
    world.archive(request_blocks(shops, requests=REQUESTS))
    everyone = replay(world.replay_request("gen-1"))
    alone = replay(world.replay_request("gen-2", measurement_ids=(shops[0],)))
    owners = {int(key.split(b"#")[1]) for key, _, _ in world.cells("gen-2")}
    assert len(owners) == 1
    assert world.cells("gen-2") == of_property(world.cells("gen-1"), owners.pop())
    assert 0 < alone.hits < everyone.hits
    assert alone.conservation.unexplained == 0
    assert alone.conservation.skipped_requests == everyone.hits - alone.hits
    clean = CleanHits(world.objects)
    parts = clean.parts("gen-2", set(alone.window))
    read = pl.concat([frame for part in parts for frame in clean.read(part)])
    assert read.get_column("measurement_id").unique().to_list() == [shops[0]]


def test_a_property_is_replayed_with_all_its_data_streams(world):
    site, other = (world.property(seed) for seed in (1, 2))
    world.add_stream(site, app := "G-APP0000000")
    world.archive(request_blocks([site, app, other], requests=REQUESTS))
    replay(world.replay_request("gen-1"))
    alone = replay(world.replay_request("gen-2", measurement_ids=(app,)))
    [owner] = {int(key.split(b"#")[1]) for key, _, _ in world.cells("gen-2")}
    assert world.cells("gen-2") == of_property(world.cells("gen-1"), owner)
    clean = CleanHits(world.objects)
    read = [frame for part in clean.parts("gen-2", set(alone.window)) for frame in clean.read(part)]
    assert set(pl.concat(read).get_column("measurement_id")) == {site, app}


def test_late_hits_are_counted_by_replay_wherever_they_were_received(world, shop):
    blocks = request_blocks([shop], requests=REQUESTS)
    soon = server_hit(shop, 5 * HOUR_US, 2 * HOUR_US, 1)
    far = server_hit(shop, 60 * HOUR_US, 2 * HOUR_US + MINUTE_US, 2)
    too_old = server_hit(shop, 90 * HOUR_US, 2 * HOUR_US, 3)
    late = [block_of(one, f"server{index}") for index, one in enumerate((soon, far, too_old))]
    world.archive([*blocks, *late])
    span = {"start_us": MIDNIGHT_US, "end_us": MIDNIGHT_US + L}

    unknown = replay(world.replay_request("gen-1", **span))
    assert unknown.conservation.late == events(world, "gen-1", "refund") == 1

    # Routine sealing has decoded the hour in which it came, and so it is known.
    standing = world.replay_request("gen-0", start_us=MIDNIGHT_US + 60 * HOUR_US,
                                    end_us=MIDNIGHT_US + 64 * HOUR_US, is_sealing=True)  # fmt: skip
    clean_received_hours(standing, [MIDNIGHT_US + 60 * HOUR_US])
    known = replay(world.replay_request("gen-2", **span))
    assert known.conservation.late == events(world, "gen-2", "refund") == 2
    told = replay(world.replay_request("gen-3", late_hours=(MIDNIGHT_US + 60 * HOUR_US,), **span))
    assert told.hits == known.hits == unknown.hits + 1
    assert world.cells("gen-3") == world.cells("gen-2")


def test_overlapping_ranges_run_twice_are_the_cells_of_the_whole_range(world, shop):
    world.archive(request_blocks([shop], requests=2 * REQUESTS))
    for first, end in ((0, 1), (1, 2), (0, 1)):
        replay(
            world.replay_request(
                "gen-1", start_us=MIDNIGHT_US + first * L, end_us=MIDNIGHT_US + end * L
            )
        )
    whole = world.replay_request("gen-2", end_us=MIDNIGHT_US + 2 * L)
    replay(whole)
    before = world.cells("gen-2")
    assert world.cells("gen-1") == before != {}
    versions = world.rows.rows.read([(b"0", b"~")]).filter(pl.col("row_key").bin.contains(b"gen-2"))
    replay(whole)
    assert world.cells("gen-2") == before
    again = world.rows.rows.read([(b"0", b"~")]).filter(pl.col("row_key").bin.contains(b"gen-2"))
    assert again.get_column("version").min() > versions.get_column("version").max()


def test_cells_that_became_empty_are_written_empty(world):
    shops = [world.property(seed) for seed in (1, 2)]
    world.archive(request_blocks(shops, requests=REQUESTS))
    replay(world.replay_request("gen-1"))
    before = world.cells("gen-1")
    replay(world.replay_request("gen-1", measurement_ids=(shops[0],)))
    after = world.cells("gen-1")
    replay(world.replay_request("gen-2", measurement_ids=(shops[0],)))
    own = world.cells("gen-2")
    touches = {name for name in before if b"#touches#" in name[0]}
    assert after.keys() == before.keys() - (touches - own.keys())  # empty touches are not told
    assert touches - own.keys()
    assert {name: value for name, value in after.items() if name in own} == own
    rest = {value for name, value in after.items() if name not in own}
    assert all(value.count(b"\n") == 0 or value.strip() in (b"", b"1") for value in rest)


def test_stages_that_are_run_one_by_one_are_the_whole(world, shop):
    world.archive(request_blocks([shop], requests=REQUESTS))
    whole = replay(world.replay_request("gen-1"))
    request = world.replay_request("gen-2")
    assert ran(request, "sessions")[0] == ran(request, "rollups")[0] == 8
    manifests = clean_received_hours(request)
    assert ran(request, "rollups") == (
        8, {"outcome": "missing_stage", "message": ran(request, "rollups")[1]["message"]},
    )  # fmt: skip
    counted = compute_sessions(request)
    rolled = roll_up(request)
    assert len(manifests) == len(whole.received_hours)
    assert (counted.hits, sum(counted.sessions.values())) == (whole.hits, whole.sessions)
    assert rolled.cells == whole.cells
    assert world.cells("gen-2") == world.cells("gen-1")


@pytest.fixture
def served(world, shop):
    """An archive, a lineage that is served, and that it is still there, whole, in the end."""
    world.archive(request_blocks([shop], requests=REQUESTS))
    replay(world.replay_request("gen-1", is_sealing=True, end_us=MIDNIGHT_US + 2 * L))
    before = world.cells("gen-1")
    yield world
    assert world.cells("gen-1") == before
    assert world.cells("gen-2") == {}


def raw_files(world: World, hour: int, ending: str) -> list:
    folder = world.folder / "archive" / "raw"
    return sorted(folder.glob(f"received_hour=2023-11-15T{hour:02d}/*{ending}"))


def test_a_range_that_is_not_sealed_is_refused(served):
    late = MIDNIGHT_US + 196 * HOUR_US
    code, last = ran(served.replay_request("gen-2", start_us=late, end_us=late + L))
    assert (code, last["outcome"]) == (3, "unsealed")
    assert "2023-11-23T04Z is not sealed" in last["message"]


def test_a_received_hour_with_a_hole_is_named_with_the_spool(served):
    RawArchive(served.objects).write(
        [
            Block(spool_id="gone", number=number, kind=kind, requests=0, payload=b"",
                  frontier=MIDNIGHT_US + hour * HOUR_US)
            for number, kind, hour in ((1, "opening", 1), (4, "heartbeat", 3))
        ]
    )  # fmt: skip
    request = served.replay_request("gen-2", clock_us=MIDNIGHT_US + 200 * HOUR_US)
    code, last = ran(request)
    assert (code, last["outcome"]) == (4, "incomplete")
    assert "spool gone lacks blocks 2 to 3" in last["message"]


def test_a_received_hour_that_is_missing_leaves_its_spools_with_a_hole(served):
    for path in [*raw_files(served, 2, ".json"), *raw_files(served, 2, ".parquet")]:
        path.unlink()
    code, last = ran(served.replay_request("gen-2", clock_us=MIDNIGHT_US + 200 * HOUR_US))
    assert (code, last["outcome"]) == (4, "incomplete")
    assert "lacks blocks" in last["message"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-50]), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.unlink(), "the file is missing"),
    ],
    ids=["cut off", "empty", "missing"],
)
def test_a_raw_file_that_cannot_be_read_is_named_with_what_to_do(served, damage, says):
    [path, *_] = raw_files(served, 2, ".parquet")
    damage(path)
    code, last = ran(served.replay_request("gen-2"))
    assert (code, last["outcome"]) == (5, "damaged")
    assert says in last["message"]
    assert path.name in last["message"]
    assert "Put it back from a copy" in last["message"]


def test_clean_hits_that_cannot_be_read_are_named_and_made_again(world, shop):
    world.archive(request_blocks([shop], requests=REQUESTS))
    request = world.replay_request("gen-1")
    replay(request)
    before = world.cells("gen-1")
    part = CleanHits(world.objects).parts("gen-1", {MIDNIGHT_US + HOUR_US})[0]
    path = world.folder / "archive" / part.name
    path.write_bytes(path.read_bytes()[:-10])
    code, last = ran(request)
    assert (code, last["outcome"]) == (5, "damaged")
    assert "in a new lineage with tallymark replay" in last["message"]
    assert world.cells("gen-1") == before
    again = ran(changed(request, is_clean_kept=False))
    assert again[0] == 0
    assert world.cells("gen-1") == before


@pytest.mark.parametrize(
    ("changes", "code", "outcome", "says"),
    [
        ({"rules": "3"}, 7, "rules", "has 1 to 1"),
        ({"rules": "newest"}, 7, "rules", "expected as-received, latest or the number"),
        ({"measurement_ids": ("G-NOBODY0001",)}, 2, "request", "expected ids of properties"),
        ({"end_us": MIDNIGHT_US}, 2, "request", "starts before it ends"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(served, changes, code, outcome, says):
    found, last = ran(served.replay_request("gen-2", **changes))
    assert (found, last["outcome"]) == (code, outcome)
    assert says in last["message"]


@pytest.mark.parametrize("fails_at", ["clean/", "sessions/", "counts/", "slots/"])
def test_a_store_that_takes_no_more_is_said_and_running_again_finishes(
    world, shop, monkeypatch, fails_at
):
    world.archive(request_blocks([shop], requests=REQUESTS))
    replay(world.replay_request("gen-1"))
    put, put_all = FolderObjects.put, FolderObjects.put_all

    def taken(name):
        if name.startswith(fails_at):
            raise OSError(errno.ENOSPC, "No space left on device", name)

    def full(objects, name, content):
        taken(name)
        put(objects, name, content)

    def all_full(objects, several):
        several = list(several)
        for name, _ in several:
            taken(name)
        put_all(objects, several)

    with monkeypatch.context() as broken:
        broken.setattr(FolderObjects, "put", full)
        broken.setattr(FolderObjects, "put_all", all_full)
        code, last = ran(world.replay_request("gen-2"))
    assert (code, last["outcome"]) == (6, "no_space")
    assert "Make room and run the same again" in last["message"]
    assert world.cells("gen-2") == {}
    assert ran(world.replay_request("gen-2"))[0] == 0
    assert world.cells("gen-2") == world.cells("gen-1")


def process(request: ReplayRequest, failpoints: Path | None = None) -> subprocess.CompletedProcess:
    """A replay in a process of its own, as it is run in earnest."""
    return subprocess.run(
        [sys.executable, "-m", "beam_pipelines.replay", "--request", "-"],
        input=encode_request(request),
        capture_output=True,
        env=os.environ | ({"TALLYMARK_FAILPOINTS": str(failpoints)} if failpoints else {}),
        timeout=300,
        check=False,
    )


@pytest.mark.timeout(600)
def test_a_replay_that_is_killed_wherever_it_is_and_run_again_gives_the_same_bytes(
    world, shop, tmp_path
):
    world.archive(request_blocks([shop], requests=REQUESTS))
    whole = world.replay_request("gen-1", hits_a_pass=60)
    replay(whole)
    request = changed(whole, lineage="gen-2")
    failpoints = tmp_path / "failpoints"
    failpoints.mkdir()
    for name in KILLS:
        (failpoints / name).touch()
        assert process(request, failpoints).returncode == -signal.SIGKILL
        assert (failpoints / f"{name.partition('.')[0]}.reached").exists()
        assert world.cells("gen-2") == {}
    done = process(request, failpoints)
    assert json.loads(done.stdout.splitlines()[-1])["outcome"] == "done"
    assert world.cells("gen-2") == world.cells("gen-1")
    kept = [CleanHits(world.objects).manifests(name, [MIDNIGHT_US]) for name in ("gen-1", "gen-2")]
    assert kept[0][0].conservation == kept[1][0].conservation


@pytest.fixture
def small_disk(tmp_path):
    """A disk of some megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.timeout(600)
def test_a_full_disk_ends_a_replay_and_what_is_served_stays(small_disk):
    world = World(small_disk)
    shop = world.property()
    world.archive(request_blocks([shop], requests=REQUESTS))
    request = world.replay_request("gen-1", is_sealing=True, end_us=MIDNIGHT_US + L)
    assert process(request).returncode == 0
    before = world.cells("gen-1")
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4_096)
    full = process(changed(request, lineage="gen-2"))
    last = json.loads(full.stdout.splitlines()[-1])
    assert (full.returncode, last["outcome"]) == (6, "no_space")
    assert world.cells("gen-1") == before
    filler.unlink()
    assert process(changed(request, lineage="gen-2")).returncode == 0
    assert world.cells("gen-2") == before
