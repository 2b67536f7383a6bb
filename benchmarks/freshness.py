"""Freshness: from the answer to a hit to its appearance in a report, under load.

The archiver runs as it always does, and one replay of history after the other. Each probe is a hit
with an event name of its own, sent at an instant of its own within the stream's rhythm, and looked
for through the report API.

Run alone: python -m benchmarks.freshness [--probes 60] [--rate 100] [--no-replay]
"""

import argparse
import http.client
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.recorded_blocks import blocks, template
from cli.simulator.visits import Site as SimulatedSite
from stores.archive.opening import open_objects
from stores.archive.raw import RawArchive
from tallymark.slots import DAY_US, HOUR_US
from tests.e2e.reports import ask
from tests.e2e.stack import Site, Stack, eventually, running, tallymark

BAR_SECONDS = 15.0
PAUSE_SECONDS = 0.7
LOOK_SECONDS = 0.2
GIVE_UP_SECONDS = 60.0
HISTORY_HITS: Final = 1_000_000
HISTORY_HOURS: Final = 4


def run(probes: int, hits_per_second: int, *, with_replay: bool) -> bool:
    """Measure and tell; whether the bar is met."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "stack") as stack:
        probed, loaded = stack.create_property("Probed"), stack.create_property("Loaded")
        hours = _record_history(stack, loaded) if with_replay else ""
        time.sleep(2)
        load = stack.simulate([loaded], "load", f"--rate={hits_per_second}")
        time.sleep(10)
        with _replays(stack, hours) if with_replay else nullcontext():
            delays = sorted(_delays(stack, probed, probes))
        load.stop()
    p95 = delays[int(0.95 * (len(delays) - 1))]
    print(
        f"{probes} probes under {hits_per_second} hits/s: p50 {delays[len(delays) // 2]:.1f} s,"
        f" p95 {p95:.1f} s, longest {delays[-1]:.1f} s"
    )
    verdict = "met" if p95 <= BAR_SECONDS else "MISSED"
    print(f"{'hit to report, p95, s':30} {p95:8.1f}   bar {BAR_SECONDS:.0f}   {verdict}")
    return p95 <= BAR_SECONDS


def _record_history(stack: Stack, site: Site) -> str:
    """Let the archive hold some hours of three days ago; the range that replays them."""
    first_us = time.time_ns() // 1_000 // DAY_US * DAY_US - 3 * DAY_US
    of = template(SimulatedSite(measurement_id=site.measurement_id))
    recorded = blocks(
        of,
        copies=max(1, HISTORY_HITS // of.hits),
        first_us=first_us,
        end_us=first_us + HISTORY_HOURS * HOUR_US,
        spool_id="history",
    )
    RawArchive(open_objects(f"file:{stack.data / 'archive'}")).write(list(recorded))
    day = datetime.fromtimestamp(first_us / 1e6, UTC)
    return f"{day:%Y-%m-%dT00}..{day:%Y-%m-%dT}{HISTORY_HOURS:02}"


@contextmanager
def _replays(stack: Stack, hours: str) -> Iterator[None]:
    """Replay a range again and again meanwhile."""
    dry = [*tallymark("replay", hours), f"--data={stack.data}", "--dry-run"]
    eventually(
        lambda: subprocess.run(dry, check=False, capture_output=True).returncode == 0,
        within_seconds=150,
        what="the archive to reach beyond the history, so that it is sealed",
        pause_seconds=2,
    )
    ending = threading.Event()
    ended: list[subprocess.CompletedProcess[str]] = []

    def replay() -> None:
        while not ending.is_set() and not any(run.returncode for run in ended):
            command = [*tallymark("replay", hours), f"--data={stack.data}"]
            ended.append(subprocess.run(command, check=False, capture_output=True, text=True))

    thread = threading.Thread(target=replay)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
    if ended[-1].returncode:
        raise SystemExit(f"a replay ended with {ended[-1].returncode}: {ended[-1].stderr}")
    print(f"{len(ended)} replays of {hours} ({HISTORY_HITS:,} hits) ran beside")


def _delays(stack: Stack, site: Site, probes: int) -> list[float]:
    sent: dict[str, float] = {}
    delays: list[float] = []
    started = time.monotonic()
    while len(delays) < probes:
        now = time.monotonic()
        if len(sent) + len(delays) < probes and now > started + PAUSE_SECONDS * (
            len(sent) + len(delays)
        ):
            name = f"probe_{len(sent) + len(delays)}"
            _send(stack, site, name)
            sent[name] = time.monotonic()
        seen = {names[0] for names in ask(stack, site, ("eventName",), ("eventCount",))}
        now = time.monotonic()
        delays += [now - sent.pop(name) for name in seen & sent.keys()]
        if sent and now - min(sent.values()) > GIVE_UP_SECONDS:
            raise SystemExit(f"a hit was not in the report after {GIVE_UP_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)
    return delays


def _send(stack: Stack, site: Site, event_name: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.collector_port, timeout=10)
    connection.request(
        "POST", f"/g/collect?v=2&tid={site.measurement_id}&cid=1.{event_name}&en={event_name}"
    )
    status = connection.getresponse().status
    connection.close()
    if status != 204:
        raise SystemExit(f"expected 204 from the collector, got {status}")


def main() -> None:
    """Run from the command line; exit status 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=60)
    parser.add_argument("--rate", type=int, default=100, help="hits a second of the load")
    parser.add_argument("--no-replay", action="store_true", help="leave history alone meanwhile")
    arguments = parser.parse_args()
    is_met = run(arguments.probes, arguments.rate, with_replay=not arguments.no_replay)
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
