"""A real collector and shipper, killed at their worst moments: no answered request is lost."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from collector.reasons import ADVICE
from stores.bus.port import HITS_TOPIC
from stores.bus.pubsub import BusAddress, PubSubPublisher, PubSubSubscriber
from stores.bus.server import BusServer
from tallymark.blocks import block_of_message
from tests.collector.workers import everything_written, recorded_requests, write_properties

pytestmark = pytest.mark.slow

COLLECTOR = """
import sys
from pathlib import Path
from collector.server import serve
from collector.settings import CollectorSettings
more = eval(sys.argv[4]) if len(sys.argv) > 4 else {}
serve(CollectorSettings(data_dir=Path(sys.argv[1]), port=int(sys.argv[2]), workers=2,
                        durability=sys.argv[3], **more))
"""
SHIPPER = """
import sys
from pathlib import Path
from collector.shipper import run
run(data_dir=Path(sys.argv[1]), bus_url=sys.argv[2])
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def process(code: str, *arguments: object, failpoints: Path) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"TALLYMARK_FAILPOINTS": str(failpoints)},
    )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(30)
        finally:
            started.kill()
            started.wait(10)


def wait_until(is_so, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"did not come about within {seconds} s: {is_so}"
        time.sleep(0.05)


def status(port: int, method: str, target: str, body: bytes | None = None) -> int:
    """The status of one request on a connection of its own; 0 where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, target, body)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


class Sender(threading.Thread):
    """Sends numbered hits until it is stopped, and keeps the numbers that were answered."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.prefix = name
        self.answered: list[str] = []
        self.sent: set[str] = set()
        self.stopped = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stopped.is_set():
            number += 1
            name = f"{self.prefix}-{number}"
            self.sent.add(name)
            if status(self.port, "POST", f"/g/collect?tid=G-SHOP&cid={name}", b"en=a") == 204:
                self.answered.append(name)


def arrived(bus: BusServer) -> tuple[Counter[str], list[str]]:
    """How often each hit arrived in distinct blocks, and the blocks' names."""
    subscriber = PubSubSubscriber(BusAddress("tallymark", bus.address))
    blocks = {}
    while received := subscriber.pull("test", 100, wait_seconds=1.0):
        for message in received:
            block = block_of_message(message.payload, message.attributes, 0)
            blocks[block.name] = block
        subscriber.acknowledge("test", [message.ack_id for message in received])
    subscriber.close()
    hits = Counter(
        parse_qs(query)["cid"][0] for block in blocks.values() for query in block.frame()["query"]
    )
    return hits, sorted(blocks)


def assert_numbers_without_holes(names: list[str]) -> None:
    numbers: dict[str, list[int]] = {}
    for name in names:
        spool, _, number = name.rpartition("-")
        numbers.setdefault(spool, []).append(int(number))
    for spool, found in numbers.items():
        assert found == list(range(1, len(found) + 1)), spool


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[BusServer]:
    with BusServer(data_dir=tmp_path / "bus") as server:
        address = BusAddress("tallymark", server.address)
        publisher, subscriber = PubSubPublisher(address), PubSubSubscriber(address)
        publisher.ensure_topic(HITS_TOPIC)
        subscriber.ensure_subscription("test", HITS_TOPIC)
        publisher.close()
        subscriber.close()
        yield server


@pytest.mark.parametrize(
    ("failpoint", "durability"),
    [
        ("collector.recorded-before-answer", "process"),
        ("segment.before-rename", "process"),
        ("segment.after-rename", "host"),
        ("shipper.before-publish", "process"),
        ("shipper.published-before-unlink", "process"),
        ("shipper.recovering", "process"),
    ],
)
def test_each_answered_request_arrives_once_whoever_dies(tmp_path, bus, failpoint, durability):
    data_dir, failpoints = tmp_path / "data", tmp_path / "failpoints"
    failpoints.mkdir()
    write_properties(data_dir)
    port = free_port()
    bus_url = f"pubsub://{bus.address}/tallymark"
    with (
        process(COLLECTOR, data_dir, port, durability, failpoints=failpoints) as collector,
        process(SHIPPER, data_dir, bus_url, failpoints=failpoints) as shipper,
    ):
        wait_until(lambda: status(port, "GET", "/readyz") == 200)
        senders = [Sender(port, name) for name in "abc"]
        for sender in senders:
            sender.start()
        time.sleep(1)
        (failpoints / failpoint).touch()
        if failpoint == "shipper.recovering":
            (failpoints / "collector.recorded-before-answer").touch()
        wait_until(lambda: not (failpoints / failpoint).exists())
        if failpoint.startswith("shipper"):
            assert shipper.wait(10) == -signal.SIGKILL
        time.sleep(2)
        collector.terminate()
        assert collector.wait(30) is not None
        for sender in senders:
            sender.stopped.set()
            sender.join()
    with process(SHIPPER, data_dir, bus_url, failpoints=failpoints):
        wait_until(lambda: not list((data_dir / "spools").iterdir()))
    hits, names = arrived(bus)
    answered = [name for sender in senders for name in sender.answered]
    assert len(answered) > 100
    assert [name for name in answered if hits[name] != 1] == []
    assert max(hits.values()) == 1
    assert hits.keys() <= set().union(*(sender.sent for sender in senders))
    assert_numbers_without_holes(names)
    assert len({name.rpartition("-")[0] for name in names}) >= 2


def test_a_worker_whose_parent_is_killed_ends_and_closes_its_spool(tmp_path: Path):
    port = free_port()
    with process(COLLECTOR, tmp_path, port, "process", failpoints=tmp_path) as collector:
        wait_until(lambda: status(port, "GET", "/readyz") == 200)
        assert status(port, "GET", "/g/collect?tid=G-SHOP") == 204
        collector.kill()
        wait_until(lambda: status(port, "GET", "/healthz") == 0)
        spools = tmp_path / "spools"
        wait_until(lambda: not list(spools.glob("*/*.open")))


def test_a_served_secret_is_neither_written_nor_logged(tmp_path: Path, capfd):
    port = free_port()
    with process(COLLECTOR, tmp_path, port, "process", failpoints=tmp_path):
        wait_until(lambda: status(port, "GET", "/readyz") == 200)
        target = "/mp/collect?measurement_id=G-SHOP&api_secret=TOPSECRET&_uip=198.51.100.23"
        assert status(port, "POST", target, b'{"api_secret":"TOPSECRET"}') == 204
        assert status(port, "PUT", target) == 405
        assert status(port, "GET", f"/elsewhere?{target}") == 404
        assert status(port, "POST", "/g/collect", b"x" * 1_000_001) == 413
    logged = "".join(capfd.readouterr()).encode()
    assert b"worker" in logged
    for secret in (b"TOPSECRET", b"198.51.100.23"):
        assert secret not in logged
        assert secret not in everything_written(tmp_path)


def test_slow_clients_hold_nobody_up_and_are_no_hits(tmp_path: Path):
    port = free_port()
    with process(COLLECTOR, tmp_path, port, "process", failpoints=tmp_path):
        wait_until(lambda: status(port, "GET", "/readyz") == 200)
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
        for connection in slow:
            connection.sendall(
                b"POST /g/collect HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nen=cut"
            )
        time.sleep(0.3)
        assert {status(port, "GET", "/g/collect?tid=G-SHOP") for _ in range(20)} == {204}
        for connection in slow:
            connection.close()
    rows = recorded_requests(tmp_path)
    assert rows.height == 20
    assert set(rows["body"]) == {""}


def reasons(port: int, count: int, **headers: str) -> Counter[tuple[int, str]]:
    """Statuses and reasons of ``count`` hits on one connection each, so that all workers answer."""
    found: Counter[tuple[int, str]] = Counter()
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/g/collect?tid=G-SHOP&en=a", headers=headers)
        answer = connection.getresponse()
        found[answer.status, answer.getheader("X-Tallymark-Reason", "")] += 1
        connection.close()
    return found


def test_both_workers_of_a_collector_keep_one_limit(tmp_path: Path):
    port = free_port()
    write_properties(tmp_path)
    limits = {"max_requests_per_second_per_network": 10, "trusted_proxies": ("127.0.0.0/8",)}
    with process(COLLECTOR, tmp_path, port, "process", limits, failpoints=tmp_path):
        wait_until(lambda: status(port, "GET", "/readyz") == 200)
        started = time.monotonic()
        found = reasons(port, 60, **{"X-Forwarded-For": "203.0.113.7"})
        seconds = int(time.monotonic() - started) + 2  # that may have begun in between
        others = reasons(port, 30)
    assert found.keys() == {(204, ""), (429, "network_rate_limited")}
    assert 10 <= found[204, ""] <= 11 * seconds
    assert others == {(204, ""): 30}
    assert recorded_requests(tmp_path).height == found[204, ""] + 30


def answer_of(port: int, method: str, target: str, body: bytes = b"", **headers: str):
    """Status and headers of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, target, body or None, named)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders())
    finally:
        connection.close()


def test_a_served_collector_keeps_its_limits_and_says_so(tmp_path: Path):
    port = free_port()
    write_properties(tmp_path, allowed_hosts=["shop.test"])
    page = {"Origin": "https://shop.test"}
    limits = {"max_segment_bytes": 3_000_000, "max_body_bytes": 200_000}
    advised = {
        "": ("/g/collect?tid=G-SHOP", page),
        "missing_measurement_id": ("/g/collect?v=2", page),
        "unknown_measurement_id": ("/g/collect?tid=G-OTHER", page),
        "missing_api_secret": ("/mp/collect?measurement_id=G-SHOP", {}),
        "invalid_api_secret": ("/mp/collect?measurement_id=G-SHOP&api_secret=x", {}),
        "host_not_allowed": ("/g/collect?tid=G-SHOP", {"Origin": "https://evil.test"}),
    }
    assert advised.keys() == {"", *ADVICE}
    with process(COLLECTOR, tmp_path, port, "process", limits, failpoints=tmp_path) as collector:
        wait_until(lambda: status(port, "GET", "/readyz") == 200)
        for reason, (target, headers) in advised.items():
            code, told = answer_of(port, "POST", target, b"{}", **headers)
            assert (code, told.get("x-tallymark-reason", "")) == (204, reason)

        preflight = {"Access_Control_Request_Method": "POST", **page}
        code, told = answer_of(port, "OPTIONS", "/g/collect", **preflight)
        assert (code, told["access-control-allow-origin"]) == (204, page["Origin"])

        long = b"x" * 200_001
        code, told = answer_of(port, "POST", "/g/collect?tid=G-SHOP", long, **page)
        assert (code, told["x-tallymark-reason"]) == (413, "body_too_large")

        answers = [
            answer_of(port, "POST", "/g/collect?tid=G-SHOP", long[1:], **page) for _ in range(40)
        ]
        codes = [code for code, _ in answers]
        assert set(codes) == {204, 503}
        told = answers[codes.index(503)][1]
        assert (told["retry-after"], told["x-tallymark-reason"]) == ("10", "spool_full")
        assert status(port, "GET", "/readyz") == 503
        collector.terminate()
        assert collector.wait(30) == 0
    assert not list((tmp_path / "spools").glob("*/*.open"))
    assert recorded_requests(tmp_path).height == len(advised) + codes.count(204)


def test_a_terminated_collector_answers_what_it_has_begun(tmp_path: Path):
    port = free_port()
    write_properties(tmp_path)
    with process(COLLECTOR, tmp_path, port, "process", failpoints=tmp_path) as collector:
        wait_until(lambda: status(port, "GET", "/readyz") == 200)
        begun = socket.create_connection(("127.0.0.1", port), timeout=20)
        begun.sendall(
            b"POST /g/collect?tid=G-SHOP HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nen"
        )
        time.sleep(0.5)
        collector.terminate()
        time.sleep(0.5)
        begun.sendall(b"=a")
        assert begun.recv(1_000).startswith(b"HTTP/1.1 204 ")
        begun.close()
        assert collector.wait(30) == 0
    assert recorded_requests(tmp_path)["body"].to_list() == ["en=a"]


ODD = {
    "bytes that are no UTF-8": (b"GET /g/collect?tid=G-SHOP&dt=\xc4\x80 HTTP/1.1\r\n", b"", 204),
    "the same elsewhere": (b"GET /debug/collect?\xc4\x80 HTTP/1.1\r\n", b"", 200),
    "a path that is no text": (b"GET /%FF%00 HTTP/1.1\r\n", b"", 404),
    "chunks": (
        b"POST /g/collect?tid=G-SHOP HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
        b"3\r\nen=\r\n1\r\na\r\n0\r\n\r\n", 204,
    ),
    "a length that no body has": (
        b"POST /g/collect HTTP/1.1\r\nContent-Length: " + b"9" * 30 + b"\r\n", b"", 400,
    ),
    "an unknown method": (b"BREW /g/collect HTTP/1.1\r\n", b"", 405),
    "headers of any bytes": (
        b"GET /t.js HTTP/1.1\r\nIf-None-Match: \xff\xfe\r\nCookie: \xff\r\n", b"", 200,
    ),
}  # fmt: skip


def test_odd_requests_are_answered_by_a_served_collector_without_a_traceback(tmp_path: Path, capfd):
    port = free_port()
    write_properties(tmp_path)
    with process(COLLECTOR, tmp_path, port, "process", failpoints=tmp_path):
        wait_until(lambda: status(port, "GET", "/readyz") == 200)
        for name, (head, body, code) in ODD.items():
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(head + b"Host: x\r\nConnection: close\r\n\r\n" + body)
                answer = connection.recv(1_000)
            assert answer.startswith(b"HTTP/1.1 %d " % code), (name, answer)
    logged = "".join(capfd.readouterr())
    assert "worker" in logged
    assert "Traceback" not in logged
    assert sorted(recorded_requests(tmp_path)["body"]) == ["", "en=a"]
