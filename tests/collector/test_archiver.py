"""The archiver against the embedded Pub/Sub server."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from collector.archiver import Archiver, Gathering
from stores.archive.folder import FolderObjects
from stores.archive.raw import UNREADABLE, RawArchive
from stores.bus.port import ARCHIVE_SUBSCRIPTION, HITS_TOPIC
from stores.bus.pubsub import BusAddress, PubSubPublisher, PubSubSubscriber
from stores.bus.server import BusServer
from tallymark.blocks import Block
from tallymark.slots import HOUR_US
from tests.stores.archive.recorded_blocks import HOUR, block, request, spool

PATIENT = Gathering(seconds=1e6)
AT_ONCE = Gathering(seconds=0)


class WatchedSubscriber(PubSubSubscriber):
    """The real one, which also tells of each acknowledgement before it is sent."""

    def __init__(self, address: BusAddress, tell: Callable[[], None]) -> None:
        super().__init__(address)
        self._tell = tell

    def acknowledge(self, subscription: str, ack_ids: Iterable[str]) -> None:
        self._tell()
        super().acknowledge(subscription, ack_ids)


class Scene:
    """A bus, an archive, and archivers on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = BusServer(data_dir=folder / "bus")
        self.address = BusAddress("tallymark-test", self.server.address)
        self.publisher = PubSubPublisher(self.address)
        self.archived_at_acknowledgement: list[list[str]] = []
        self.subscriber = WatchedSubscriber(
            self.address, lambda: self.archived_at_acknowledgement.append(self.archived())
        )
        self.publisher.ensure_topic(HITS_TOPIC)
        self.subscribe()
        self.objects = FolderObjects(folder / "archive")

    def subscribe(self, ack_deadline_seconds: int = 60) -> None:
        self.subscriber.delete_subscription(ARCHIVE_SUBSCRIPTION)
        self.subscriber.ensure_subscription(
            ARCHIVE_SUBSCRIPTION, HITS_TOPIC, ack_deadline_seconds=ack_deadline_seconds
        )

    def archiver(
        self, gathering: Gathering, stopwatch: Callable[[], float] = time.monotonic
    ) -> Archiver:
        return Archiver(
            self.publisher, self.subscriber, self.objects, gathering, stopwatch=stopwatch
        )

    def publish(self, *blocks: Block) -> None:
        sent = [self.publisher.publish(HITS_TOPIC, one.payload, one.attributes()) for one in blocks]
        for future in sent:
            future.result(timeout=20)

    def archived(self) -> list[str]:
        archive = RawArchive(self.objects)
        frames = [frame for hour in archive.hours() for frame in archive.read_hour(hour)]
        return sorted(one for frame in frames for one in frame.get_column("request_id"))

    def unacknowledged(self) -> int:
        """How many messages come again after their deadline."""
        time.sleep(10.5)
        return len(self.subscriber.pull(ARCHIVE_SUBSCRIPTION, 100, wait_seconds=0.5))

    def close(self) -> None:
        self.publisher.close()
        self.subscriber.close()
        self.server.stop()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    opened = Scene(tmp_path)
    yield opened
    opened.close()


def step_until(
    archiver: Archiver, is_enough: Callable[[], bool], within_seconds: float = 20
) -> None:
    end = time.monotonic() + within_seconds
    while not is_enough():
        assert time.monotonic() < end, archiver.note()
        archiver.step()


def ids_of(blocks: list[Block]) -> list[str]:
    return sorted(one for part in blocks for one in part.frame().get_column("request_id"))


def test_blocks_are_gathered_written_by_hour_and_then_acknowledged(scene: Scene) -> None:
    blocks = spool("s", 55, 65)
    archiver = scene.archiver(PATIENT)
    scene.publish(*blocks)
    step_until(archiver, lambda: archiver.note()["backlog_blocks"] == len(blocks))
    assert scene.objects.names("") == [], "nothing is written while it gathers"
    archiver.write()
    assert scene.archived() == ids_of(blocks)
    assert RawArchive(scene.objects).hours() == [HOUR, HOUR + HOUR_US]
    assert archiver.state.files_written == 2
    assert archiver.note()["backlog_blocks"] == 0
    assert scene.archived_at_acknowledgement == [ids_of(blocks)]


@pytest.mark.parametrize(
    "gathering",
    [
        Gathering(seconds=30.0),
        Gathering(seconds=1e6, payload_bytes=1),
        Gathering(seconds=1e6, requests=1),
    ],
)
def test_age_bytes_or_requests_end_the_gathering(scene: Scene, gathering: Gathering) -> None:
    now = [0.0]
    archiver = scene.archiver(gathering, stopwatch=lambda: now[0])
    scene.publish(block("s", 2, HOUR + 9, [request("one", HOUR + 1)]))
    step_until(archiver, lambda: archiver.note()["backlog_blocks"] == 1)
    if gathering.seconds == 30.0:
        now[0] = 29.9
        archiver.step()
        assert scene.archived() == []
        now[0] = 30.0
    archiver.step()
    assert scene.archived() == ["one"]


def test_a_block_that_comes_twice_is_written_once_and_acknowledged_twice(scene: Scene) -> None:
    blocks = spool("s", 1, 4)
    archiver = scene.archiver(PATIENT)
    scene.publish(*blocks, *blocks)
    step_until(archiver, lambda: archiver.note()["backlog_blocks"] == len(blocks))
    archiver.step()
    archiver.write()
    scene.publish(*blocks)
    step_until(archiver, lambda: archiver.state.repeated_blocks == len(blocks))
    assert archiver.note()["backlog_blocks"] == 0
    assert archiver.state.blocks_written == len(blocks)
    assert scene.archived() == ids_of(blocks)


