"""Speed and memory of replays: from the raw archive to the cells of a lineage.

A replay runs in a process of its own, as it does in earnest, beside a plain loop of the same
domain functions; memory is that of all its processes. ``--million-hits`` and ``--hours`` may be
given several times: each is an archive of its own.

Run alone: python -m benchmarks.replay [--million-hits 2] [--hours 1] [--limit-mb 1000] [--no-loop]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any, Final

import psutil

from beam_pipelines.failing_requests import process_what_can_be
from beam_pipelines.replay_process import environment
from beam_pipelines.replay_request import ReplayRequest, encode_request
from benchmarks.recorded_blocks import blocks, template
from cli.simulator.visits import Site
from stores.archive.opening import open_objects
from stores.archive.raw import RawArchive
from stores.rules_cache.file import FileRulesCache
from stores.wide_rows.opening import open_wide_rows
from tallymark.aggregates import rollup_rows
from tallymark.blocks import Block
from tallymark.cells import encode
from tallymark.counting import Tally, slots_in
from tallymark.processing import process_requests
from tallymark.replays import Span
from tallymark.slots import HOUR_US
from tallymark.touches import TOUCH_SCHEMA
from tests.property_files import create_property

FIRST_US: Final = 1_767_225_600_000_000  # 2026-01-01T00
IDLE_HOURS: Final = 200
BLOCKS_A_FILE: Final = 60
BAR_TIMES: Final = 2.0
BAR_MEGABYTES: Final = 1_000
MEMORY_CGROUPS: Final = Path("/sys/fs/cgroup/memory")
"""Version 1; a hard limit is set through it where that is allowed."""


@dataclass(frozen=True)
class Archive:
    """A raw archive under a folder, and what is in it."""

    folder: Path
    hits: int
    hours: int

    def request(self, lineage: str) -> ReplayRequest:
        """A replay of its hours."""
        return ReplayRequest(
            lineage=lineage,
            start_us=FIRST_US,
            end_us=FIRST_US + self.hours * HOUR_US,
            archive_url=f"file:{self.folder / 'archive'}",
            wide_rows_url=f"sqlite:{self.folder / f'{lineage}.sqlite'}",
            rules_path=str(self.folder / "properties.json"),
        )


@dataclass(frozen=True)
class Run:
    """What a process took.

    Attributes:
        seconds: From start to end.
        cpu_seconds: Of it and its children.
        megabytes: The most resident memory of all of them in each stage.
        status: How it ended.
        last: The last line that it wrote.
    """

    seconds: float
    cpu_seconds: float
    megabytes: dict[str, float]
    status: int
    last: dict[str, Any]

    @property
    def peak_megabytes(self) -> float:
        """The most resident memory."""
        return max(self.megabytes.values(), default=0.0)


def archive(folder: Path, hits: int, hours: int) -> Archive:
    """Record about so many hits, evenly spread over the hours."""
    made = create_property(folder / "properties.json", name="Replayed", random_bytes=os.urandom)
    of = template(Site(measurement_id=made.measurement_id))
    copies = max(1, round(hits / of.hits))
    raw = RawArchive(open_objects(f"file:{folder / 'archive'}"))
    end_us = FIRST_US + hours * HOUR_US
    recorded = blocks(of, copies=copies, first_us=FIRST_US, end_us=end_us, spool_id="busy")
    while some := list(islice(recorded, BLOCKS_A_FILE)):
        raw.write(some)
    raw.write(_idle("opening", 1, -IDLE_HOURS))
    raw.write(_idle("heartbeat", 2, hours + IDLE_HOURS))
    return Archive(folder, copies * of.hits, hours)


def _idle(kind: Any, number: int, hour: int) -> list[Block]:
    """A collector that was there long before and long after: all hours are sealed."""
    frontier = FIRST_US + hour * HOUR_US
    return [
        Block(
            spool_id="idle",
            number=number,
            kind=kind,
            frontier=frontier,
            requests=0,
            payload=b"",
            published_at=frontier,
        )
    ]


def loop(of: Archive) -> None:
    """The same domain functions, one after the other, all hits in one tally."""
    request = of.request("gen-2")
    raw = RawArchive(open_objects(request.archive_url))
    rules = FileRulesCache(Path(request.rules_path))
    tally = Tally()
    for index in range(of.hours):
        hour = raw.hour(FIRST_US + index * HOUR_US)
        for part in hour.slices():
            processed, _ = process_what_can_be(
                hour.read(part).requests, rules.frame, process_requests
            )
            tally.add(processed.hits)
    facts = tally.counted(TOUCH_SCHEMA.to_frame(), FIRST_US)
    slots = slots_in(Span(FIRST_US, FIRST_US + of.hours * HOUR_US), facts)
    wide_rows = open_wide_rows(request.wide_rows_url)
    for rollup, rows in rollup_rows(facts, slots):
        wide_rows.write(encode(rollup, rows, slots, lineage="gen-2", version=1))


def run(command: list[str], content: bytes = b"", limit_megabytes: int = 0) -> Run:
    """Run a process to its end and watch its memory."""
    with _limited(limit_megabytes) as join:
        began = time.monotonic()
        process = psutil.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=join,
            env=environment(),
        )
        peak = _Peak(process)
        process.stdin.write(content)
        process.stdin.close()
        last: dict[str, Any] = {}
        for line in process.stdout:
            last = json.loads(line)
            peak.stage = last.get("stage", peak.stage)
        status = process.wait()
        seconds = time.monotonic() - began
        peak.stop()
    megabytes = {stage: most / 1e6 for stage, most in peak.bytes.items()}
    return Run(seconds, peak.cpu_seconds, megabytes, status, last)


class _Peak(threading.Thread):
    """The most resident memory that a process and its children held together."""

    def __init__(self, process: psutil.Popen) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._over = threading.Event()
        self.stage = "start"
        self.bytes: dict[str, int] = {}
        self.cpu_seconds = 0.0
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.05):
            resident = cpu = 0.0
            for one in self._family():
                try:
                    times = one.cpu_times()
                    cpu += times.user + times.system
                    resident += one.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.bytes[self.stage] = max(self.bytes.get(self.stage, 0), int(resident))
            self.cpu_seconds = max(self.cpu_seconds, cpu)

    def _family(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self) -> None:
        self._over.set()
        self.join()


@contextmanager
def _limited(megabytes: int) -> Iterator[Callable[[], None] | None]:
    """What a process calls to be killed if it takes more memory than this; None without a limit."""
    if not megabytes:
        yield None
        return
    group = MEMORY_CGROUPS / f"tallymark-replay-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(megabytes * 1_000_000))

        def join() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        yield join
    finally:
        time.sleep(0.2)
        group.rmdir()


def shown(name: str, of: Archive, found: Run) -> None:
    """A line of figures."""
    stages = ", ".join(f"{stage} {most:,.0f}" for stage, most in found.megabytes.items())
    print(
        f"{name:24} {of.hits / 1e6:6.2f} {of.hours:5} {found.seconds:8.1f} {found.cpu_seconds:8.1f}"
        f" {of.hits / found.seconds:11,.0f} {found.peak_megabytes:8,.0f} ({stages})",
        flush=True,
    )


def measured(hits: int, hours: int, limit_megabytes: int, with_loop: bool) -> bool:
    """Measure one archive and tell; whether the bars are met."""
    with tempfile.TemporaryDirectory() as folder:
        of = archive(Path(folder), hits, hours)
        command = [sys.executable, "-m", "beam_pipelines.replay", "--request", "-"]
        replayed = run(command, encode_request(of.request("gen-1")), limit_megabytes)
        shown(f"replay within {limit_megabytes} MB" if limit_megabytes else "replay", of, replayed)
        met = replayed.status == 0
        if not met:
            print(f"  ended with status {replayed.status}: {replayed.last.get('message', '')}")
        if with_loop:
            facts = json.dumps([folder, of.hits, of.hours])
            plain = run([sys.executable, "-m", "benchmarks.replay", "--as-loop", facts])
            shown("plain loop", of, plain)
            times = replayed.seconds / plain.seconds
            cpu_times = replayed.cpu_seconds / plain.cpu_seconds
            verdict = "met" if times <= BAR_TIMES else "MISSED"
            print(f"  {times:.2f} × the loop, CPU {cpu_times:.2f} ×; bar {BAR_TIMES} × {verdict}")
            met &= times <= BAR_TIMES
        verdict = "met" if replayed.peak_megabytes <= BAR_MEGABYTES else "MISSED"
        print(f"  {replayed.peak_megabytes:,.0f} MB at most; bar {BAR_MEGABYTES:,} MB {verdict}")
        return met and replayed.peak_megabytes <= BAR_MEGABYTES


def main() -> None:
    """Run from the command line; exit status 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million-hits", type=float, action="append", help="in all; 2")
    parser.add_argument("--hours", type=int, action="append", help="that they lie in; 1")
    parser.add_argument("--limit-mb", type=int, default=0, help="killed if it takes more")
    parser.add_argument("--no-loop", action="store_true", help="without the plain loop")
    parser.add_argument("--as-loop", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_loop:
        folder, hits, hours = json.loads(options.as_loop)
        loop(Archive(Path(folder), hits, hours))
        return
    print(f"{'':24} M hits hours  seconds      CPU      hits/s  peak MB")
    met = [
        measured(round(millions * 1e6), hours, options.limit_mb, not options.no_loop)
        for millions, hours in product(options.million_hits or [2.0], options.hours or [1])
    ]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
