"""The soak: a whole stack at half of what it can take, for a long time.

Every half minute a worker of the collector is killed, and in the middle the bus is away for five
minutes. Prints answers and the memory of each service as it goes; fails unless exactly what was
accepted is archived and memory stays flat.

Run: python -m scripts.soak [--minutes 20] [--rate 0]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.soaking import Plan, archived, lost_and_gained, soak
from tests.e2e.stack import Site, Stack, running
from tests.e2e.steady_load import SteadyLoad

MEASURING_SECONDS = 20.0


def main() -> None:
    """Parse the options and soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--outage-minutes", type=float, default=5.0)
    parser.add_argument("--kill-every-seconds", type=float, default=30.0)
    parser.add_argument(
        "--rate", type=float, default=0.0, help="hits a second; 0: half of the most it takes"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with running(Path(folder) / "stack", "--collector-workers=2") as stack:
            rate = options.rate or most_per_second(stack, stack.create_property("Measured")) / 2
            say(f"{rate:,.0f} hits a second")
            plan = Plan(
                seconds=options.minutes * 60,
                requests_per_second=rate,
                kill_every_seconds=options.kill_every_seconds,
                outage_seconds=options.outage_minutes * 60,
                seed=options.seed,
            )
            site = stack.create_property("Soaked")
            found = soak(stack, site, plan, say)
        numbers = archived(stack.data / "archive", site.measurement_id)
    lost, gained = lost_and_gained(found.answers, numbers)
    for name, (before, after) in found.growth(plan.seconds).items():
        say(f"{name}: {before:.0f} MB in the second quarter, {after:.0f} MB in the last")
    say(
        f"{len(found.answers.accepted):,} accepted, {len(found.answers.unknown):,} without an "
        f"answer, {len(found.answers.refused):,} refused, {len(numbers):,} archived, "
        f"{found.kills} workers killed, {found.most_waiting} blocks waiting at most; "
        f"{len(lost)} lost, {len(gained)} archived that should not be"
    )
    grown = found.grown(plan.seconds)
    if lost or gained or grown:
        sys.exit(f"not as it should be: {len(lost)} lost, {len(gained)} gained, {grown=}")


def most_per_second(stack: Stack, site: Site) -> float:
    """How many hits a second the stack answers when it is asked as fast as it answers."""
    with SteadyLoad(stack.collector_port, site.measurement_id) as load:
        time.sleep(MEASURING_SECONDS)
    return len(load.answers.accepted) / MEASURING_SECONDS


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
