"""The supervisor over tiny real processes that note in a folder when they start and stop."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from cli.reaper import Reaper
from cli.screen import PlainScreen, table_of
from cli.service import Child, Service, State
from cli.supervisor import Supervisor

pytestmark = pytest.mark.slow

CHILD = textwrap.dedent(
    """
    import os, signal, subprocess, sys, time
    from pathlib import Path
    name, folder, kind = sys.argv[1], Path(sys.argv[2]), sys.argv[3]

    def note(what):
        with (folder / "events").open("a") as events:
            events.write(f"{what} {name}\\n")

    def stop(*_):
        note("stop")
        sys.exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if kind == "deaf" else stop)
    note("start")
    if kind == "crash":
        sys.exit(3)
    if kind == "parent":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (folder / f"{name}.grandchild").write_text(str(child.pid))
    print(f"hello of {name}", flush=True)
    (folder / f"{name}.ready").write_text(str(os.getpid()))
    while True:
        time.sleep(0.05)
    """
)


class RecordedScreen(PlainScreen):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, name: str, text: str) -> None:
        self.lines.append(f"{name}: {text}")


def a_service(folder: Path, name: str, stage: int = 1, kind: str = "good", **more) -> Service:
    ready = folder / f"{name}.ready"
    return Service(
        name=name,
        stage=stage,
        command=(sys.executable, "-c", CHILD, name, str(folder), kind),
        address=f"nowhere of {name}",
        is_ready=lambda pid: ready.exists() and ready.read_text() == str(pid),
        **more,
    )


def events(folder: Path) -> list[str]:
    path = folder / "events"
    return path.read_text().splitlines() if path.exists() else []


def eventually(condition, seconds: float = 20.0) -> None:
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come true in time"
        time.sleep(0.02)


def run_until(supervisor: Supervisor, *steps) -> bool:
    """Run the supervisor here, in the main thread; the steps in another, then stop."""
    failures: list[BaseException] = []

    def act() -> None:
        try:
            for step in steps:
                step()
        except BaseException as error:
            failures.append(error)
        finally:
            supervisor.request_stop()

    thread = threading.Thread(target=act)
    thread.start()
    in_order = supervisor.run()
    thread.join()
    if failures:
        raise failures[0]
    return in_order


def all_ready(supervisor: Supervisor):
    return lambda: eventually(
        lambda: all(child.state is State.READY for child in supervisor.children)
    )


def test_stages_start_in_order_and_stop_in_the_opposite_one(tmp_path):
    screen = RecordedScreen()
    supervisor = Supervisor(
        [
            a_service(tmp_path, "last", 3),
            a_service(tmp_path, "first", 1),
            a_service(tmp_path, "middle", 2),
        ],
        screen,
    )
    assert run_until(supervisor, all_ready(supervisor))
    assert events(tmp_path) == [
        "start first",
        "start middle",
        "start last",
        "stop last",
        "stop middle",
        "stop first",
    ]
    assert "first: hello of first" in screen.lines
    assert "up: middle is ready: nowhere of middle" in screen.lines
    assert [child.state for child in supervisor.children] == [State.STOPPED] * 3


def test_on_ready_is_called_once_when_all_are_ready(tmp_path):
    calls = []
    supervisor = Supervisor(
        [a_service(tmp_path, "one", 1), a_service(tmp_path, "two", 2)],
        RecordedScreen(),
        on_ready=lambda: calls.append(events(tmp_path)),
    )
    run_until(supervisor, all_ready(supervisor), lambda: eventually(lambda: calls))
    assert calls == [["start one", "start two"]]


def test_a_killed_service_is_started_again_and_the_others_stay(tmp_path):
    supervisor = Supervisor(
        [a_service(tmp_path, "victim", 1), a_service(tmp_path, "other", 2)], RecordedScreen()
    )
    victim = supervisor.children[0]

    def kill() -> None:
        os.kill(victim.pid, signal.SIGKILL)
        eventually(lambda: victim.restarts == 1 and victim.state is State.READY)

    run_until(supervisor, all_ready(supervisor), kill)
    assert events(tmp_path).count("start victim") == 2
    assert events(tmp_path).count("start other") == 1


def test_what_keeps_dying_is_started_again_after_longer_and_longer_waits(tmp_path):
    screen = RecordedScreen()
    supervisor = Supervisor([a_service(tmp_path, "sick", kind="crash")], screen)
    run_until(supervisor, lambda: eventually(lambda: supervisor.children[0].restarts == 2))
    waits = [line for line in screen.lines if "exit status 3" in line]
    assert waits[:2] == [
        "up: sick ended (exit status 3); again in 0.5 s",
        "up: sick ended (exit status 3); again in 1.0 s",
    ]


def test_the_next_stage_waits_until_a_sick_one_has_been_ready(tmp_path):
    supervisor = Supervisor(
        [a_service(tmp_path, "sick", 1, kind="crash"), a_service(tmp_path, "next", 2)],
        RecordedScreen(),
    )
    run_until(supervisor, lambda: eventually(lambda: supervisor.children[0].restarts == 1))
    assert "start next" not in events(tmp_path)


def test_the_next_stage_does_not_wait_for_what_does_not_hold_it(tmp_path):
    sick = a_service(tmp_path, "sick", 1, kind="crash", holds_next=False)
    supervisor = Supervisor([sick, a_service(tmp_path, "next", 2)], RecordedScreen())
    run_until(supervisor, lambda: eventually(lambda: "start next" in events(tmp_path)))


def test_the_wait_is_short_again_after_a_stable_run(tmp_path):
    reaper = Reaper()
    child = Child(a_service(tmp_path, "sick", kind="crash"), reaper)
    waits = []
    for started, ended in ((0.0, 1.0), (2.0, 3.0), (5.0, 6.0), (10.0, 45.0)):
        os.close(child.start(started))
        child.process.wait()
        child.reap(ended)
        waits.append(child.start_again_at - ended)
    reaper.close()
    assert waits == [0.5, 1.0, 2.0, 0.5]


def test_a_stage_is_drained_before_it_is_stopped(tmp_path):
    asked = []

    def is_idle() -> bool:
        asked.append(events(tmp_path)[-1])
        return len(asked) >= 3

    supervisor = Supervisor(
        [
            a_service(tmp_path, "sink", 1, is_idle=is_idle, drain_seconds=20),
            a_service(tmp_path, "source", 2),
        ],
        RecordedScreen(),
    )
    run_until(supervisor, all_ready(supervisor))
    assert asked == ["stop source"] * 3
    assert events(tmp_path)[-1] == "stop sink"


def test_draining_is_bounded(tmp_path):
    screen = RecordedScreen()
    supervisor = Supervisor(
        [a_service(tmp_path, "sink", is_idle=lambda: False, drain_seconds=0.3)], screen
    )
    run_until(supervisor, all_ready(supervisor))
    assert "up: sink still had work to do" in screen.lines


def test_what_has_not_been_started_is_not_waited_for(tmp_path):
    screen = RecordedScreen()
    late = a_service(tmp_path, "late", 2, is_idle=lambda: False, drain_seconds=600)
    supervisor = Supervisor([a_service(tmp_path, "sick", 1, kind="crash"), late], screen)
    run_until(supervisor, lambda: eventually(lambda: "start sick" in events(tmp_path)))
    assert "start late" not in events(tmp_path)


def test_a_second_request_does_not_wait_for_what_is_left(tmp_path):
    supervisor = Supervisor(
        [a_service(tmp_path, "sink", is_idle=lambda: False, drain_seconds=600)], RecordedScreen()
    )
    run_until(supervisor, all_ready(supervisor), supervisor.request_stop)
    assert events(tmp_path)[-1] == "stop sink"


def test_a_service_that_does_not_stop_is_killed_and_said_so(tmp_path):
    screen = RecordedScreen()
    supervisor = Supervisor([a_service(tmp_path, "deaf", kind="deaf", stop_seconds=0.3)], screen)
    assert not run_until(supervisor, all_ready(supervisor))
    assert supervisor.children[0].state is State.KILLED
    assert "up: deaf did not stop in time: killed" in screen.lines


def test_a_service_that_waits_for_its_children_is_stopped_with_them(tmp_path):
    patient = [
        sys.executable, "-c",
        "import subprocess, sys, signal; signal.signal(signal.SIGTERM, lambda *_: None); "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open({str(tmp_path / 'ready')!r}, 'w').close(); child.wait()",
    ]  # fmt: skip
    service = Service(
        name="patient",
        stage=1,
        command=tuple(patient),
        address="nowhere",
        is_ready=lambda _pid: (tmp_path / "ready").exists(),
        stops_group=True,
    )
    supervisor = Supervisor([service], RecordedScreen())
    assert run_until(supervisor, all_ready(supervisor))
    assert supervisor.children[0].state is State.STOPPED


def test_children_of_a_killed_service_go_with_it(tmp_path):
    supervisor = Supervisor([a_service(tmp_path, "family", kind="parent")], RecordedScreen())
    [family] = supervisor.children

    def kill() -> None:
        grandchild = int((tmp_path / "family.grandchild").read_text())
        os.kill(family.pid, signal.SIGKILL)
        eventually(lambda: not is_running(grandchild))

    run_until(supervisor, all_ready(supervisor), kill)


def test_a_killed_supervisor_leaves_no_process_behind(tmp_path):
    script = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_supervisor import RecordedScreen, Supervisor, a_service
        folder = Path({str(tmp_path)!r})
        Supervisor(
            [a_service(folder, "one"), a_service(folder, "family", kind="parent")],
            RecordedScreen(),
            on_ready=lambda: (folder / "all-ready").touch(),
        ).run()
        """
    )
    supervisor = subprocess.Popen([sys.executable, "-c", script])
    try:
        eventually((tmp_path / "all-ready").exists)
        family = psutil.Process(supervisor.pid).children(recursive=True)
        assert len(family) == 4  # the reaper, two services, the child of one
    finally:
        supervisor.kill()
        supervisor.wait()
    eventually(lambda: not any(is_running(process.pid) for process in family), seconds=15)
    assert "stop one" in events(tmp_path)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_table_shows_state_pid_restarts_and_address(tmp_path):
    child = Child(a_service(tmp_path, "one"), Reaper())
    child.restarts = 4
    cells = [list(column.cells) for column in table_of([child]).columns]
    assert [str(cell[0]) for cell in cells] == ["one", "waiting", "", "4", "nowhere of one"]


def the_reaper() -> psutil.Process:
    """Its process; a program that has just begun has no command line for a moment."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        for child in psutil.Process().children():
            if "reaper" in "".join(child.cmdline()):
                return child
        time.sleep(0.01)
    raise AssertionError("no reaper was started")


def test_a_reaper_that_died_is_replaced_and_knows_every_group(tmp_path):
    reaper = Reaper()
    sleepers = [
        subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
        )
        for _ in range(2)
    ]
    reaper.add(sleepers[0].pid)
    process = the_reaper()
    process.kill()
    process.wait()
    reaper.add(sleepers[1].pid)
    waiters = [threading.Thread(target=sleeper.wait) for sleeper in sleepers]
    for waiter in waiters:  # an ended child counts as alive until it is waited for
        waiter.start()
    reaper.close()
    for waiter in waiters:
        waiter.join(timeout=5)
    assert [sleeper.returncode for sleeper in sleepers] == [-signal.SIGTERM] * 2
