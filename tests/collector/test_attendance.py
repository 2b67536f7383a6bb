import json
import threading
import time
from pathlib import Path

from collector.attendance import Attendance


def test_the_note_is_kept_fresh_and_the_duty_done_while_the_main_thread_is_busy(
    tmp_path: Path,
) -> None:
    note_path = tmp_path / "run" / "service.json"
    numbers = iter(range(1_000_000))
    done = threading.Semaphore(0)
    attendance = Attendance(
        note_path,
        lambda: {"number": next(numbers)},
        duty=done.release,
        duty_seconds=0.02,
        note_seconds=0.01,
    )
    attendance.start()
    for _ in range(3):
        assert done.acquire(timeout=10)
    between = json.loads(note_path.read_bytes())["number"]
    attendance.end()
    assert json.loads(note_path.read_bytes())["number"] > between >= 2
    assert list(note_path.parent.iterdir()) == [note_path]


def test_a_note_that_cannot_be_written_does_not_end_the_duty(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"a file where the folder should be")
    done = threading.Semaphore(0)
    attendance = Attendance(
        tmp_path / "run" / "service.json",
        dict,
        duty=done.release,
        duty_seconds=0.0,
        note_seconds=0.01,
    )
    started = time.monotonic()
    attendance.start()
    for _ in range(3):
        assert done.acquire(timeout=10)
    attendance.end()
    assert time.monotonic() - started < 10
