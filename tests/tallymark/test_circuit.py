"""A circuit: nothing passes while it is open, one call when it is half open."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.circuit import Circuit, CircuitOpenError, CircuitSettings, Ticket
from tests.strategies import examples

SETTINGS = CircuitSettings(
    failures=3, window_seconds=10, pause_seconds=2, longest_pause_seconds=7
)  # fmt: skip
Outcome = Literal["good", "bad", "lost", "slow good", "slow bad"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from((0.0, 0.1, 1.0, 2.0, 5.0, 20.0)),
        st.sampled_from(("good", "bad", "bad", "lost", "slow good", "slow bad")),
    ),
    max_size=40,
)


class Watched:
    """A circuit beside a plain list of what came back while it was closed."""

    def __init__(self) -> None:
        self.circuit = Circuit(SETTINGS)
        self.now = 0.0
        self.closed_since: list[tuple[float, bool]] = []
        self.waiting: list[tuple[Ticket, bool]] = []

    def call(self, outcome: Outcome) -> None:
        before, left = self.circuit.state(self.now), self.circuit.left_seconds(self.now)
        if before == "open":
            with pytest.raises(CircuitOpenError) as raised:
                self.circuit.admit(self.now)
            assert 0 < raised.value.left_seconds == left <= SETTINGS.longest_pause_seconds
            return
        ticket = self.circuit.admit(self.now)
        assert ticket.is_probe is (before == "half_open")
        if ticket.is_probe:
            assert self.circuit.state(self.now) == "open", "others wait for the probe"
        if outcome.startswith("slow"):
            self.waiting.append((ticket, outcome == "slow good"))
        elif outcome != "lost":
            self.come_back(ticket, is_good=outcome == "good")

    def come_back(self, ticket: Ticket, *, is_good: bool) -> None:
        before = self.circuit.state(self.now)
        tell = self.circuit.succeeded if is_good else self.circuit.failed
        tell(ticket, self.now)
        after = self.circuit.state(self.now)
        if ticket.is_probe and after == "closed" != before:
            assert is_good
            self.closed_since = []
        elif before == "closed":
            self.closed_since.append((self.now, is_good))
            assert (after == "open") is self.should_open()
        else:
            assert after != "closed" or ticket.is_probe, (
                "what began before it opened closes nothing"
            )

    def should_open(self) -> bool:
        outcomes = [is_good for _, is_good in self.closed_since]
        recent = [good for at, good in self.closed_since if int(at) > int(self.now) - 10]
        in_a_row = len(outcomes) >= 3 and not any(outcomes[-3:])
        share = recent.count(False) >= 3 and 2 * recent.count(False) >= len(recent)
        return not outcomes[-1] and (in_a_row or share)


@given(STEPS)
@examples(100)
def test_whatever_happens_a_circuit_is_what_it_has_to_be(
    steps: list[tuple[float, Outcome]],
) -> None:
    watched = Watched()
    for seconds, outcome in steps:
        watched.now += seconds
        if seconds >= 1 and watched.waiting:
            ticket, is_good = watched.waiting.pop(0)
            watched.come_back(ticket, is_good=is_good)
        watched.call(outcome)
    # Once the store is up again it is asked again, at the latest after the longest pause.
    watched.now += SETTINGS.longest_pause_seconds
    watched.call("good")
    assert watched.circuit.state(watched.now) == "closed" or watched.waiting


def test_a_store_that_is_slow_to_fail_opens_it_too() -> None:
    circuit = Circuit(SETTINGS)
    for number in range(3):
        circuit.failed(circuit.admit(number * 60.0), number * 60.0)
    assert circuit.state(120.0) == "open"
    assert circuit.opened == 1


def test_a_probe_that_never_comes_back_is_followed_by_another() -> None:
    circuit = Circuit(SETTINGS)
    for _ in range(3):
        circuit.failed(circuit.admit(0.0), 0.0)
    lost = circuit.admit(2.0)
    with pytest.raises(CircuitOpenError):
        circuit.admit(3.9)
    circuit.succeeded(circuit.admit(4.0), 4.0)
    assert circuit.state(4.0) == "closed"
    for _ in range(2):
        circuit.failed(lost, 5.0)  # it came back after all, and says nothing any more
    circuit.failed(circuit.admit(5.0), 5.0)
    assert circuit.state(5.0) == "closed"
