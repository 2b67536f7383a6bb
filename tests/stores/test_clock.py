"""The clock that a test may put in the place of the machine's."""

import os
import subprocess
import sys
import time

import pytest

from stores.clock import VARIABLE, ScaledClock, clock_of

DAY_US = 86_400_000_000
SHOW = "from stores.clock import SPEED, stopwatch, utc_us; print(utc_us(), stopwatch(), SPEED)"


def _shown(environment: dict[str, str]) -> tuple[int, float, float]:
    answer = subprocess.run(
        [sys.executable, "-c", SHOW], env=os.environ | environment, capture_output=True, check=True
    )
    shown_us, seconds, speed = answer.stdout.split()
    return int(shown_us), float(seconds), float(speed)


def test_the_machines_clock_is_the_clock_where_nothing_is_asked_for() -> None:
    before = time.time_ns() // 1_000
    shown_us, seconds, speed = _shown({})

    assert before <= shown_us <= time.time_ns() // 1_000
    assert (speed, seconds <= time.monotonic()) == (1.0, True)


def test_all_processes_of_an_environment_share_a_clock_that_runs_faster() -> None:
    clock = ScaledClock(shown_us=3 * DAY_US, at_us=time.time_ns() // 1_000, speed=600.0)

    earliest_us, earliest_seconds = clock.utc_us(), clock.stopwatch()
    shown_us, seconds, speed = _shown(clock.environment())

    assert 3 * DAY_US <= earliest_us <= shown_us <= clock.utc_us()
    assert earliest_seconds <= seconds <= clock.stopwatch()
    assert speed == 600.0


def test_a_second_of_the_machine_is_as_many_as_the_speed_says() -> None:
    now_us = time.time_ns() // 1_000
    clock = ScaledClock(shown_us=DAY_US, at_us=now_us - 1_000_000, speed=600.0)

    assert 600_000_000 <= clock.utc_us() - DAY_US < 6_000_000_000


@pytest.mark.parametrize("text", ["now", "1,2", "1,2,x", "1,2,0", "1,2,-1", "1,2,inf", "1,2,nan"])
def test_a_clock_that_cannot_be_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected SHOWN_US,AT_US,SPEED"):
        clock_of({VARIABLE: text})
