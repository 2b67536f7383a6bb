"""Quotas of several workers: what each has used, in a SQLite file that all of a machine share.

A worker writes rows of its own alone, absolute amounts, and reads those that others have changed
since it last looked. Nothing waits for it: it is exchanged beside requests, twice a second or so.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from tallymark.quotas import Amount, Entry
from tallymark.slots import HOUR_US

KEPT_US: Final = 50 * HOUR_US
"""Longer than any local day lasts."""
ALIVE_US: Final = 2_000_000
"""A worker that has said nothing for so long answers no requests any more."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS amounts (
  worker TEXT NOT NULL, property_id INTEGER NOT NULL, category TEXT NOT NULL,
  caller TEXT NOT NULL, period TEXT NOT NULL, number INTEGER NOT NULL,
  tokens INTEGER NOT NULL, errors INTEGER NOT NULL,
  change INTEGER NOT NULL, written_at INTEGER NOT NULL,
  PRIMARY KEY (worker, property_id, category, caller, period, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS amounts_by_change ON amounts (change);
CREATE TABLE IF NOT EXISTS changes (only INTEGER PRIMARY KEY CHECK (only = 1), number INTEGER);
INSERT OR IGNORE INTO changes VALUES (1, 0);
CREATE TABLE IF NOT EXISTS workers (
  worker TEXT PRIMARY KEY, running BLOB NOT NULL, written_at INTEGER NOT NULL
) WITHOUT ROWID;
"""
_READ: Final = """
SELECT worker, property_id, category, caller, period, number, tokens, errors
FROM amounts WHERE change > ? AND worker <> ?"""
_RUNNING: Final = "SELECT running FROM workers WHERE worker <> ? AND written_at > ?"

Running = Mapping[tuple[int, str], int]


class QuotaAccounts:
    """One worker's view of the file. Not safe among threads.

    Every method raises ``sqlite3.Error`` when the file cannot be used; the same call may succeed
    later, and nothing is lost by repeating it.

    Args:
        path: The file; it and its folder are created.
        worker: A name that no other worker has, nor one that ran before.
        busy_timeout_seconds: How long it waits for another that writes.
    """

    def __init__(self, path: Path, worker: str, *, busy_timeout_seconds: float = 1.0) -> None:
        self._path = path
        self._worker = worker
        self._busy_timeout_seconds = busy_timeout_seconds
        self._connection: sqlite3.Connection | None = None
        self._seen = 0
        self._is_running = False

    def exchange(
        self, amounts: Mapping[Entry, Amount], running: Running, now_us: int
    ) -> tuple[dict[str, dict[Entry, Amount]], list[Running]]:
        """Say what this worker has used, and hear what others have.

        Args:
            amounts: Those of this worker that have changed.
            running: How many requests it answers now.
            now_us: UTC µs.

        Returns:
            The amounts of each other worker that have changed since the last call, at first all;
            and how many requests each of those that live answers.
        """
        with self._opened() as connection:
            if amounts or running or self._is_running:
                connection.execute("BEGIN IMMEDIATE")
                self._write(connection, amounts, running, now_us)
            else:
                connection.execute("BEGIN")
            (newest,) = connection.execute("SELECT number FROM changes").fetchone()
            changed = connection.execute(_READ, (self._seen, self._worker)).fetchall()
            alive = connection.execute(_RUNNING, (self._worker, now_us - ALIVE_US)).fetchall()
        self._seen, self._is_running = newest, bool(running)
        others: dict[str, dict[Entry, Amount]] = {}
        for worker, *entry, tokens, errors in changed:
            others.setdefault(worker, {})[Entry(*entry)] = Amount(tokens, errors)
        return others, [
            {(of, category): count for of, category, count in orjson.loads(document)}
            for (document,) in alive
        ]

    def _write(
        self,
        connection: sqlite3.Connection,
        amounts: Mapping[Entry, Amount],
        running: Running,
        now_us: int,
    ) -> None:
        connection.execute("UPDATE changes SET number = number + 1")
        (change,) = connection.execute("SELECT number FROM changes").fetchone()
        rows = [
            (self._worker, *entry, *amount, change, now_us) for entry, amount in amounts.items()
        ]
        connection.executemany("REPLACE INTO amounts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        document = orjson.dumps([[*of, count] for of, count in running.items()])
        connection.execute(
            "REPLACE INTO workers VALUES (?, ?, ?)", (self._worker, document, now_us)
        )

    def forget(self, now_us: int) -> None:
        """Remove what is over everywhere, of all workers."""
        with self._opened() as connection:
            connection.execute("DELETE FROM amounts WHERE written_at < ?", (now_us - KEPT_US,))
            connection.execute("DELETE FROM workers WHERE written_at < ?", (now_us - KEPT_US,))

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        """The connection, which commits when its block ends."""
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self._path,
                timeout=self._busy_timeout_seconds,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                # What a loss of power takes is some tokens that count no more.
                connection.execute("PRAGMA synchronous = OFF")
                connection.executescript(_SCHEMA)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection
