"""A circuit breaker before wide rows: a store that is down is asked seldom (``tallymark.circuit``).

While the circuit is open calls fail at once, without the store, so that no thread waits for it.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

import polars as pl

from stores.wide_rows.port import WideRows, WideRowsUnavailableError
from tallymark.circuit import Circuit, CircuitOpenError, CircuitSettings, State, Ticket

T = TypeVar("T")


class BreakingWideRows:
    """The port ``WideRows`` in front of another one.

    Args:
        wide_rows: The store behind it; closed with it.
        clock: Monotonic seconds.
        settings: When the circuit opens; ``None``: the usual.
    """

    def __init__(
        self,
        wide_rows: WideRows,
        *,
        clock: Callable[[], float],
        settings: CircuitSettings | None = None,
    ) -> None:
        self._wide_rows = wide_rows
        self._clock = clock
        self._lock = threading.Lock()
        self._circuit = Circuit(settings or CircuitSettings())

    @property
    def state(self) -> State:
        """What the circuit is."""
        with self._lock:
            return self._circuit.state(self._clock())

    @property
    def opened(self) -> int:
        """How often it has opened."""
        return self._circuit.opened

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
        ticket = self._admit()
        try:
            answer = call()
        except WideRowsUnavailableError as error:
            with self._lock:
                now = self._clock()
                self._circuit.failed(ticket, now)
                left = self._circuit.left_seconds(now)
            error.retry_after_seconds = left or error.retry_after_seconds
            raise
        except BaseException:  # the store answered, or nobody knows: no probe is left behind
            self._succeed(ticket)
            raise
        self._succeed(ticket)
        return answer

    def _succeed(self, ticket: Ticket) -> None:
        with self._lock:
            self._circuit.succeeded(ticket, self._clock())

    def _admit(self) -> Ticket:
        with self._lock:
            try:
                return self._circuit.admit(self._clock())
            except CircuitOpenError as error:
                raise WideRowsUnavailableError(
                    f"the wide rows are not asked: {error}", retry_after_seconds=error.left_seconds
                ) from error
