"""Memory of the whole local stack at rest, by process.

Run alone: python -m benchmarks.memory [--seconds 60] [--no-dagster]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.e2e.stack import Stack, running

BAR_MEGABYTES = 1_500
WARM_UP_HITS_PER_SECOND, WARM_UP_SECONDS = 100, 20


def run(seconds: float, *, dagster: bool) -> bool:
    """Measure and tell; whether the bar is met."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "stack", dagster=dagster) as stack,
    ):
        site = stack.create_property("At rest")
        stack.simulate(
            [site], "warm-up", f"--rate={WARM_UP_HITS_PER_SECOND}",
            f"--duration={WARM_UP_SECONDS}",
        ).wait(within_seconds=4 * WARM_UP_SECONDS)  # fmt: skip
        time.sleep(seconds)
        resident = _shown(stack)
    verdict = "met" if resident <= BAR_MEGABYTES else "MISSED"
    print(
        f"{'resident, all processes, MB':30} {resident:8,.0f}   bar {BAR_MEGABYTES:,}   {verdict}"
    )
    return resident <= BAR_MEGABYTES


def _shown(stack: Stack) -> float:
    """A row a service; the sum of resident memory, pages that processes share counted for each."""
    resident = proportional = 0.0
    print(f"{'service':12} processes  resident MB  its share MB")
    for service, pids in stack.pids().items():
        parts = [psutil.Process(pid).memory_full_info() for pid in pids]
        own, share = (sum(part.rss for part in parts) / 1e6, sum(part.pss for part in parts) / 1e6)
        print(f"{service:12} {len(pids):9} {own:12,.0f} {share:13,.0f}")
        resident += own
        proportional += share
    print(f"{'all':12} {'':9} {resident:12,.0f} {proportional:13,.0f}")
    return resident


def main() -> None:
    """Run from the command line; exit status 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of rest before it is measured")
    parser.add_argument("--no-dagster", action="store_true", help="leave Dagster out")
    arguments = parser.parse_args()
    sys.exit(0 if run(arguments.seconds, dagster=not arguments.no_dagster) else 1)


if __name__ == "__main__":
    main()
