"""Server CPU-seconds a request: the collector against a bare WSGI app on the same server.

The bare app reads the body and answers 204; both run under granian with one worker and the same
threads, are asked by the same client (wrk where it is installed) over 16 connections and take
turns. Prints the CPU of each run and the ratio of the medians, which is to stay at or below 1.4.
The bare app whose threads share a CPU, as the collector's do, shows what that alone is worth.

    python -m benchmarks.collector --runs 5 --seconds 5 --protocol measurement_protocol
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from granian import Granian
from granian.constants import HTTPModes, Interfaces

from collector.server import serve
from collector.settings import CollectorSettings
from collector.shared_cpu import shared_cpu
from tallymark.properties import secret_hash

BAR = 1.4
CONNECTIONS = 16
TARGET = (
    "/g/collect?v=2&tid=G-SHOP&_p=1767268800123&cid=1234567890.1767260000&ul=en-us&sr=1920x1080"
    "&_s=1&sid=1767268700&sct=1&seg=1&dl=https%3A%2F%2Fshop.test%2Fproducts%2F42%3Fcolour%3Dred"
    "&dr=https%3A%2F%2Fwww.search.test%2F&dt=A%20product%20page&en=page_view&_fv=1&_ss=1"
    "&ep.page_type=product&epn.value=12.5&_et=1234"
)
HEADERS = {
    "Host": "stats.shop.test",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36",
    "Accept-Language": "en-US,en;q=0.9",
    "Referer": "https://shop.test/",
    "Origin": "https://shop.test",
    "Sec-CH-UA": '"Chromium";v="140", "Not=A?Brand";v="24"',
    "Sec-CH-UA-Mobile": "?0",
    "Sec-CH-UA-Platform": '"Linux"',
}
SECRET = "0123456789abcdef"
BODY = "en=scroll&epn.percent_scrolled=90&_et=5000"


@dataclass(frozen=True)
class Request:
    """What a client of a protocol sends."""

    method: str
    target: str
    body: str = ""


_DOCUMENT = (
    '{"client_id":"1234567890.1767260000","events":[{"name":"purchase","params":{"session_id":'
    '"1767268700","currency":"EUR","value":19.9,"transaction_id":"T-1767268700","items":['
    '{"item_id":"shoe-7","item_name":"Shoe","price":19.9,"quantity":1}]}}]}'
)
_PAYLOAD = (
    "v=1&tid=G-SHOP&cid=1234567890.1767260000&t=event&ec=video&ea=play&el=holiday&ev=300"
    "&dl=https%3A%2F%2Fshop.test%2Fproducts%2F42&dt=A%20product%20page&ul=en-us&sr=1920x1080"
)
PROTOCOLS = {
    "ga4_web": Request("POST", TARGET, BODY),
    "ga4_web_by_get": Request("GET", TARGET),
    "measurement_protocol": Request(
        "POST", f"/mp/collect?measurement_id=G-SHOP&api_secret={SECRET}", _DOCUMENT
    ),
    "universal_analytics": Request("POST", "/collect", _PAYLOAD),
    "pixel": Request("GET", "/p.gif?tid=G-SHOP&en=mail_opened&cs=newsletter&cm=email&cn=spring"),
}


def bare_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What any collector has to do at least."""
    environ["wsgi.input"].read()
    start_response("204 No Content", [])
    return [b""]


def load_bare_app() -> Callable[..., Any]:
    return bare_app


def load_bare_app_on_one_cpu() -> Callable[..., Any]:
    cpu = shared_cpu()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if cpu is not None:
            cpu.join()
        return bare_app(environ, start_response)

    return app


def serve_bare(port: int, threads: int, load: Callable[[], Callable[..., Any]]) -> None:
    Granian(
        "bare",
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=threads,
        http=HTTPModes.http1,
        log_enabled=False,
    ).serve(target_loader=load, wrap_loader=False)


def serve_collector(port: int, threads: int, data_dir: str) -> None:
    rules = Path(data_dir) / "rules"
    rules.mkdir(exist_ok=True)
    secret = {"hash": secret_hash(SECRET), "expires_at": None}
    known = {"data_streams": [{"measurement_id": "G-SHOP", "api_secrets": [secret]}]}
    (rules / "properties.json").write_text(json.dumps({"properties": [known]}))
    serve(
        CollectorSettings(
            data_dir=Path(data_dir),
            port=port,
            blocking_threads=threads,
            max_segment_bytes=50_000_000_000,
        )
    )


