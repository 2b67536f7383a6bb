"""Attendance: a thread that speaks for a process while its main thread is busy."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

_LOG = logging.getLogger(__name__)


class Attendance(threading.Thread):
    """Writes a note each second, and does a duty every now and then.

    Args:
        note_path: The note, a JSON file that is replaced as a whole.
        note: What to write.
        duty: What to do; it must not raise.
        duty_seconds: How often.
        note_seconds: How often to write.
    """

    def __init__(
        self,
        note_path: Path,
        note: Callable[[], Mapping[str, object]],
        *,
        duty: Callable[[], None],
        duty_seconds: float,
        note_seconds: float = 1.0,
    ) -> None:
        super().__init__(name="attendance", daemon=True)
        self._note_path = note_path
        self._note = note
        self._duty = duty
        self._duty_seconds = duty_seconds
        self._note_seconds = note_seconds
        self._ended = threading.Event()

    def run(self) -> None:
        """Until ``end``."""
        done_at = time.monotonic()
        while not self._ended.is_set():
            self.write_note()
            if time.monotonic() - done_at >= self._duty_seconds:
                self._duty()
                done_at = time.monotonic()
            self._ended.wait(self._note_seconds)

    def end(self) -> None:
        """Write the last note, once the thread has ended."""
        self._ended.set()
        if self.is_alive():
            self.join()
        self.write_note()

    def write_note(self) -> None:
        """Write the note now."""
        new = self._note_path.with_suffix(".new")
        try:
            self._note_path.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(orjson.dumps(self._note()))
            new.replace(self._note_path)
        except OSError as error:  # a full disk must not end the duty
            _LOG.warning("%s not written: %s", self._note_path, error)
