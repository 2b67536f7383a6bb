"""The shipper: every closed block reaches the bus, whatever dies or is damaged."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest

from collector.redactor import Redactor
from collector.request_ids import RequestIds
from collector.segments import BLOCK_SUFFIX
from collector.shipper import DONE_PREFIX, Shipper, write_note
from collector.spools import Spool, new_spool_id
from stores.bus.port import HITS_TOPIC
from stores.bus.pubsub import BusAddress, PubSubPublisher, PubSubSubscriber
from stores.bus.server import BusServer
from tallymark.blocks import Block, block_of_message
from tests.collector.workers import NOON_US, Clock, worker_at

SUBSCRIPTION = "test"


class Bus:
    """The embedded bus with a subscription that has seen everything."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.server = BusServer(data_dir=folder, port=port)
        address = BusAddress("tallymark", self.server.address)
        self.publisher = PubSubPublisher(address)
        self.subscriber = PubSubSubscriber(address)
        self.publisher.ensure_topic(HITS_TOPIC)
        self.subscriber.ensure_subscription(SUBSCRIPTION, HITS_TOPIC)

    def blocks(self) -> list[Block]:
        """What came since the last call."""
        blocks = []
        while received := self.subscriber.pull(SUBSCRIPTION, 100, wait_seconds=0.2):
            blocks += [
                block_of_message(message.payload, message.attributes, message.published_at_us)
                for message in received
            ]
            self.subscriber.acknowledge(SUBSCRIPTION, [message.ack_id for message in received])
        return blocks

    def close(self) -> None:
        self.publisher.close()
        self.subscriber.close()
        self.server.stop()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(tmp_path / "bus")
    yield bus
    bus.close()


def shipper_of(data_dir: Path, publisher, redactor: Redactor | None = None) -> Shipper:
    return Shipper(
        data_dir / "spools",
        quarantine=data_dir / "quarantine",
        publisher=publisher,
        redactor=redactor or Redactor(),
    )


def spool_with(folder: Path, requests_a_block: list[int], number: int = 1) -> Spool:
    """A spool of a living worker with blocks of these sizes."""
    folder.mkdir(exist_ok=True, parents=True)
    clock = Clock(NOON_US + number)
    spool = Spool(
        folder,
        spool_id=new_spool_id(clock(), number),
        request_ids=RequestIds(number),
        clock=clock,
        stopwatch=clock.seconds,
    )
    for requests in requests_a_block:
        for _ in range(requests):
            spool.append(FIELDS)
        clock.now += 11_000_000
        spool.tick()
    return spool


FIELDS = (
    b'"has_balancer_id":false,"method":"GET","path":"/g/collect","query":"v=2","body":"",'
    b'"body_encoding":"utf-8","user_agent":"","accept_language":"","referer":"","origin":"",'
    b'"client_hints":"","ip_network":"","visitor_hash":"","secret_verdict":"",'
    b'"do_not_track":false,"global_privacy_control":false,"country_hint":""}'
)


def test_what_was_asked_of_a_worker_arrives_at_the_bus(tmp_path: Path, bus: Bus):
    with worker_at(tmp_path) as collector:
        for index in range(10):
            collector.ask("/g/collect", f"tid=G-SHOP&_s={index}")
        recorded = collector.rows()
    shipper = shipper_of(tmp_path, bus.publisher)
    assert shipper.drain(20)
    blocks = sorted(bus.blocks(), key=lambda block: block.number)
    assert [block.kind for block in blocks] == ["opening", "requests", "closing"]
    assert [block.number for block in blocks] == [1, 2, 3]
    assert blocks[1].frame().to_dicts() == recorded
    assert blocks[1].requests == len(recorded) == 10
    assert blocks[1].received_hour == NOON_US
    assert list((tmp_path / "spools").iterdir()) == []
    assert shipper.state.requests_shipped == 10


def test_a_living_spool_keeps_its_folder_when_all_is_shipped(tmp_path: Path, bus: Bus):
    spool = spool_with(tmp_path / "spools", [3, 0, 2])
    shipper = shipper_of(tmp_path, bus.publisher)
    shipper.recover_dead_spools()
    assert shipper.drain(20)
    assert sorted(path.name for path in spool.path.iterdir()) == ["0000000005.open", "lock"]
    spool.append(FIELDS)
    spool.close()
    assert shipper.drain(20)
    blocks = sorted(bus.blocks(), key=lambda block: block.number)
    expected = ["opening", "requests", "heartbeat", "requests", "requests", "closing"]
    assert [block.kind for block in blocks] == expected
    assert not spool.path.exists()


def test_a_dead_workers_spool_is_closed_and_shipped(tmp_path: Path, bus: Bus):
    living = spool_with(tmp_path / "elsewhere", [3])
    for _ in range(4):
        living.append(FIELDS)
    dead = tmp_path / "spools" / living.spool_id
    shutil.copytree(living.path, dead)
    torn = (dead / "0000000003.open").read_bytes().rstrip(b"\0")
    (dead / "0000000003.open").write_bytes(torn[:-1])
    shipper = shipper_of(tmp_path, bus.publisher)
    shipper.recover_dead_spools()
    assert shipper.drain(20)
    blocks = sorted(bus.blocks(), key=lambda block: block.number)
    kinds = [(block.number, block.kind, block.requests) for block in blocks]
    assert kinds == [(1, "opening", 0), (2, "requests", 3), (3, "requests", 3), (4, "closing", 0)]
    assert not dead.exists()
    living.close()


