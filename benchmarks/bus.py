"""Throughput of the embedded bus and what it costs: publish, then pull and acknowledge.

Run: python -m benchmarks.bus [--megabytes 300] [--small-messages 5000]
"""

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil

from stores.bus.port import BusUnavailableError
from stores.bus.pubsub import BusAddress, PubSubPublisher, PubSubSubscriber

BLOCK_BYTES = 300_000
SMALL_BYTES = 200
SUBSCRIPTIONS = ("archive", "stream-live-1")


class Bench:
    """A server in a process of its own, and clients."""

    def __init__(self, folder: str, port: int) -> None:
        command = [sys.executable, "-m", "stores.bus.server", "--data-dir", folder]
        self.folder = Path(folder)
        self.process = subprocess.Popen([*command, "--port", str(port)])
        self.server = psutil.Process(self.process.pid)
        address = BusAddress("tallymark-bench", f"127.0.0.1:{port}")
        self.publisher, self.subscriber = PubSubPublisher(address), PubSubSubscriber(address)
        _until_up(lambda: self.publisher.ensure_topic("hits"))
        for subscription in SUBSCRIPTIONS:
            self.subscriber.ensure_subscription(subscription, "hits")

    def cpu_seconds(self) -> float:
        times = self.server.cpu_times()
        return float(times.user + times.system)

    @contextmanager
    def measured(self, what: str, messages: int, size: int) -> Iterator[None]:
        started, cpu = time.perf_counter(), self.cpu_seconds()
        yield
        seconds, cpu = time.perf_counter() - started, self.cpu_seconds() - cpu
        rate = messages / seconds
        print(
            f"{what:42} {rate:9,.0f} messages/s {rate * size / 1e6:7.1f} MB/s"
            f"  server CPU {cpu:6.2f} s = {cpu / messages * 1e3:6.3f} ms a message"
        )

    def publish(self, count: int, size: int, concurrency: int) -> None:
        payload = bytes(size)
        with ThreadPoolExecutor(concurrency) as pool:
            list(pool.map(lambda _: self._publish_one(payload), range(count)))

    def drain(self, subscription: str, count: int) -> None:
        while count > 0:
            received = self.subscriber.pull(subscription, 500)
            self.subscriber.acknowledge(subscription, [one.ack_id for one in received])
            count -= len(received)

    def pace(self, seconds: int, per_second: int, size: int) -> None:
        """Publish at a steady rate while both subscriptions read."""
        count = seconds * per_second
        readers = [
            threading.Thread(target=self.drain, args=(name, count)) for name in SUBSCRIPTIONS
        ]
        for reader in readers:
            reader.start()
        started = time.perf_counter()
        payload = bytes(size)
        for number in range(count):
            time.sleep(max(0.0, started + number / per_second - time.perf_counter()))
            self._publish_one(payload)
        for reader in readers:
            reader.join()

    def close(self) -> None:
        self.publisher.close()
        self.subscriber.close()
        self.process.terminate()
        self.process.wait()

    def _publish_one(self, payload: bytes) -> None:
        self.publisher.publish_patiently(
            "hits", payload, {"spool_id": "bench", "number": "1"}, deadline_seconds=30
        )


def run(bench: Bench, megabytes: int, small_messages: int) -> None:
    blocks = megabytes * 1_000_000 // BLOCK_BYTES
    for kind, count, size in (
        ("300 KB", blocks, BLOCK_BYTES),
        ("200 B", small_messages, SMALL_BYTES),
    ):
        half = count // 2
        with bench.measured(f"{kind}: publish, one at a time", half, size):
            bench.publish(half, size, 1)
        with bench.measured(f"{kind}: publish, eight at a time", count - half, size):
            bench.publish(count - half, size, 8)
        for subscription in SUBSCRIPTIONS:
            with bench.measured(f"{kind}: pull and acknowledge {subscription}", count, size):
                bench.drain(subscription, count)
    with bench.measured("20/s of 700 KB, two readers, for 10 s", 200, 700_000):
        bench.pace(10, 20, 700_000)
    print(f"server memory {bench.server.memory_info().rss / 1e6:.0f} MB")
    print(f"file {sum(one.stat().st_size for one in bench.folder.iterdir()) / 1e6:.0f} MB")


def _until_up(connect: Callable[[], None]) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            return connect()
        except BusUnavailableError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--small-messages", type=int, default=5_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder, _free_port())
        try:
            run(bench, arguments.megabytes, arguments.small_messages)
        finally:
            bench.close()


if __name__ == "__main__":
    main()