@contextlib.contextmanager
def served(target: Callable[..., None], *arguments: Any) -> Iterator[tuple[int, psutil.Process]]:
    """A server on a free port, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=target, args=(port, *arguments))
    process.start()
    try:
        wait_for(port)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.join(30)


def wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("POST", TARGET, BODY, HEADERS)
            if connection.getresponse().status == 204:
                return
        time.sleep(0.05)
    sys.exit(f"no server came up on port {port}")


def cpu_seconds(server: psutil.Process) -> float:
    times = [each.cpu_times() for each in (server, *server.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def requests_of_wrk(port: int, seconds: int, request: Request, folder: Path) -> int:
    """Let wrk ask for ``seconds`` over all connections; returns how many were answered 2xx."""
    lines = [f'wrk.method = "{request.method}"']
    lines += [f"wrk.headers[{name!r}] = {value!r}" for name, value in HEADERS.items()]
    if request.body:
        lines.append(f"wrk.body = [[{request.body}]]")
    script = folder / "requests.lua"
    script.write_text("\n".join(lines))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script)]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{request.target}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Non-2xx" not in output, output
    found = re.search(r"(\d+) requests in", output)
    assert found is not None, output
    return int(found[1])


def requests_of_sockets(port: int, seconds: int, request: Request, _folder: Path) -> int:
    """The same by hand where there is no wrk: a request on each connection, then the answers."""
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    length = f"Content-Length: {len(request.body)}\r\n" if request.body else ""
    first = f"{request.method} {request.target} HTTP/1.1\r\n"
    sent = f"{first}{head}{length}\r\n{request.body}".encode()
    answered, end = 0, time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(CONNECTIONS)
        ]
        while time.monotonic() < end:
            for connection in connections:
                connection.sendall(sent)
            for connection in connections:
                answer = http.client.HTTPResponse(connection, method=request.method)
                answer.begin()
                answer.read()
                assert answer.status in (200, 204), answer.status
            answered += len(connections)
    return answered


def microseconds_a_request(server: psutil.Process, ask: Callable[[], int]) -> float:
    before = cpu_seconds(server)
    answered = ask()
    return (cpu_seconds(server) - before) / answered * 1e6


@contextlib.contextmanager
def shipped(data_dir: Path) -> Iterator[None]:
    """Unlink closed segments as they come, as a shipper does, in a thread of the client."""
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(0.1):
            for block in data_dir.glob("spools/*/*.block"):
                block.unlink()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=CollectorSettings.blocking_threads)
    arguments.add_argument("--protocol", choices=PROTOCOLS, default="ga4_web")
    options = arguments.parse_args()
    client = requests_of_wrk if shutil.which("wrk") else requests_of_sockets
    with tempfile.TemporaryDirectory() as folder:
        threads = options.threads
        found: dict[str, list[float]] = {"bare": [], "on 1 CPU": [], "collector": []}
        with (
            served(serve_bare, threads, load_bare_app) as bare,
            served(serve_bare, threads, load_bare_app_on_one_cpu) as placed,
            served(serve_collector, threads, folder) as collector,
            shipped(Path(folder)),
        ):
            for run in range(options.runs):
                for name, (port, server) in zip(found, (bare, placed, collector), strict=True):
                    cost = microseconds_a_request(
                        server,
                        lambda port=port: client(
                            port, options.seconds, PROTOCOLS[options.protocol], Path(folder)
                        ),
                    )
                    found[name].append(cost)
                    print(f"run {run + 1} {name:<9} {cost:6.1f} µs of CPU a request")
    bare_us, placed_us, collector_us = (statistics.median(costs) for costs in found.values())
    ratio = collector_us / bare_us
    print(
        f"{options.protocol}, median: bare {bare_us:.1f} µs ({placed_us:.1f} with its threads on "
        f"one CPU), collector {collector_us:.1f} µs, {threads} threads"
    )
    print(f"ratio {ratio:.2f} (bar {BAR}): {'met' if ratio <= BAR else 'MISSED'}")
    sys.exit(ratio > BAR)


if __name__ == "__main__":
    main()
