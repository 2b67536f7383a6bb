"""The copy on disk of what a follower of the feed knows: SQLite, bounded, one process a file.

At all times every property in the file is as it was at the file's position, or later. So a process
that starts follows the feed from there; and a write that fails ends the use of the file, which
stays behind as it was.
"""

import fcntl
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson

MAX_PROCESSES: Final = 16
"""So many processes of one role have a copy each; another one goes without."""
_FORM: Final = 2
_SHARE_DELETED: Final = 10
_LOG: Final = logging.getLogger(__name__)
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",  # what a dying machine takes along is asked for again
    "PRAGMA journal_size_limit = 16777216",
)
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    database_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    valid_through INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS properties (
    property_id INTEGER PRIMARY KEY,
    as_of INTEGER NOT NULL,
    used INTEGER NOT NULL,  -- ascending; the least used are deleted first
    document BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS streams (
    measurement_id TEXT PRIMARY KEY,
    property_id INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS streams_of_property ON streams (property_id);
"""
_FIND: Final = "SELECT property_id, as_of, document FROM properties WHERE property_id IN "
_GIVEN: Final = "(SELECT value FROM json_each(?))"


@dataclass(frozen=True)
class CopyState:
    """Of which database the copy is, through which position, and how long it was valid (UTC µs)."""

    database_id: str
    position: int
    valid_through: int


@dataclass(frozen=True)
class StoredProperty:
    """A property as it was at the position ``as_of``; ``document`` as ``decode_properties`` reads
    it."""

    property_id: int
    as_of: int
    document: bytes
    measurement_ids: tuple[str, ...] = ()


class RulesCopy:
    """One file; calls are the caller's to serialise, from any thread. All raise ``sqlite3.Error``.

    Args:
        path: The file, made where there is none; one that cannot be read is begun anew.
        max_properties: More are not kept: those used least recently go.
    """

    def __init__(self, path: Path, *, max_properties: int) -> None:
        self._path = path
        self._max = max_properties
        try:
            self._database = self._opened()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            _LOG.warning("the copy of the rules in %s is begun anew: %s", path, error)
            self._unlink()
            self._database = self._opened()
        ask = "SELECT count(*), coalesce(max(used), 0) FROM properties"
        self.count, self._used = self._database.execute(ask).fetchone()
        self.lock: IO[bytes] | None = None

    def _opened(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)  # hashes of keys are nobody else's to read
        database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            for pragma in _PRAGMAS:
                database.execute(pragma)
            if database.execute("PRAGMA user_version").fetchone()[0] not in (0, _FORM):
                raise sqlite3.DatabaseError("it is of another form")
            database.executescript(_SCHEMA)
            database.execute(f"PRAGMA user_version = {_FORM}")
        except BaseException:
            database.close()
            raise
        return database

    def _unlink(self) -> None:
        for stale in self._path.parent.glob(self._path.name + "*"):
            stale.unlink()

    def state(self) -> CopyState | None:
        """Where the copy stands; ``None`` when it holds nothing."""
        found = self._rows("SELECT database_id, position, valid_through FROM state")
        return CopyState(*found[0]) if found else None

    def begin(self, state: CopyState) -> None:
        """Forget all, and start at ``state``."""
        with self._transaction():
            for table in ("properties", "streams", "state"):
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608  names of our own
            self._database.execute(
                "INSERT INTO state VALUES (1, ?, ?, ?)",
                (state.database_id, state.position, state.valid_through),
            )
        self.count = 0

    def move(self, position: int, valid_through: int) -> None:
        """All that changed through ``position`` is written."""
        change = "UPDATE state SET position = ?, valid_through = ?"
        self._database.execute(change, (position, valid_through))

    def write(self, stored: list[StoredProperty], in_use: Iterable[int] = ()) -> None:
        """Keep properties, instead of what there is of them.

        Args:
            stored: With their measurement ids.
            in_use: Those that count as just used when others have to go.
        """
        self._used += 1
        with self._transaction():
            self._delete([one.property_id for one in stored])
            self._database.executemany(
                "INSERT OR REPLACE INTO properties VALUES (?, ?, ?, ?)",
                [(one.property_id, one.as_of, self._used, one.document) for one in stored],
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO streams VALUES (?, ?)",
                [(name, one.property_id) for one in stored for name in one.measurement_ids],
            )
            self.count += len(stored)
            if self.count > self._max:
                self._make_room(in_use)

    def remove(self, property_ids: list[int]) -> None:
        """Drop properties that do not exist any more."""
        with self._transaction():
            self._delete(property_ids)

    def find(self, measurement_ids: Iterable[str]) -> list[StoredProperty]:
        """The properties of these measurement ids."""
        owners = f"(SELECT property_id FROM streams WHERE measurement_id IN {_GIVEN})"  # noqa: S608
        return [StoredProperty(*row) for row in self._rows(_FIND + owners, measurement_ids)]

    def find_properties(self, property_ids: Iterable[int]) -> list[StoredProperty]:
        """The properties of these ids."""
        return [StoredProperty(*row) for row in self._rows(_FIND + _GIVEN, property_ids)]

    def discard(self) -> None:
        """Close it and delete the file, so that whoever comes next begins anew."""
        self._unlink()
        self.close()

    def close(self) -> None:
        """Let the file go."""
        self._database.close()
        if self.lock is not None:
            self.lock.close()

    def _delete(self, property_ids: list[int]) -> None:
        given = (orjson.dumps(property_ids),)
        gone = f"WHERE property_id IN {_GIVEN}"
        self._database.execute(f"DELETE FROM streams {gone}", given)  # noqa: S608
        self.count -= self._database.execute(f"DELETE FROM properties {gone}", given).rowcount  # noqa: S608

    def _make_room(self, in_use: Iterable[int]) -> None:
        change = f"UPDATE properties SET used = ? WHERE property_id IN {_GIVEN}"  # noqa: S608
        self._database.execute(change, (self._used, orjson.dumps(list(in_use))))
        surplus = self.count - self._max + self._max // _SHARE_DELETED
        least = "SELECT property_id FROM properties ORDER BY used LIMIT ?"
        self._delete([row[0] for row in self._database.execute(least, (surplus,))])

    def _rows(self, ask: str, given: Iterable[Any] | None = None) -> list[tuple[Any, ...]]:
        values = () if given is None else (orjson.dumps(list(given)).decode(),)
        return self._database.execute(ask, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether it is the file that is wrong, not the disk or the call."""
    others = (sqlite3.OperationalError, sqlite3.ProgrammingError)
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, others)


def take_copy(folder: Path, role: str, *, max_properties: int) -> RulesCopy | None:
    """The first copy of ``role`` in ``folder`` that no other process has, for this one alone.

    Returns:
        ``None`` where there is none to be had, which is said in the log.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(MAX_PROCESSES):
            lock = (folder / f"{role}-{number}.lock").open("wb")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            try:
                copy = RulesCopy(folder / f"{role}-{number}.sqlite3", max_properties=max_properties)
            except BaseException:
                lock.close()
                raise
            copy.lock = lock
            return copy
    except (OSError, sqlite3.Error) as error:
        _LOG.error("no copy of the rules is kept in %s: %s", folder, error)
        return None
    _LOG.error("no copy of the rules is kept: all %d in %s are in use", MAX_PROCESSES, folder)
    return None
