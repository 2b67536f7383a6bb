"""The soak: a whole stack under steady visits for a long time, looked at each minute.

Prints the memory of each service and how far the reports are behind, and fails if a report
differs from what was accepted.

Run: python -m scripts.soak [--minutes 10] [--rate 500]
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from tests.e2e.stack import Simulation, Site, Stack, running

CATCH_UP_SECONDS = 30


def main() -> None:
    """Parse the options and soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=500.0, help="hits a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "stack") as stack:
        site = stack.create_property("Soaked shop")
        seconds = f"--duration={options.minutes * 60}"
        play = stack.simulate([site], "soak", f"--rate={options.rate}", seconds)
        while play.process.poll() is None:
            time.sleep(60)
            _say(stack, site, play)
        time.sleep(CATCH_UP_SECONDS)
        _say(stack, site, play)
        if counted(stack, site) != accepted(play):
            sys.exit("the report differs from what was accepted")


def _say(stack: Stack, site: Site, play: Simulation) -> None:
    memory = ", ".join(f"{name} {size} MB" for name, size in megabytes(stack).items())
    sent = accepted(play)
    behind = sent - counted(stack, site)
    sys.stdout.write(f"{sent} hits accepted, {behind} not in the report yet; {memory}\n")
    sys.stdout.flush()


def megabytes(stack: Stack) -> dict[str, int]:
    """Resident memory of each service with its children."""
    return {
        name: sum(psutil.Process(pid).memory_info().rss for pid in pids) // 1_000_000
        for name, pids in stack.pids().items()
    }


def accepted(play: Simulation) -> int:
    """Hits in requests that were answered."""
    answered = {row["request"] for row in play.answers() if row["outcome"] == "accepted"}
    with play.script_path.open() as script:
        visits = [json.loads(line) for line in script if line.endswith("}\n")]
    return sum(hit["request"] in answered for visit in visits for hit in visit["hits"])


def counted(stack: Stack, site: Site) -> int:
    """Hits in the report of yesterday and today."""
    answer = httpx.post(
        f"{stack.report_url}/v1beta/properties/{site.property_id}:runReport",
        headers={"Authorization": f"Bearer {site.read_key}"},
        json={
            "dateRanges": [{"startDate": "yesterday", "endDate": "today"}],
            "metrics": [{"name": "eventCount"}],
        },
        timeout=10,
    )
    rows = answer.raise_for_status().json().get("rows", [])
    return int(rows[0]["metricValues"][0]["value"]) if rows else 0


if __name__ == "__main__":
    main()
