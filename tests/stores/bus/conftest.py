"""The servers that the contract holds for, and clients of ours on them."""

import itertools
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import StreamingPullRequest, SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from stores.bus.port import Received
from stores.bus.pubsub import BusAddress, PubSubPublisher, PubSubSubscriber
from stores.bus.server import BusServer

EMULATOR_JAR = Path(__file__).parents[3] / ".servers" / "pubsub-emulator.jar"
PROJECT = "tallymark-test"

_names = itertools.count(1)


class Stream:
    """A StreamingPull, read in the background."""

    def __init__(self, bus: "Bus", subscription: str, *, max_outstanding_messages: int) -> None:
        self._channel = grpc.insecure_channel(bus.address.emulator)
        client = SubscriberClient(transport=SubscriberGrpcTransport(channel=self._channel))
        self.requests: queue.Queue[StreamingPullRequest | None] = queue.Queue()
        self.requests.put(
            StreamingPullRequest(
                subscription=bus.address.subscription_path(subscription),
                stream_ack_deadline_seconds=30,
                max_outstanding_messages=max_outstanding_messages,
            )
        )
        self._call = client.streaming_pull(requests=iter(self.requests.get, None))
        self._received: queue.Queue[Any] = queue.Queue()
        self._pool = ThreadPoolExecutor(1)
        self._pool.submit(self._read, self._call)

    def receive(self, count: int) -> list[Any]:
        return [self._received.get(timeout=10) for _ in range(count)]

    def is_silent(self, seconds: float) -> bool:
        time.sleep(seconds)
        return self._received.empty()

    def close(self) -> None:
        self._call.cancel()
        self.requests.put(None)
        self._channel.close()
        self._pool.shutdown()

    def _read(self, responses: Iterator[Any]) -> None:
        for response in responses:
            for one in response.received_messages:
                self._received.put(one)


@dataclass(frozen=True)
class Bus:
    """A server as a test sees it, with a topic of the test's own."""

    address: BusAddress
    publisher: PubSubPublisher
    subscriber: PubSubSubscriber
    topic: str

    def publish(self, *payloads: bytes) -> list[str]:
        return [self.publisher.publish(self.topic, one, {}).result() for one in payloads]

    def subscribe(self, ack_deadline_seconds: int = 60) -> str:
        subscription = f"sub-{next(_names)}"
        self.subscriber.ensure_subscription(
            subscription, self.topic, ack_deadline_seconds=ack_deadline_seconds
        )
        return subscription

    def take(self, subscription: str, count: int, *, within_seconds: float = 20) -> list[Received]:
        """``count`` messages, pulled until they are there and not acknowledged."""
        received: list[Received] = []
        end = time.monotonic() + within_seconds
        while len(received) < count and time.monotonic() < end:
            received += self.subscriber.pull(subscription, count - len(received))
        return received

    def acknowledge(self, subscription: str, received: list[Received]) -> None:
        self.subscriber.acknowledge(subscription, [one.ack_id for one in received])

    def stream(self, subscription: str, *, max_outstanding_messages: int) -> Stream:
        return Stream(self, subscription, max_outstanding_messages=max_outstanding_messages)

    def rest(self, subscription: str) -> list[Received]:
        """What a pull that does not wait gives."""
        return self.subscriber.pull(subscription, 100, wait_seconds=0)


@pytest.fixture(
    scope="session",
    params=["embedded", pytest.param("google", marks=pytest.mark.pubsub_emulator)],
)
def server_address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("bus")
    if request.param == "embedded":
        with BusServer(data_dir=folder) as server:
            yield server.address
    else:
        yield from _google_emulator(folder)


@pytest.fixture
def bus(server_address: str) -> Iterator[Bus]:
    yield from _connected(server_address)


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Bus]:
    """The embedded server alone, on a file of its own."""
    with BusServer(data_dir=tmp_path / "bus") as server:
        yield from _connected(server.address)


def _connected(server_address: str) -> Iterator[Bus]:
    address = BusAddress(PROJECT, server_address)
    publisher, subscriber = PubSubPublisher(address), PubSubSubscriber(address)
    topic = f"topic-{next(_names)}"
    publisher.ensure_topic(topic)
    yield Bus(address, publisher, subscriber, topic)
    publisher.close()
    subscriber.close()


def _google_emulator(folder: Path) -> Iterator[str]:
    missing = "java" if shutil.which("java") is None else str(EMULATOR_JAR)
    if shutil.which("java") is None or not EMULATOR_JAR.exists():
        reason = f"{missing} is missing: run deploy/servers/install_pubsub_emulator.sh"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    port = free_port()
    command = ["java", "-Xmx512m", "-jar", str(EMULATOR_JAR), "--host=127.0.0.1", f"--port={port}"]
    with (folder / "emulator.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        await_server(f"127.0.0.1:{port}", process)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


class BusProcess:
    """The embedded server in a process of its own, always on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = BusAddress(PROJECT, f"127.0.0.1:{self.port}")
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "stores.bus.server"]
        self.process = subprocess.Popen(
            [*command, "--data-dir", str(self.folder), "--port", str(self.port)]
        )
        await_server(f"127.0.0.1:{self.port}", self.process)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=15)


@pytest.fixture
def bus_process(tmp_path: Path) -> Iterator[BusProcess]:
    running = BusProcess(tmp_path / "bus")
    yield running
    running.end(signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def await_server(address: str, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with grpc.insecure_channel(address) as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=0.5)
            except grpc.FutureTimeoutError:
                continue
            return
    raise AssertionError(f"no server came up on {address}; it ended with {process.poll()}")
