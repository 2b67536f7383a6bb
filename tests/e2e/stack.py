"""A whole local stack as its users start it: ``tallymark up`` in a folder, on free ports."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from stores.clock import ScaledClock

READY_SECONDS = 60.0
READY_WITH_DAGSTER_SECONDS = 150.0
STOP_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Site:
    """A property as its owner knows it."""

    property_id: int
    measurement_id: str
    api_secret: str
    read_key: str
    host: str = "shop.example.com"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def eventually(
    holds: Callable[[], bool], *, within_seconds: float, what: str, pause_seconds: float = 0.25
) -> float:
    """Wait until ``holds``; the seconds that it took.

    Raises:
        AssertionError: when it does not, saying ``what`` was waited for.
    """
    started = time.monotonic()
    while not holds():
        waited = time.monotonic() - started
        assert waited < within_seconds, f"waited {waited:.0f} s in vain for: {what}"
        time.sleep(pause_seconds)
    return time.monotonic() - started


class Stack:
    """One stack; ``start`` and ``stop`` may be called again and again on the same folder.

    Args:
        folder: For data, logs and armed failpoints; made if need be.
        options: Further options of ``tallymark up``.
        clock: What the stack and the simulations against it take for the time.
        dagster: Whether Dagster is part of it; most of what is tested does not need it.
        code: A folder that holds the packages which the stack runs; ``None`` for those of the
            working copy.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        clock: ScaledClock | None = None,
        dagster: bool = False,
        code: Path | None = None,
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.code = code
        self.data = folder / "data"
        self.failpoints = folder / "failpoints"
        self.log_path = folder / "up.log"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.failpoints.mkdir(parents=True)
        self.collector_port, self.report_port, self.pubsub_port, *more = free_ports(6)
        self.dagster_port, self.dagster_code_port, self.config_port = more
        self._ready_seconds = READY_WITH_DAGSTER_SECONDS if dagster else READY_SECONDS
        self._options += ("--dagster" if dagster else "--no-dagster",)

    @property
    def collector_url(self) -> str:
        """Where hits are sent."""
        return f"http://127.0.0.1:{self.collector_port}"

    @property
    def config_url(self) -> str:
        """Where properties, rules and keys are changed."""
        return f"http://127.0.0.1:{self.config_port}"

    @property
    def report_url(self) -> str:
        """Where reports are read."""
        return f"http://127.0.0.1:{self.report_port}"

    @property
    def dagster_url(self) -> str:
        """Where history is replayed."""
        return f"http://127.0.0.1:{self.dagster_port}"

    @property
    def cells_path(self) -> Path:
        """The stored cells."""
        return self.data / "wide_rows.sqlite"

    def start(self) -> float:
        """Start everything; returns the seconds until every service was ready."""
        assert self._process is None, "the stack runs already"
        started = time.monotonic()
        (self.data / "run" / "up.json").unlink(missing_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*tallymark("up", self.data), *self._ports(), *self._options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(),
                cwd=self.code,
                start_new_session=True,
            )
        try:
            eventually(
                self.is_ready,
                within_seconds=self._ready_seconds,
                what="ready",
                pause_seconds=0.05,
            )
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}; the end of the log:\n{self.log()[-4000:]}") from None
        return time.monotonic() - started

    def _ports(self) -> list[str]:
        return [
            f"--collector-port={self.collector_port}",
            f"--report-port={self.report_port}",
            f"--config-port={self.config_port}",
            f"--pubsub-port={self.pubsub_port}",
            f"--dagster-port={self.dagster_port}",
            f"--dagster-code-port={self.dagster_code_port}",
        ]

    def environment(self) -> dict[str, str]:
        """What every process of the stack sees."""
        return self.clock_environment() | {"TALLYMARK_FAILPOINTS": str(self.failpoints)}

    def clock_environment(self) -> dict[str, str]:
        """What a process sees that only shares clock and code."""
        code = {"PYTHONPATH": str(self.code)} if self.code else {}
        return os.environ | (self.clock.environment() if self.clock else {}) | code

    def run(self, *words: str, within_seconds: float = 600.0) -> subprocess.CompletedProcess[str]:
        """Run a command on the data folder to its end, as whoever works on this machine does."""
        return subprocess.run(
            [*tallymark(*words), f"--data={self.data}"],
            capture_output=True,
            check=False,
            text=True,
            timeout=within_seconds,
            env=self.environment(),
            cwd=self.code,
        )

    def stop(self) -> None:
        """Ask it to stop in order; everything accepted is counted when this returns."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill(process)
            raise AssertionError(f"did not stop; the log ends:\n{self.log()[-4000:]}") from None
        assert status == 0, f"stopped with {status}; the log ends:\n{self.log()[-4000:]}"

    def kill(self) -> None:
        """End all of it at once, as a loss of power would."""
        if self._process is not None:
            process, self._process = self._process, None
            self._kill(process)

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        try:
            family = [*psutil.Process(process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        process.kill()
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        process.wait()

    def log(self) -> str:
        """Everything that the services said so far."""
        return self.log_path.read_text(errors="replace")

    def services(self) -> dict[str, dict[str, Any]]:
        """State, pid and restarts of every service, by name."""
        try:
            note = json.loads((self.data / "run" / "up.json").read_text())
        except (OSError, ValueError):
            return {}
        return {service["name"]: service for service in note["services"]}

    def is_ready(self) -> bool:
        """Whether every service says that it is."""
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"tallymark up ended with {self._process.returncode}")
        services = self.services()
        return bool(services) and all(service["state"] == "ready" for service in services.values())

    def pid(self, service: str) -> int:
        """Of the running process; 0 while it is down."""
        return int(self.services()[service]["pid"] or 0)

    def pids(self) -> dict[str, list[int]]:
        """All processes of every service, and of ``up`` itself."""
        assert self._process is not None
        found = {"up": [self._process.pid]}
        owned = set()
        for name, service in self.services().items():
            children = psutil.Process(service["pid"]).children(recursive=True)
            found[name] = [service["pid"], *(child.pid for child in children)]
            owned |= set(found[name])
        family = psutil.Process(self._process.pid).children(recursive=True)
        found["up"] += [child.pid for child in family if child.pid not in owned]
        return found

    def note(self, service: str) -> dict[str, Any]:
        """What a service last said of itself in the run folder."""
        try:
            note = json.loads((self.data / "run" / f"{service}.json").read_text())
        except (OSError, ValueError):
            return {}
        assert isinstance(note, dict)
        return note

    def arm(self, failpoint: str) -> None:
        """Let the next process that reaches ``failpoint`` die there."""
        (self.failpoints / failpoint).touch()

    def was_reached(self, failpoint: str) -> bool:
        """Whether a process died at ``failpoint``."""
        return not (self.failpoints / failpoint).exists()

    def create_property(self, name: str, **settings: object) -> Site:
        """Create a property from the command line."""
        options = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]
        command = [*tallymark("property", "create"), f"--name={name}", f"--data={self.data}"]
        answer = subprocess.run(
            [*command, "--json", *options], capture_output=True, check=True, timeout=60
        )
        return Site(**json.loads(answer.stdout))

    def simulate(self, sites: list[Site], name: str, *options: str) -> "Simulation":
        """Start ``tallymark simulate``; its script and log lie under ``name``."""
        return Simulation(self, sites, name, options)


class Simulation:
    """A running simulation and the files that it writes."""

    def __init__(
        self, stack: Stack, sites: list[Site], name: str, options: tuple[str, ...]
    ) -> None:
        self.script_path = stack.folder / f"{name}-script.jsonl"
        self.log_path = stack.folder / f"{name}-log.jsonl"
        properties = stack.folder / f"{name}-properties.jsonl"
        rows = [
            {"measurement_id": site.measurement_id, "api_secret": site.api_secret,
             "host": site.host}
            for site in sites
        ]  # fmt: skip
        properties.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.process = subprocess.Popen(
            [
                *tallymark("simulate"),
                f"--to={stack.collector_url}",
                f"--properties={properties}",
                f"--script={self.script_path}",
                f"--log={self.log_path}",
                *options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=(stack.folder / f"{name}-stderr.txt").open("wb"),
            env=stack.clock_environment(),
            cwd=stack.code,
        )

    def wait(self, within_seconds: float) -> None:
        """Until everything has been sent, whatever the answers were."""
        self.process.wait(timeout=within_seconds)

    def stop(self) -> None:
        """Begin nothing more, and end."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=60)

    def answers(self) -> list[dict[str, Any]]:
        """The log so far: one row a request sent."""
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]


def tallymark(command: str, *arguments: object) -> list[str]:
    """A command line; of ``up`` the argument is the data folder."""
    words = [f"--data={arguments[0]}"] if command == "up" else [str(word) for word in arguments]
    return [sys.executable, "-m", "cli.main", command, *words]


@contextmanager
def running(
    folder: Path,
    *options: str,
    clock: ScaledClock | None = None,
    dagster: bool = False,
    code: Path | None = None,
) -> Iterator[Stack]:
    """A stack that is up, and gone afterwards; its logs stay in ``folder``."""
    stack = Stack(folder, *options, clock=clock, dagster=dagster, code=code)
    stack.start()
    try:
        yield stack
        stack.stop()
    finally:
        stack.kill()