def test_a_damaged_segment_is_kept_aside_and_its_good_requests_go_out(
    tmp_path: Path, bus: Bus, caplog
):
    spool = spool_with(tmp_path / "spools", [5])
    path = spool.path / "0000000002.block"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert shipper_of(tmp_path, bus.publisher).drain(20)
    assert sorted(block.requests for block in bus.blocks()) == [0, 4]
    (kept,) = (tmp_path / "quarantine").iterdir()
    assert kept.read_bytes() == content
    assert "damaged: 4 good requests" in caplog.text
    spool.close()


def test_segments_wait_while_the_bus_is_down(tmp_path: Path):
    bus = Bus(tmp_path / "bus")
    spool = spool_with(tmp_path / "spools", [5, 5])
    shipper = shipper_of(tmp_path, bus.publisher)
    port = bus.server.port
    bus.server.stop()
    assert not shipper.drain(1.5)
    assert len(shipper.backlog()) == 3
    assert shipper.state.failures > 0
    again = Bus(tmp_path / "bus", port)
    assert shipper.drain(20)
    assert {block.number for block in again.blocks()} == {1, 2, 3}
    spool.close()
    bus.publisher.close()
    bus.subscriber.close()
    again.close()


class Ledger:
    """A bus that notes what is sent and answers when the test says so."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.futures: dict[str, Future[str]] = {}

    def ensure_topic(self, topic: str) -> None:
        assert topic == HITS_TOPIC

    def publish(self, topic: str, payload: bytes, attributes: Mapping[str, str]) -> Future[str]:
        name = f"{attributes['spool_id'][-1]}/{attributes['number']}/{attributes['kind']}"
        self.sent.append(name)
        self.futures[name] = Future()
        return self.futures[name]

    def acknowledge(self) -> None:
        for name, future in list(self.futures.items()):
            future.set_result("1")
            del self.futures[name]


def test_blocks_go_out_in_order_spools_in_turn_and_the_closing_one_last(tmp_path: Path):
    for number in (1, 2):
        spool_with(tmp_path / "spools", [1, 1], number).close()
    bus = Ledger()
    shipper = shipper_of(tmp_path, bus)
    shipper.step()
    in_turn = ["1/1/opening", "2/1/opening", "1/2/requests", "2/2/requests"]
    assert bus.sent == [*in_turn, "1/3/requests", "2/3/requests"]
    shipper.step()
    assert len(bus.sent) == 6  # what is in flight does not go out again
    bus.acknowledge()
    shipper.step()
    assert bus.sent[6:] == ["1/4/closing", "2/4/closing"]
    bus.acknowledge()
    shipper.step()
    assert list((tmp_path / "spools").iterdir()) == []


def test_what_was_refused_goes_out_again_from_the_first(tmp_path: Path):
    spool = spool_with(tmp_path / "spools", [1, 1, 1])
    bus = Ledger()
    shipper = shipper_of(tmp_path, bus)
    shipper.step()
    refused = bus.futures.pop("1/2/requests")
    refused.set_exception(RuntimeError("refused"))
    bus.acknowledge()
    shipper.step()
    assert [path.name for path in shipper.backlog()] == ["0000000002.block"]
    assert "refused" in shipper.state.last_error
    shipper.wait(0.3)
    shipper.step()
    assert bus.sent[-1] == "1/2/requests"
    spool.close()


def test_left_overs_of_shipped_spools_are_cleared_away(tmp_path: Path):
    spools = tmp_path / "spools"
    for name in (f"{DONE_PREFIX}gone", ".new-old", ".new-young"):
        (spools / name).mkdir(parents=True)
        (spools / name / f"0000000001{BLOCK_SUFFIX}").touch()
    os.utime(spools / ".new-old", (0, 0))
    shipper = shipper_of(tmp_path, Ledger())
    shipper.recover_dead_spools()
    assert [path.name for path in spools.iterdir()] == [".new-young"]
    assert shipper.backlog() == []


def test_the_note_says_what_waits(tmp_path: Path):
    spool = spool_with(tmp_path / "spools", [2])
    shipper = shipper_of(tmp_path, Ledger())
    write_note(tmp_path / "shipper.json", shipper)
    note = json.loads((tmp_path / "shipper.json").read_bytes())
    assert note["pid"] == os.getpid()
    assert note["backlog_blocks"] == 2
    sizes = [path.stat().st_size for path in spool.path.glob(f"*{BLOCK_SUFFIX}")]
    assert note["backlog_bytes"] == sum(sizes)
    assert (note["blocks_shipped"], note["last_error"]) == (0, "")
    spool.close()
