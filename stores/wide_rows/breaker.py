"""A circuit breaker before wide rows: a store that is down is asked seldom.

After some failures in a row the circuit opens: calls fail at once, without the store. When the
pause is over one call is let through; if it succeeds the circuit closes, if it fails the pause
doubles.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

import polars as pl

from stores.wide_rows.port import WideRows, WideRowsUnavailableError

T = TypeVar("T")


class BreakingWideRows:
    """The port ``WideRows`` in front of another one.

    Args:
        wide_rows: The store behind it; closed with it.
        clock: Monotonic seconds.
        failures: How many calls in a row have to fail before the circuit opens.
        pause_seconds: How long it stays open at first.
        longest_pause_seconds: The pause beyond which it is not doubled.
    """

    def __init__(
        self,
        wide_rows: WideRows,
        *,
        clock: Callable[[], float],
        failures: int = 5,
        pause_seconds: float = 1.0,
        longest_pause_seconds: float = 30.0,
    ) -> None:
        self._wide_rows = wide_rows
        self._clock = clock
        self._failures = failures
        self._first_pause = pause_seconds
        self._longest_pause = longest_pause_seconds
        self._lock = threading.Lock()
        self._failed = 0
        self._pause = pause_seconds
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the store is held to be down."""
        return self._failed >= self._failures

    def write(self, cells: pl.DataFrame) -> None:
        """Write, unless the circuit is open."""
        self._call(lambda: self._wide_rows.write(cells))

    def read(
        self,
        ranges: list[tuple[bytes, bytes]],
        families: tuple[str, ...] = (),
        *,
        most_rows: int | None = None,
    ) -> pl.DataFrame:
        """Read ranges, unless the circuit is open."""
        return self._call(lambda: self._wide_rows.read(ranges, families, most_rows=most_rows))

    def read_rows(self, row_keys: list[bytes], families: tuple[str, ...] = ()) -> pl.DataFrame:
        """Read rows, unless the circuit is open."""
        return self._call(lambda: self._wide_rows.read_rows(row_keys, families))

    def compare_and_set(
        self,
        row_key: bytes,
        qualifier: bytes,
        *,
        expected: bytes | None,
        value: bytes,
        version: int,
    ) -> bool:
        """Set a document, unless the circuit is open."""
        return self._call(
            lambda: self._wide_rows.compare_and_set(
                row_key, qualifier, expected=expected, value=value, version=version
            )
        )

    def delete(self, ranges: list[tuple[bytes, bytes]]) -> None:
        """Delete, unless the circuit is open."""
        self._call(lambda: self._wide_rows.delete(ranges))

    def close(self) -> None:
        """Close the store behind."""
        self._wide_rows.close()

    def _call(self, call: Callable[[], T]) -> T:
        is_probe = self._admit()
        try:
            answer = call()
        except WideRowsUnavailableError as error:
            self._note_failure(error, is_probe)
            raise
        with self._lock:
            self._failed, self._pause = 0, self._first_pause
        return answer

    def _admit(self) -> bool:
        """Let the call through, as the probe of an open circuit or not, or refuse it."""
        with self._lock:
            if not self.is_open:
                return False
            left = self._open_until - self._clock()
            if left > 0:
                raise WideRowsUnavailableError(
                    f"the wide rows failed {self._failed} times in a row; next try in {left:.1f} s",
                    retry_after_seconds=left,
                )
            # Until the probe has come back, or for a pause if it never does, the others wait.
            self._open_until = self._clock() + self._pause
            return True

    def _note_failure(self, error: WideRowsUnavailableError, is_probe: bool) -> None:
        with self._lock:
            was_open = self.is_open
            self._failed += 1
            if is_probe:
                self._pause = min(2 * self._pause, self._longest_pause)
            if is_probe or (self.is_open and not was_open):
                self._open_until = self._clock() + self._pause
            if self.is_open:
                error.retry_after_seconds = max(0.0, self._open_until - self._clock())
