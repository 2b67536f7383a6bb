"""What every bus does, asked of the embedded server and of Google's emulator alike."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.pubsub_v1 import (
    PublisherClient,
    StreamingPullRequest,
    SubscriberClient,
)
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from stores.bus.port import BusUnavailableError, UnknownNameError, stream_subscription
from stores.bus.pubsub import BusAddress, PubSubPublisher, emulator_environment

HOUR_US = 3_600_000_000


def payloads(received: list[Any]) -> list[bytes]:
    return sorted(one.payload for one in received)


def now_us() -> int:
    return time.time_ns() // 1_000


def test_a_message_arrives_whole_and_once_it_is_acknowledged_never_again(bus):
    subscription = bus.subscribe()
    attributes = {"spool_id": "s-1", "number": "7", "kind": "requests"}
    message_id = bus.publisher.publish(bus.topic, b"\x00\xff body", attributes).result()

    [received] = bus.take(subscription, 1)
    assert (received.payload, received.attributes) == (b"\x00\xff body", attributes)
    assert received.message_id == message_id

    bus.acknowledge(subscription, [received])
    bus.subscriber.seek(subscription, received.published_at_us + HOUR_US)
    assert bus.rest(subscription) == []


def test_a_message_may_be_attributes_alone(bus):
    subscription = bus.subscribe()
    bus.publisher.publish(bus.topic, b"", {"kind": "heartbeat"}).result()
    [received] = bus.take(subscription, 1)
    assert (received.payload, received.attributes) == (b"", {"kind": "heartbeat"})


def test_the_publish_time_is_the_servers_and_follows_the_order_of_publishing(bus):
    subscription = bus.subscribe()
    before = now_us()
    bus.publish(*[b"%d" % i for i in range(20)])
    after = now_us()
    received = sorted(bus.take(subscription, 20), key=lambda one: int(one.payload))
    times = [one.published_at_us for one in received]
    assert len(times) == 20
    assert times == sorted(times)
    # A server may keep milliseconds only.
    assert before - 1_000 <= times[0] <= times[-1] <= after + 1_000


def test_a_message_comes_again_when_its_deadline_has_passed(bus):
    subscription = bus.subscribe()
    bus.publish(b"late")
    [first] = bus.take(subscription, 1)
    bus.subscriber.extend(subscription, [first.ack_id], 1)
    assert bus.rest(subscription) == []
    [second] = bus.take(subscription, 1)
    assert second.message_id == first.message_id
    assert second.published_at_us == first.published_at_us


@pytest.mark.slow
def test_a_subscriptions_own_deadline_counts_from_the_delivery(bus):
    subscription = bus.subscribe(ack_deadline_seconds=10)
    bus.publish(b"late")
    [first] = bus.take(subscription, 1)
    started = time.monotonic()
    [second] = bus.take(subscription, 1)
    assert second.message_id == first.message_id
    assert 8 < time.monotonic() - started < 16


def test_a_message_given_back_comes_again_at_once(bus):
    subscription = bus.subscribe()
    bus.publish(b"no")
    [first] = bus.take(subscription, 1)
    bus.subscriber.extend(subscription, [first.ack_id], 0)
    started = time.monotonic()
    assert payloads(bus.take(subscription, 1)) == [b"no"]
    assert time.monotonic() - started < 3


def test_a_delivery_that_is_extended_does_not_come_again(bus):
    subscription = bus.subscribe()
    bus.publish(b"mine")
    [first] = bus.take(subscription, 1)
    bus.subscriber.extend(subscription, [first.ack_id], 1)
    bus.subscriber.extend(subscription, [first.ack_id], 30)
    time.sleep(1.5)
    assert bus.rest(subscription) == []


def test_each_subscription_gets_every_message(bus):
    subscriptions = [bus.subscribe(), bus.subscribe()]
    sent = [b"%02d" % i for i in range(30)]
    bus.publish(*sent)
    for subscription in subscriptions:
        received = bus.take(subscription, 30)
        bus.acknowledge(subscription, received)
        assert payloads(received) == sent


def test_a_seek_back_brings_again_what_was_published_since_and_no_more(bus):
    subscription = bus.subscribe()
    bus.publish(b"1", b"2")
    time.sleep(0.05)
    instant = now_us()
    time.sleep(0.05)
    bus.publish(b"3", b"4")
    bus.acknowledge(subscription, bus.take(subscription, 4))

    bus.subscriber.seek(subscription, instant)
    assert payloads(bus.take(subscription, 2)) == [b"3", b"4"]
    assert bus.rest(subscription) == []


def test_a_seek_forward_acknowledges_what_was_published_until_then(bus):
    subscription = bus.subscribe()
    bus.publish(b"1", b"2", b"3")
    bus.take(subscription, 1)
    time.sleep(0.05)
    bus.subscriber.seek(subscription, now_us())
    time.sleep(0.05)
    bus.publish(b"4")
    assert payloads(bus.take(subscription, 1)) == [b"4"]
    assert bus.rest(subscription) == []


def test_big_messages_reach_a_client_of_ours(bus):
    subscription = bus.subscribe()
    sent = [bytes([i]) * 3_000_000 for i in range(5)]
    futures = [bus.publisher.publish(bus.topic, one, {}) for one in sent]
    assert len({future.result() for future in futures}) == 5
    assert payloads(bus.take(subscription, 5)) == sent


def test_many_publishers_at_once_lose_and_double_nothing(bus):
    subscription = bus.subscribe()
    sent = [b"%03d" % i for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        futures = list(pool.map(lambda one: bus.publisher.publish(bus.topic, one, {}), sent))
    assert len({future.result() for future in futures}) == 200
    assert payloads(bus.take(subscription, 200)) == sent


@pytest.mark.parametrize(
    "call",
    [
        lambda bus: bus.publisher.publish("no-such-topic", b"x", {}).result(),
        lambda bus: bus.subscriber.pull("no-such-subscription", 1),
        lambda bus: bus.subscriber.acknowledge("no-such-subscription", ["1.0.1.1"]),
        lambda bus: bus.subscriber.seek("no-such-subscription", 0),
        lambda bus: bus.subscriber.ensure_subscription("fresh", "no-such-topic"),
    ],
)
def test_a_name_that_does_not_exist_is_an_error_of_its_own(bus, call: Callable[[Any], None]):
    with pytest.raises(UnknownNameError):
        call(bus)


@pytest.mark.parametrize(
    "call",
    [
        lambda bus: bus.publisher.publish(bus.topic, b"", {}).result(),
        lambda bus: bus.publisher.ensure_topic("1-starts-with-a-digit"),
        lambda bus: bus.subscriber.pull(bus.subscribe(), 0),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(bus, call: Callable[[Any], None]):
    with pytest.raises(ValueError, match="refused"):
        call(bus)


def test_the_administration_answers_as_googles(bus):
    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=_channel(bus.address)))
    subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=_channel(bus.address)))
    project = f"projects/{bus.address.project}"
    topic = bus.address.topic_path(bus.topic)
    name = bus.address.subscription_path(bus.subscribe(ack_deadline_seconds=33))

    assert publisher.get_topic(topic=topic).message_retention_duration.days == 2
    assert topic in [one.name for one in publisher.list_topics(project=project)]
    with pytest.raises(exceptions.AlreadyExists):
        publisher.create_topic(name=topic)
    row = subscriber.get_subscription(subscription=name)
    assert (row.topic, row.ack_deadline_seconds) == (topic, 33)
    assert name in [one.name for one in subscriber.list_subscriptions(project=project)]
    with pytest.raises(exceptions.AlreadyExists):
        subscriber.create_subscription(name=name, topic=topic)

    publisher.delete_topic(topic=topic)
    with pytest.raises(exceptions.NotFound):
        publisher.get_topic(topic=topic)
    assert subscriber.get_subscription(subscription=name).topic in (
        "_deleted_topic_",
        "_deleted-topic_",
    )
    subscriber.delete_subscription(subscription=name)
    with pytest.raises(exceptions.NotFound):
        subscriber.get_subscription(subscription=name)


def test_a_stream_takes_acknowledgements_and_hands_out_what_is_published_while_it_waits(bus):
    subscription = bus.subscribe()
    stream = bus.stream(subscription, max_outstanding_messages=1)
    for payload in (b"1", b"2", b"3"):
        bus.publish(payload)
        [received] = stream.receive(1)
        assert received.message.data == payload
        stream.requests.put(StreamingPullRequest(ack_ids=[received.ack_id]))
    stream.close()


def test_a_publisher_that_meets_silence_gives_up_at_its_deadline():
    publisher = PubSubPublisher(BusAddress("tallymark-test", "127.0.0.1:9"))
    started = time.monotonic()
    with pytest.raises(BusUnavailableError):
        publisher.publish_patiently("hits", b"x", {}, deadline_seconds=0.4)
    assert time.monotonic() - started < 3
    publisher.close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "pubsub://127.0.0.1:8085/tallymark-local",
            BusAddress("tallymark-local", "127.0.0.1:8085"),
        ),
        ("pubsub:///real-project", BusAddress("real-project", None)),
    ],
)
def test_an_address_is_read_from_a_url_and_written_as_one(url: str, address: BusAddress):
    assert BusAddress.parse(url) == address
    assert address.url == url
    assert emulator_environment(address).get("PUBSUB_EMULATOR_HOST") == address.emulator


@pytest.mark.parametrize(
    "url", ["kafka://127.0.0.1:1/p", "pubsub://127.0.0.1/p", "pubsub:///", "pubsub:///a/b", ""]
)
def test_an_address_that_is_none_is_refused_with_what_was_expected(url: str):
    with pytest.raises(ValueError, match="expected pubsub://HOST:PORT/PROJECT"):
        BusAddress.parse(url)


def test_a_streaming_job_reads_the_subscription_of_its_lineage():
    assert stream_subscription(12) == "stream-live-12"
    with pytest.raises(ValueError, match="expected 1 or more"):
        stream_subscription(0)


def _channel(address: BusAddress) -> grpc.Channel:
    return grpc.insecure_channel(address.emulator)
