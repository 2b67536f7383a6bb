"""Wide rows in one SQLite file: many processes read beside those that write."""

import os
import sqlite3
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Final

import polars as pl

from stores.wide_rows.deadline import spending
from stores.wide_rows.limits import (
    cells_of,
    check_document,
    check_most_rows,
    checked_cells,
    checked_families,
    merged_ranges,
)
from stores.wide_rows.port import FAMILIES, WideRowsUnavailableError

PAGE_BYTES: Final = 8_192
MAPPED_BYTES: Final = 1 << 30
CHECKPOINT_PAGES: Final = 4_000

_CREATE: Final = """
CREATE TABLE cells (
  row_key BLOB NOT NULL, family TEXT NOT NULL, qualifier BLOB NOT NULL,
  version INTEGER NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (row_key, family, qualifier)
) WITHOUT ROWID"""
_WRITE: Final = """
INSERT INTO cells VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET version = excluded.version, value = excluded.value
WHERE excluded.version >= version"""
_HELD: Final = """
SELECT value, version FROM cells WHERE row_key = ? AND family = 'c' AND qualifier = ?"""

_Cell = tuple[bytes, str, bytes, int, bytes]


class SqliteWideRows:
    """The port ``WideRows`` over a file. Threads may share it; a process opens its own.

    A write is safe from the death of any process once it has returned; the loss of power may
    take the last writes, never the order in which they were made.

    Args:
        path: The file; it and its folder are created.
        busy_timeout_seconds: How long a call waits for the writer of another process.
    """

    def __init__(self, path: Path, *, busy_timeout_seconds: float = 5.0) -> None:
        self._path = path
        self._busy_timeout_seconds = busy_timeout_seconds
        self._idle: deque[sqlite3.Connection] = deque()
        self._is_closed = False
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            self._create()

    def write(self, cells: pl.DataFrame) -> None:
        """Write a frame of cells in one transaction."""
        rows = checked_cells(cells).rows()
        if not rows:
            return
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.executemany(_WRITE, rows)

    def read(
        self,
        ranges: list[tuple[bytes, bytes]],
        families: tuple[str, ...] = (),
        *,
        most_rows: int | None = None,
    ) -> pl.DataFrame:
        """The newest cells of all rows, or the first, in the ranges, all as of one moment."""
        check_most_rows(most_rows)
        merged = merged_ranges(ranges)
        return self._select("row_key >= ? AND row_key < ?", merged, families, most_rows)

    def read_rows(self, row_keys: list[bytes], families: tuple[str, ...] = ()) -> pl.DataFrame:
        """The newest cells of the named rows, ordered by key, all as of one moment."""
        return self._select("row_key = ?", [(key,) for key in sorted(set(row_keys))], families)

    def compare_and_set(
        self,
        row_key: bytes,
        qualifier: bytes,
        *,
        expected: bytes | None,
        value: bytes,
        version: int,
    ) -> bool:
        """Write a control document if its newest value is ``expected``."""
        check_document(row_key, qualifier, value, version)
        with self._transaction("BEGIN IMMEDIATE") as connection:
            held = connection.execute(_HELD, (row_key, qualifier)).fetchone()
            held_value, held_version = held or (None, -1)
            if held_value != expected or held_version >= version:
                return False
            connection.execute(_WRITE, (row_key, "c", qualifier, version, value))
            return True

    def delete(self, ranges: list[tuple[bytes, bytes]]) -> None:
        """Remove every row in the ranges, in one transaction."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.executemany(
                "DELETE FROM cells WHERE row_key >= ? AND row_key < ?", merged_ranges(ranges)
            )

    def close(self) -> None:
        """Close the connections that no call is using; those in use close when it ends."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _create(self) -> None:
        """Make the file whole under another name: two that turn it to WAL at once fail."""
        descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}-", dir=self._path.parent)
        os.close(descriptor)
        made = Path(name)
        try:
            with closing(self._connect(made)) as connection:
                connection.execute(_CREATE)
            made.chmod(0o644)
            with suppress(FileExistsError):  # another process was quicker
                self._path.hardlink_to(made)
        finally:
            made.unlink()

    def _select(
        self,
        where: str,
        parameters: Sequence[tuple[bytes, ...]],
        families: tuple[str, ...],
        most_rows: int | None = None,
    ) -> pl.DataFrame:
        wanted = checked_families(families)
        query = f"SELECT * FROM cells WHERE {where}"  # noqa: S608 - two constants of this module
        if len(wanted) < len(FAMILIES):
            query += f" AND family IN ({', '.join('?' * len(wanted))})"
        else:
            wanted = ()
        rows: list[_Cell] = []
        with self._transaction("BEGIN") as connection:
            found = (connection.execute(query, (*values, *wanted)) for values in parameters)
            if most_rows is None:
                for cells in found:
                    rows += cells
            else:
                rows += _of_first_rows(chain.from_iterable(found), most_rows)
        return cells_of(rows)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with spending(self._busy_timeout_seconds), self._connection() as connection:
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection of one call's own; it is closed, which rolls back, if the call fails."""
        connection = None
        try:
            connection = self._idle_connection() or self._connect(self._path)
            yield connection
        except sqlite3.OperationalError as error:
            raise WideRowsUnavailableError(f"the wide rows in {self._path}: {error}") from error
        else:
            if not self._is_closed:
                self._idle.append(connection)
                connection = None
        finally:
            if connection is not None:
                connection.close()

    def _idle_connection(self) -> sqlite3.Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connect(self, path: Path) -> sqlite3.Connection:
        if self._is_closed:
            raise ValueError(f"the wide rows in {self._path} are closed; open them again")
        connection = sqlite3.connect(
            path,
            timeout=self._busy_timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        for name, value in (
            ("page_size", PAGE_BYTES),
            ("journal_mode", "WAL"),
            ("synchronous", "NORMAL"),
            ("wal_autocheckpoint", CHECKPOINT_PAGES),
            ("mmap_size", MAPPED_BYTES),
        ):
            connection.execute(f"PRAGMA {name} = {value}")
        return connection


def _of_first_rows(cells: Iterable[_Cell], count: int) -> Iterator[_Cell]:
    """The cells of the first so many rows; no further ones are asked for."""
    for _, row in islice(groupby(cells, key=itemgetter(0)), count):
        yield from row