def test_a_message_that_is_no_block_is_kept_and_holds_nothing_up(scene: Scene) -> None:
    archiver = scene.archiver(PATIENT)
    scene.publisher.publish(HITS_TOPIC, b"what", {"spool_id": "s"}).result()
    scene.publish(block("s", 2, HOUR + 9, [request("good", HOUR + 1)]))
    step_until(archiver, lambda: archiver.state.unreadable_messages == 1)
    step_until(archiver, lambda: archiver.note()["backlog_blocks"] == 1)
    archiver.write()
    assert scene.archived() == ["good"]
    (name,) = scene.objects.names(UNREADABLE)
    kept = json.loads(scene.objects.get(name))
    assert kept["attributes"] == {"spool_id": "s"}
    assert kept["payload"] == "d2hhdA=="
    assert "needs the attribute" in kept["error"]


@pytest.mark.slow
def test_what_is_held_is_kept_from_coming_again(scene: Scene) -> None:
    scene.subscribe(ack_deadline_seconds=10)
    archiver = scene.archiver(PATIENT)
    scene.publish(block("s", 2, HOUR + 9, [request("one", HOUR + 1)]))
    step_until(archiver, lambda: archiver.note()["backlog_blocks"] == 1)
    scene.publish(block("s", 3, HOUR + 19, [request("two", HOUR + 11)]))
    assert len(scene.subscriber.pull(ARCHIVE_SUBSCRIPTION, 10, wait_seconds=5)) == 1
    archiver.extend()
    assert scene.unacknowledged() == 1, "the one that nobody holds, not the one that is held"


def test_an_archive_that_takes_nothing_is_tried_again_and_nothing_is_acknowledged(
    scene: Scene,
) -> None:
    blocks = spool("s", 1, 4)
    scene.publish(*blocks)
    (scene.folder / "archive").write_bytes(b"a file where the folder should be")
    archiver = scene.archiver(Gathering(seconds=1e6, requests=3))
    step_until(archiver, lambda: archiver.state.failures > 0)
    pauses = [archiver.step() for _ in range(3)]
    assert pauses[0] < pauses[1] < pauses[2]
    assert "exists" in archiver.state.last_error
    (scene.folder / "archive").unlink()
    step_until(archiver, lambda: archiver.state.blocks_written >= 4)
    archiver.write()
    assert scene.archived() == ids_of(blocks)


def test_an_archiver_waits_for_a_bus_that_is_not_there(tmp_path: Path) -> None:
    address = BusAddress("tallymark-test", "127.0.0.1:1")
    publisher, subscriber = PubSubPublisher(address), PubSubSubscriber(address)
    archiver = Archiver(publisher, subscriber, FolderObjects(tmp_path), AT_ONCE)
    assert archiver.step() > 0
    assert not archiver.is_subscribed
    assert "BusUnavailableError" in archiver.state.last_error
    archiver.extend()
    publisher.close()
    subscriber.close()


CODE = """
import sys
from pathlib import Path
from collector.archiver import Gathering, run
data, bus, seconds = sys.argv[1:]
run(
    data_dir=Path(data),
    bus_url=bus,
    archive_url=f"file:{data}/archive",
    gathering=Gathering(seconds=float(seconds)),
)
"""


def start_archiver(scene: Scene, gather_seconds: float) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(scene.folder), scene.address.url, str(gather_seconds)],
        env={"TALLYMARK_FAILPOINTS": str(scene.folder / "failpoints")},
    )


def wait_for(is_true: Callable[[], bool], within_seconds: float = 60) -> None:
    end = time.monotonic() + within_seconds
    while not is_true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.slow
def test_on_sigterm_it_writes_and_acknowledges_what_it_holds(scene: Scene) -> None:
    note = scene.folder / "run" / "archiver.json"
    scene.subscribe(ack_deadline_seconds=10)
    blocks = spool("s", 55, 65)
    scene.publish(*blocks)
    process = start_archiver(scene, gather_seconds=1e6)
    try:
        wait_for(
            lambda: note.exists() and json.loads(note.read_bytes())["backlog_blocks"] == len(blocks)
        )
        assert json.loads(note.read_bytes())["pid"] == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
    assert scene.archived() == ids_of(blocks)
    assert json.loads(note.read_bytes())["blocks_written"] == len(blocks)
    assert scene.unacknowledged() == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.timeout(240)
def test_whenever_the_archiver_is_killed_every_request_is_read_once(
    scene: Scene, seed: int
) -> None:
    chance = random.Random(seed)
    scene.subscribe(ack_deadline_seconds=10)
    failpoints = scene.folder / "failpoints"
    failpoints.mkdir()
    blocks = [part for name in "abcd" for part in spool(name, 30, 90)]
    chance.shuffle(blocks)
    rest = blocks[:]
    process = start_archiver(scene, gather_seconds=0.2)
    try:
        for name in (
            "archiver.before-write",
            "archive.file-before-manifest",
            "archiver.written-before-ack",
            "",
            "",
        ):
            if name:
                (failpoints / name).touch()
            some, rest = rest[:40], rest[40:]
            scene.publish(*some)
            if name:
                assert process.wait(timeout=60) == -signal.SIGKILL
            else:
                time.sleep(chance.uniform(0.5, 3))
                process.kill()
                process.wait()
            process = start_archiver(scene, gather_seconds=0.2)
        scene.publish(*rest)
        wait_for(lambda: set(scene.archived()) == set(ids_of(blocks)), within_seconds=120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
    assert scene.archived() == ids_of(blocks)
    archive = RawArchive(scene.objects)
    assert all(one.is_closed for one in archive.frontiers().values())
    assert {name for name, one in archive.frontiers().items() if one.number == 62} == set("abcd")
