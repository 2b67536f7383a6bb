"""The embedded bus's file: topics, messages, subscriptions and what these have acknowledged.

A message is named by its publish time in UTC µs, which is unique and strictly increasing over the
whole file: it is row id, order and message id in one. One connection writes, one reads; both may
be used from any thread.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stores.bus.limits import already_exists, not_found

FILE_NAME: Final = "bus.sqlite3"

_PRAGMAS: Final = (
    "PRAGMA page_size = 16384",  # a message is hundreds of KB: fewer overflow pages to chain
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 10000",
    "PRAGMA journal_size_limit = 67108864",
)
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS topics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT UNIQUE,  -- null once deleted
    retention_seconds INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS messages (
    published_at INTEGER PRIMARY KEY,
    topic_id INTEGER NOT NULL,
    size INTEGER NOT NULL,
    message BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_of_topic ON messages (topic_id, published_at, size);
CREATE TABLE IF NOT EXISTS subscriptions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT UNIQUE NOT NULL,
    topic_id INTEGER NOT NULL,
    ack_deadline_seconds INTEGER NOT NULL,
    retention_seconds INTEGER NOT NULL,
    cursor INTEGER NOT NULL,
    generation INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS acknowledged (
    subscription_id INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    PRIMARY KEY (subscription_id, published_at)
) WITHOUT ROWID;
"""
_SUBSCRIPTIONS: Final = """
SELECT s.id, s.name, s.topic_id, coalesce(t.name, '_deleted_topic_'), s.ack_deadline_seconds,
       s.retention_seconds, s.cursor, s.generation
FROM subscriptions s JOIN topics t ON t.id = s.topic_id
"""


@dataclass(frozen=True)
class TopicRow:
    """A topic; ``retention_seconds`` is how long it keeps a message at least."""

    topic_id: int
    name: str
    retention_seconds: int


@dataclass(frozen=True)
class SubscriptionRow:
    """A subscription.

    Attributes:
        cursor: Every message published at it (UTC µs) or before is acknowledged.
        generation: Counts the seeks; deliveries from before a seek are void.
    """

    subscription_id: int
    name: str
    topic_id: int
    topic_name: str
    ack_deadline_seconds: int
    retention_seconds: int
    cursor: int
    generation: int


