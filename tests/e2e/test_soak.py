"""A minute of the soak that `make soak` does for twenty."""

from pathlib import Path

import pytest

from .soaking import Plan, archived, lost_and_gained, soak
from .stack import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PLAN = Plan(seconds=60, requests_per_second=400, kill_every_seconds=8, outage_seconds=15, seed=5)


def test_workers_that_die_and_a_bus_that_is_away_lose_nothing_that_was_accepted(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "stack", "--collector-workers=2") as stack:
        site = stack.create_property("Soaked")
        found = soak(stack, site, PLAN, print)
    numbers = archived(stack.data / "archive", site.measurement_id)

    assert lost_and_gained(found.answers, numbers) == (set(), set())
    assert len(found.answers.accepted) > 0.7 * PLAN.seconds * PLAN.requests_per_second
    assert found.kills >= 5
    assert found.most_waiting > 10, "the bus was away, so blocks had to wait"
    assert not found.answers.refused
