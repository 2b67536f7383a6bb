"""Hours of visits within a minute: a whole stack whose clock runs 600 times as fast."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from stores.clock import ScaledClock

from .agreement import agreement
from .stack import Site, running
from .test_counts import create_sites

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SPEED = 600
BEGINS = datetime(2026, 3, 1, 7, 20, tzinfo=UTC)
HOURS = 6
HITS_A_SECOND = 0.2
HOUR_US = 3_600_000_000


def test_visits_of_six_hours_are_counted_in_their_hours_within_a_minute(tmp_path: Path) -> None:
    clock = ScaledClock(
        shown_us=int(BEGINS.timestamp() * 1e6), at_us=time.time_ns() // 1_000, speed=SPEED
    )
    with running(tmp_path / "stack", "--collector-workers=2", clock=clock) as stack:
        sites, settings = create_sites(stack)
        started = time.monotonic()
        play = stack.simulate(
            sites, "hours", "--seed=21", f"--rate={HITS_A_SECOND}", f"--duration={HOURS * 3600}"
        )
        play.wait(within_seconds=120)
        seconds = time.monotonic() - started

        agreed = agreement(stack, [play], sites, settings)

        received = sorted(hit.received_at for hit in agreed.truth.hits)
        hours = {at // HOUR_US for at in received}
        assert agreed.truth.outcomes.keys() == {"accepted"}
        assert len(received) >= 0.9 * HITS_A_SECOND * HOURS * 3600
        assert len(hours) >= HOURS
        assert {at // HOUR_US for _, at, _ in agreed.cells["totals"]} >= hours
        assert received[0] >= int(BEGINS.timestamp() * 1e6)
        assert seconds < 2 * HOURS * 3600 / SPEED

        # A report of today is one of the clock's day, or of the day that has begun since.
        today = _events(stack.report_url, sites[0], "yesterday", "today")
        assert today == sum(hit.property_id == sites[0].property_id for hit in agreed.truth.hits)


def _events(url: str, site: Site, first: str, last: str) -> int:
    answer = httpx.post(
        f"{url}/v1beta/properties/{site.property_id}:runReport",
        headers={"Authorization": f"Bearer {site.read_key}"},
        json={
            "dateRanges": [{"startDate": first, "endDate": last}],
            "metrics": [{"name": "eventCount"}],
        },
        timeout=20,
    )
    rows = json.loads(answer.content).get("rows", [])
    return int(rows[0]["metricValues"][0]["value"]) if rows else 0