class Storage:
    """The file. Every change is committed on return and survives the death of the process."""

    def __init__(self, folder: Path, *, clock_us: Callable[[], int]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._clock_us = clock_us
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writer = _connect(folder / FILE_NAME)
        self._writer.executescript(_SCHEMA)
        self._reader = _connect(folder / FILE_NAME)
        self._last_stamp = self._newest_stamp()
        self.message_bytes: int = self._writer.execute(
            "SELECT coalesce(sum(size), 0) FROM messages INDEXED BY messages_of_topic"
        ).fetchone()[0]

    def close(self) -> None:
        """Close the file; it is left without a journal."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    def create_topic(self, name: str, retention_seconds: int) -> TopicRow:
        """A new topic; refused if there is one of that name."""
        with self._transaction() as writer:
            try:
                topic_id = writer.execute(
                    "INSERT INTO topics (name, retention_seconds) VALUES (?, ?)",
                    (name, retention_seconds),
                ).lastrowid
            except sqlite3.IntegrityError as error:
                raise already_exists(name) from error
        assert topic_id is not None
        return TopicRow(topic_id, name, retention_seconds)

    def delete_topic(self, topic_id: int) -> None:
        """Forget the name; the messages stay for the subscriptions until they are swept."""
        with self._transaction() as writer:
            writer.execute("UPDATE topics SET name = NULL WHERE id = ?", (topic_id,))

    def topics(self) -> list[TopicRow]:
        """Every topic, by id; the name of a deleted one is empty."""
        rows = self._read("SELECT id, coalesce(name, ''), retention_seconds FROM topics")
        return [TopicRow(*row) for row in rows]

    def drop_topic(self, topic_id: int) -> None:
        """Remove a deleted topic that no subscription reads any more."""
        with self._transaction() as writer:
            writer.execute("DELETE FROM topics WHERE id = ?", (topic_id,))

    def create_subscription(
        self, name: str, topic: TopicRow, *, ack_deadline_seconds: int, retention_seconds: int
    ) -> SubscriptionRow:
        """A new subscription, which sees what is published from now on; refused if it exists."""
        with self._transaction() as writer:
            try:
                writer.execute(
                    "INSERT INTO subscriptions (name, topic_id, ack_deadline_seconds, "
                    "retention_seconds, cursor, generation) VALUES (?, ?, ?, ?, ?, 0)",
                    (name, topic.topic_id, ack_deadline_seconds, retention_seconds, self._stamp()),
                )
            except sqlite3.IntegrityError as error:
                raise already_exists(name) from error
            return SubscriptionRow(
                *writer.execute(_SUBSCRIPTIONS + "WHERE s.name = ?", (name,)).fetchone()
            )

    def delete_subscription(self, subscription_id: int) -> None:
        """Forget the subscription and what it acknowledged."""
        with self._transaction() as writer:
            writer.execute("DELETE FROM subscriptions WHERE id = ?", (subscription_id,))
            writer.execute("DELETE FROM acknowledged WHERE subscription_id = ?", (subscription_id,))

    def subscription(self, name: str) -> SubscriptionRow:
        """The subscription of that name; refused if there is none."""
        rows = self._read(_SUBSCRIPTIONS + "WHERE s.name = ?", (name,))
        if not rows:
            raise not_found(name)
        return SubscriptionRow(*rows[0])

    def subscriptions(self) -> list[SubscriptionRow]:
        """Every subscription, by name."""
        return [SubscriptionRow(*row) for row in self._read(_SUBSCRIPTIONS + "ORDER BY s.name")]

    def append(self, topic_id: int, encoders: Sequence[Callable[[int], bytes]]) -> list[int]:
        """Stamp and keep messages in order; returns their publish times.

        Each encoder is given the publish time and returns the message's bytes.
        """
        with self._transaction() as writer:
            rows = []
            for encode in encoders:
                stamp = self._stamp()
                message = encode(stamp)
                rows.append((stamp, topic_id, len(message), message))
            writer.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)
            self.message_bytes += sum(row[2] for row in rows)
        return [row[0] for row in rows]

    def last_published(self, topic_id: int) -> int:
        """Publish time of the topic's newest message, 0 when it has none."""
        query = "SELECT coalesce(max(published_at), 0) FROM messages WHERE topic_id = ?"
        return int(self._read(query, (topic_id,))[0][0])

    def after(self, topic_id: int, published_at: int, limit: int) -> list[tuple[int, int]]:
        """(publish time, bytes) of the first messages after ``published_at``."""
        return self._read(
            "SELECT published_at, size FROM messages INDEXED BY messages_of_topic "
            "WHERE topic_id = ? AND published_at > ? ORDER BY published_at LIMIT ?",
            (topic_id, published_at, limit),
        )

    def message(self, published_at: int) -> bytes | None:
        """The bytes of one message, nothing if it was swept."""
        rows = self._read("SELECT message FROM messages WHERE published_at = ?", (published_at,))
        return rows[0][0] if rows else None

    def acknowledge(self, subscription_id: int, cursor: int, above: Sequence[int]) -> None:
        """Keep a subscription's new cursor and the messages acknowledged above it."""
        with self._transaction() as writer:
            writer.execute(
                "UPDATE subscriptions SET cursor = ? WHERE id = ?", (cursor, subscription_id)
            )
            writer.execute(
                "DELETE FROM acknowledged WHERE subscription_id = ? AND published_at <= ?",
                (subscription_id, cursor),
            )
            writer.executemany(
                "INSERT OR IGNORE INTO acknowledged VALUES (?, ?)",
                [(subscription_id, published_at) for published_at in above],
            )

    def acknowledged(self, subscription_id: int) -> set[int]:
        """What a subscription has acknowledged above its cursor."""
        query = "SELECT published_at FROM acknowledged WHERE subscription_id = ?"
        return {row[0] for row in self._read(query, (subscription_id,))}

    def seek(self, subscription_id: int, instant_us: int) -> int:
        """Acknowledge exactly what was published before ``instant_us``; returns the cursor.

        An instant in the future means now: nothing unseen is ever given up.
        """
        with self._transaction() as writer:
            cursor = min(instant_us - 1, self._stamp())
            writer.execute(
                "UPDATE subscriptions SET cursor = ?, generation = generation + 1 WHERE id = ?",
                (cursor, subscription_id),
            )
            writer.execute("DELETE FROM acknowledged WHERE subscription_id = ?", (subscription_id,))
        return cursor

    def delete_messages(self, topic_id: int, through: int, limit: int) -> int:
        """Delete the topic's ``limit`` oldest messages published at ``through`` or before.

        Returns how many were deleted.
        """
        doomed = [
            (published_at, size)
            for published_at, size in self.after(topic_id, -1, limit)
            if published_at <= through
        ]
        with self._transaction() as writer:
            writer.executemany(
                "DELETE FROM messages WHERE published_at = ?", [(row[0],) for row in doomed]
            )
            self.message_bytes -= sum(size for _, size in doomed)
        return len(doomed)

    def _stamp(self) -> int:
        """The next instant: the clock's, or one more than the last where that stands still."""
        self._last_stamp = max(self._last_stamp + 1, self._clock_us())
        return self._last_stamp

    def _newest_stamp(self) -> int:
        newest: int = self._writer.execute(
            "SELECT max((SELECT coalesce(max(published_at), 0) FROM messages), "
            "(SELECT coalesce(max(cursor), 0) FROM subscriptions))"
        ).fetchone()[0]
        return newest

    def _read(self, query: str, parameters: tuple[int | str, ...] = ()) -> list[tuple]:  # type: ignore[type-arg]
        with self._read_lock:
            return self._reader.execute(query, parameters).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    return connection
