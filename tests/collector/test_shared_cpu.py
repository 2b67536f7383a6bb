"""A worker's threads stay together on one CPU, and leave it to others who need it."""

import os
import threading
from dataclasses import dataclass, field

import pytest

from collector.shared_cpu import LOOK_SECONDS, SharedCpu, idle_seconds_of_cpus, place_thread


@dataclass
class Machine:
    """Two CPUs and a process, as a test wants them to have been used."""

    now: float = 0.0
    used: float = 0.0
    idle: dict[int, float] = field(default_factory=lambda: {4: 0.0, 7: 0.0, 9: 0.0})
    draws: list[float] = field(default_factory=lambda: [0.0])
    placed: dict[int, int] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)

    def place(self, thread: int, cpu: int) -> None:
        if thread in self.gone:
            raise ProcessLookupError
        self.placed[thread] = cpu

    def shared_cpu(self) -> SharedCpu:
        return SharedCpu(
            (4, 7),
            idle_seconds=lambda: dict(self.idle),
            place=self.place,
            stopwatch=lambda: self.now,
            used_seconds=lambda: self.used,
            draw=lambda: self.draws.pop(0) if self.draws else 0.0,
        )

    def passes(self, *, used: float, idle_4: float, idle_7: float) -> None:
        """``LOOK_SECONDS`` go by, of which these shares were used by us, and idle."""
        self.now += LOOK_SECONDS
        self.used += used * LOOK_SECONDS
        self.idle[4] += idle_4 * LOOK_SECONDS
        self.idle[7] += idle_7 * LOOK_SECONDS
        self.idle[9] += LOOK_SECONDS


def in_a_thread(act) -> int:
    """Runs ``act`` in a thread of its own; its native id."""
    found = []
    thread = threading.Thread(target=lambda: (act(), found.append(threading.get_native_id())))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(("draw", "cpu"), [(0.0, 4), (0.49, 4), (0.5, 7), (0.99, 7)])
def test_every_thread_that_joins_is_brought_to_one_cpu_by_lot(draw, cpu):
    machine = Machine(draws=[draw])
    shared = machine.shared_cpu()
    threads = [in_a_thread(shared.join) for _ in range(3)]
    assert {machine.placed[thread] for thread in threads} == {cpu}


def test_a_thread_is_placed_once():
    machine = Machine()
    shared = machine.shared_cpu()
    shared.join()
    machine.placed.clear()
    shared.join()
    assert machine.placed == {}


@pytest.mark.parametrize(
    ("used", "idle_4", "idle_7", "moves"),
    [
        pytest.param(0.1, 0.2, 0.9, True, id="others use ours and another is idle"),
        pytest.param(0.5, 0.0, 1.0, True, id="another worker has half of it"),
        pytest.param(0.9, 0.0, 1.0, False, id="we fill it ourselves"),
        pytest.param(0.1, 0.0, 0.1, False, id="the other is no better"),
        pytest.param(0.1, 0.8, 1.0, False, id="there is room for all"),
    ],
)
def test_the_threads_move_when_others_take_their_cpu(used, idle_4, idle_7, moves):
    machine = Machine()
    shared = machine.shared_cpu()
    shared.join()
    machine.passes(used=used, idle_4=idle_4, idle_7=idle_7)
    shared.look_when_due()
    assert machine.placed == {threading.get_native_id(): 7 if moves else 4}
    assert shared.cpu == (7 if moves else 4), "a thread that joins now follows"


def test_of_workers_that_meet_on_a_cpu_not_all_leave_it():
    machine = Machine(draws=[0.0, 0.9])
    shared = machine.shared_cpu()
    machine.passes(used=0.5, idle_4=0.0, idle_7=1.0)
    shared.look_when_due()
    assert shared.cpu == 4
    machine.passes(used=0.5, idle_4=0.0, idle_7=1.0)
    shared.look_when_due()
    assert shared.cpu == 7


def test_between_two_looks_nothing_moves():
    machine = Machine()
    shared = machine.shared_cpu()
    machine.passes(used=0.1, idle_4=0.0, idle_7=1.0)
    machine.now -= 0.01
    shared.look_when_due()
    assert shared.cpu == 4


def test_threads_that_have_ended_are_forgotten():
    machine = Machine()
    shared = machine.shared_cpu()
    ended = in_a_thread(shared.join)
    machine.gone.add(ended)
    machine.passes(used=0.1, idle_4=0.0, idle_7=1.0)
    shared.look_when_due()
    machine.gone.clear()
    machine.placed.clear()
    machine.passes(used=0.1, idle_4=1.0, idle_7=0.0)
    shared.look_when_due()
    assert machine.placed == {}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be placed here")
def test_only_the_thread_that_is_placed_is_bound_to_the_cpu():
    before = os.sched_getaffinity(0)
    cpu = max(before)
    assert idle_seconds_of_cpus().keys() >= before
    seen = []

    def act():
        place_thread(threading.get_native_id(), cpu)
        seen.append(os.sched_getaffinity(0))

    in_a_thread(act)
    assert seen == [{cpu}]
    assert os.sched_getaffinity(0) == before
