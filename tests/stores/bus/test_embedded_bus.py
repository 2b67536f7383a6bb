"""What the embedded server does beyond the contract: Google's emulator, unlike Google, hands a new
subscription what the topic retains, sends a stream more than it asked for, and takes any deadline;
and it forgets everything when it dies."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
from google.pubsub_v1 import PullRequest, SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from stores.bus.broker import Broker, Demand
from stores.bus.messages import PubsubMessage
from stores.bus.port import BusUnavailableError
from stores.bus.pubsub import PubSubPublisher, PubSubSubscriber
from stores.bus.server import BusServer
from tests.e2e.stack import eventually

HOUR_US = 3_600_000_000
TOPIC = "projects/p-local/topics/hits"
SUBSCRIPTION = "projects/p-local/subscriptions/archive"


def test_a_subscription_sees_only_what_is_published_after_its_creation(embedded):
    earlier = embedded.subscribe()
    embedded.publish(b"before")
    time.sleep(0.05)
    later = embedded.subscribe()
    embedded.publish(b"after")
    assert [one.payload for one in embedded.take(later, 1)] == [b"after"]
    assert embedded.rest(later) == []
    assert [one.payload for one in embedded.take(earlier, 2)] == [b"before", b"after"]


def test_a_stream_sends_no_more_than_was_asked_for_and_goes_on_as_it_is_acknowledged(embedded):
    subscription = embedded.subscribe()
    embedded.publish(*[b"%d" % i for i in range(8)])
    stream = embedded.stream(subscription, max_outstanding_messages=3)
    first = stream.receive(3)
    assert stream.is_silent(1.0)
    embedded.subscriber.acknowledge(subscription, [one.ack_id for one in first[:2]])
    second = stream.receive(2)
    assert stream.is_silent(0.5)
    embedded.subscriber.acknowledge(subscription, [one.ack_id for one in first[2:] + second])
    third = stream.receive(3)
    stream.close()
    assert sorted(one.message.data for one in first + second + third) == [
        b"%d" % i for i in range(8)
    ]


def test_a_deadline_below_ten_seconds_is_refused(embedded):
    with pytest.raises(ValueError, match="10 to 600 seconds, got 9"):
        embedded.subscriber.ensure_subscription("sub-x", embedded.topic, ack_deadline_seconds=9)


def test_a_client_with_grpcs_default_limit_gets_big_answers_in_parts(embedded):
    subscription = embedded.subscribe()
    embedded.publish(*[bytes([i]) * 1_000_000 for i in range(10)])
    channel = grpc.insecure_channel(embedded.address.emulator)
    client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    request = PullRequest(
        subscription=embedded.address.subscription_path(subscription), max_messages=10
    )
    counts = [len(client.pull(request).received_messages) for _ in range(4)]
    channel.close()
    assert counts == [3, 3, 3, 1]


def test_publish_times_increase_strictly_across_publishers(embedded):
    subscription = embedded.subscribe()
    futures = [embedded.publisher.publish(embedded.topic, b"x", {}) for _ in range(200)]
    ids = {future.result() for future in futures}
    times = [one.published_at_us for one in embedded.take(subscription, 200)]
    assert times == sorted(set(times))
    assert {str(one) for one in times} == ids


def test_a_pull_that_waits_is_woken_by_a_publish(embedded):
    subscription = embedded.subscribe()
    timer = threading.Timer(0.3, embedded.publish, [b"soon"])
    timer.start()
    started = time.monotonic()
    [received] = embedded.subscriber.pull(subscription, 10, wait_seconds=5)
    assert (received.payload, time.monotonic() - started < 0.9) == (b"soon", True)
    timer.join()


def test_an_acknowledgement_from_before_a_seek_does_not_count(embedded):
    subscription = embedded.subscribe()
    embedded.publish(b"again")
    [first] = embedded.take(subscription, 1)
    embedded.subscriber.seek(subscription, first.published_at_us)
    embedded.acknowledge(subscription, [first])
    assert [one.payload for one in embedded.take(subscription, 1)] == [b"again"]


def test_a_seek_into_the_future_gives_up_nothing_that_is_published_later(embedded):
    subscription = embedded.subscribe()
    embedded.publish(b"past")
    embedded.subscriber.seek(subscription, time.time_ns() // 1_000 + HOUR_US)
    embedded.publish(b"to come")
    assert [one.payload for one in embedded.take(subscription, 1)] == [b"to come"]


def test_a_second_server_on_the_folder_is_refused(tmp_path: Path):
    with (
        BusServer(data_dir=tmp_path) as _,
        pytest.raises(RuntimeError, match="in use by another bus server"),
    ):
        BusServer(data_dir=tmp_path)


def test_a_second_server_on_the_port_is_refused(tmp_path: Path):
    with BusServer(data_dir=tmp_path / "1") as first, pytest.raises(RuntimeError, match="bind"):
        BusServer(data_dir=tmp_path / "2", port=first.port)
    with BusServer(data_dir=tmp_path / "2") as second:
        assert second.port > 0


class Shelf:
    """A broker on a clock that stands still until it is moved."""

    def __init__(self, folder: Path, *, max_bytes: int | None = None) -> None:
        self.now_us = 1_700_000_000_000_000
        self.broker = Broker(folder, max_bytes=max_bytes, clock_us=lambda: self.now_us)
        self.broker.create_topic(TOPIC, 48 * 3600)

    def subscribe(self, retention_seconds: int = 48 * 3600) -> None:
        self.broker.create_subscription(
            SUBSCRIPTION, TOPIC, ack_deadline_seconds=10, retention_seconds=retention_seconds
        )

    def publish(self, payload: bytes) -> None:
        encoded = PubsubMessage(data=payload).SerializeToString()
        self.broker.publish(TOPIC, [lambda _: encoded])

    def pull(self) -> list[str]:
        demand = Demand(max_messages=100, max_bytes=10**9, wait_seconds=0, is_wanted=lambda: True)
        return [one.ack_id for one in self.broker.pull(SUBSCRIPTION, demand)]

    def seek_to_the_beginning(self) -> int:
        self.broker.seek(SUBSCRIPTION, 0)
        return len(self.pull())


def test_a_sweep_deletes_what_is_older_than_the_retention_and_never_less(tmp_path: Path):
    shelf = Shelf(tmp_path)
    shelf.subscribe()
    shelf.publish(b"old")
    shelf.now_us += HOUR_US
    shelf.publish(b"young")
    shelf.broker.acknowledge(SUBSCRIPTION, shelf.pull())

    shelf.now_us += 47 * HOUR_US - 1_000_000
    assert (shelf.broker.sweep(), shelf.seek_to_the_beginning()) == (0, 2)
    shelf.now_us += 2_000_000
    assert (shelf.broker.sweep(), shelf.seek_to_the_beginning()) == (1, 1)
    shelf.broker.close()


def test_a_sweep_spares_what_a_subscription_with_a_longer_retention_has_not_acknowledged(
    tmp_path: Path,
):
    shelf = Shelf(tmp_path)
    shelf.subscribe(retention_seconds=7 * 86_400)
    shelf.publish(b"unread")
    shelf.now_us += 6 * 24 * HOUR_US
    assert shelf.broker.sweep() == 0
    ack_ids = shelf.pull()
    assert len(ack_ids) == 1
    shelf.broker.acknowledge(SUBSCRIPTION, ack_ids)
    assert shelf.broker.sweep() == 1
    shelf.broker.close()


def test_above_the_cap_the_oldest_acknowledged_go_first_and_the_unacknowledged_stay(
    tmp_path: Path,
):
    shelf = Shelf(tmp_path, max_bytes=3_500)
    shelf.subscribe()
    for number in range(6):
        shelf.publish(bytes([number]) * 1_000)
    ack_ids = shelf.pull()
    shelf.broker.acknowledge(SUBSCRIPTION, ack_ids[:2])
    assert (shelf.broker.sweep(), shelf.broker.sweep()) == (2, 0)
    shelf.broker.acknowledge(SUBSCRIPTION, ack_ids[2:])
    assert (shelf.broker.sweep(), shelf.seek_to_the_beginning()) == (1, 3)
    shelf.broker.close()


def test_the_messages_of_a_deleted_topic_stay_for_its_subscription_and_then_go(tmp_path: Path):
    shelf = Shelf(tmp_path)
    shelf.subscribe()
    shelf.publish(b"left")
    shelf.broker.delete_topic(TOPIC)
    assert (shelf.broker.sweep(), len(shelf.pull())) == (0, 1)
    shelf.broker.delete_subscription(SUBSCRIPTION)
    assert shelf.broker.sweep() == 1
    shelf.broker.create_topic(TOPIC, 48 * 3600)
    shelf.broker.close()


def test_acknowledgements_out_of_order_leave_nothing_behind_once_all_are_there(tmp_path: Path):
    shelf = Shelf(tmp_path)
    shelf.subscribe()
    for _ in range(6):
        shelf.publish(b"x")
    ack_ids = shelf.pull()
    counts = []
    with sqlite3.connect(tmp_path / "bus.sqlite3") as database:
        for position in (4, 1, 5, 0, 3, 2):
            shelf.broker.acknowledge(SUBSCRIPTION, [ack_ids[position]])
            counts += database.execute("SELECT count(*) FROM acknowledged").fetchone()
    shelf.broker.close()
    assert counts == [1, 2, 3, 2, 3, 0]


def test_a_clock_that_goes_back_does_not_turn_the_order_of_messages(tmp_path: Path):
    shelf = Shelf(tmp_path)
    shelf.subscribe()
    shelf.publish(b"1")
    shelf.now_us -= HOUR_US
    shelf.publish(b"2")
    assert len(shelf.pull()) == 2
    shelf.broker.close()

    again = Broker(tmp_path, clock_us=lambda: shelf.now_us)
    again.publish(TOPIC, [lambda _: b"3"])
    again.close()
    with sqlite3.connect(tmp_path / "bus.sqlite3") as database:
        rows = database.execute("SELECT published_at, message FROM messages").fetchall()
    assert [published_at for published_at, _ in rows] == sorted({row[0] for row in rows})
    assert rows[-1][1] == b"3"


@pytest.mark.slow
def test_a_killed_server_has_every_answered_publish_and_redelivers_what_was_not_acknowledged(
    bus_process,
):
    publisher = PubSubPublisher(bus_process.address)
    subscriber = PubSubSubscriber(bus_process.address)
    publisher.ensure_topic("hits")
    subscriber.ensure_subscription("archive", "hits", ack_deadline_seconds=600)

    answered, acknowledged = set(), set()
    killer = threading.Timer(1.0, bus_process.end, [signal.SIGKILL])
    killer.start()
    number = 0
    try:
        while True:
            payload = b"%06d" % number + b"x" * 50_000
            publisher.publish("hits", payload, {}).result()
            answered.add(payload[:6])
            number += 1
            if number % 10 == 0:
                some = subscriber.pull("archive", 5)
                subscriber.acknowledge("archive", [one.ack_id for one in some[::2]])
                acknowledged |= {one.payload[:6] for one in some[::2]}
    except BusUnavailableError:
        killer.join()
    assert len(answered) > 20
    assert acknowledged

    bus_process.start()
    came: set[bytes] = set()
    while received := subscriber.pull("archive", 100):
        came |= {one.payload[:6] for one in received}
        subscriber.acknowledge("archive", [one.ack_id for one in received])
    # One publish and one acknowledgement may have been done without having been answered.
    assert answered - acknowledged <= came
    assert len(came - answered) <= 1
    assert not came & acknowledged
    publisher.close()
    subscriber.close()


@pytest.mark.slow
def test_clients_go_on_when_the_server_is_back_on_its_port(bus_process):
    publisher = PubSubPublisher(bus_process.address)
    subscriber = PubSubSubscriber(bus_process.address)
    publisher.ensure_topic("hits")
    subscriber.ensure_subscription("archive", "hits")
    publisher.publish_patiently("hits", b"before", {}, deadline_seconds=10)
    [before] = subscriber.pull("archive", 1)

    assert bus_process.end(signal.SIGTERM) == 0
    with pytest.raises(BusUnavailableError):
        subscriber.pull("archive", 1, wait_seconds=0)
    starter = threading.Timer(1.0, bus_process.start)
    starter.start()
    publisher.publish_patiently("hits", b"during", {}, deadline_seconds=20)
    starter.join()

    # An acknowledgement from before the restart still counts. The subscriber's own connection may
    # not have been tried again yet, which it says as it does while a bus is away.
    eventually(
        lambda: _acknowledges(subscriber, before.ack_id), within_seconds=20, what="an answer"
    )
    assert [one.payload for one in subscriber.pull("archive", 10)] == [b"during"]
    publisher.close()
    subscriber.close()


def _acknowledges(subscriber: PubSubSubscriber, ack_id: str) -> bool:
    try:
        subscriber.acknowledge("archive", [ack_id])
    except BusUnavailableError:
        return False
    return True


@pytest.mark.slow
def test_a_server_with_an_open_stream_and_a_waiting_pull_stops_within_seconds(bus_process):
    publisher = PubSubPublisher(bus_process.address)
    publisher.ensure_topic("hits")
    publisher.close()
    script = (
        "from google.cloud import pubsub_v1 as p; s = p.SubscriberClient();"
        "s.create_subscription(name='projects/x-local/subscriptions/sub-1',"
        "topic='projects/tallymark-test/topics/hits');"
        "print('open', flush=True); s.subscribe('projects/x-local/subscriptions/sub-1',"
        "lambda one: one.ack()).result()"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", script],
        env={"PUBSUB_EMULATOR_HOST": bus_process.address.emulator or ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"open\n"
        time.sleep(1)
        started = time.monotonic()
        assert bus_process.end(signal.SIGTERM) == 0
        assert time.monotonic() - started < 5
        assert not list(bus_process.folder.glob("*-wal"))
    finally:
        reader.kill()
        reader.communicate()
