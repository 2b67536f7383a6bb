"""The database: SQLite in a data folder or PostgreSQL, and the transactions on it.

Writers come one after the other, since each locks the row of ``feed`` first. So what a transaction
has read stays true until it commits, and changes are numbered in the order of their commits,
without gaps: nobody ever sees change N + 1 before change N.
"""

import logging
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, insert, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from config_api.errors import DatabaseUnavailableError, DatabaseVersionError
from config_api.tables import FEED
from config_api.transaction import MANY_COMMIT_SECONDS, RandomBytes, Transaction

BUSY_SECONDS: Final = 30
"""So long a writer waits for another; none takes as long (``MANY_COMMIT_SECONDS``)."""
CONNECT_SECONDS: Final = 10
ATTEMPTS: Final = 3
MIGRATIONS: Final = Path(__file__).parent / "migrations"
_WRITES: Final = "tallymark_writes"
_MIGRATION_LOCK: Final = 7_461_118

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Database:
    """The database at ``url``; safe to share among threads. Nothing is done until it is asked.

    Args:
        url: ``sqlite:PATH`` or ``postgresql://USER@HOST/NAME``.
        now_us: UTC µs.
        random_bytes: Where ids and secrets come from.
        stopwatch: Seconds that never go back.
    """

    def __init__(
        self,
        url: str,
        *,
        now_us: Callable[[], int],
        random_bytes: RandomBytes,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now_us = now_us
        self._random_bytes = random_bytes
        self._stopwatch = stopwatch
        self._committed = threading.Condition()
        self._engine = _engine(url)

    def migrate(self, migrations: Path = MIGRATIONS) -> None:
        """Bring the tables up to date; several processes may do so at once.

        Args:
            migrations: Where they lie.

        Raises:
            DatabaseUnavailableError: when it cannot be reached.
            DatabaseVersionError: when a newer Tallymark has been here.
        """
        is_sqlite = self._engine.dialect.name == "sqlite"
        with _explained(), self._engine.connect() as connection:
            writer = connection.execution_options(**{_WRITES: True})
            if is_sqlite:  # it alters a table by making it anew, under those that refer to it
                _pragma(writer, "foreign_keys=OFF")
            with writer.begin():
                if not is_sqlite:
                    writer.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
                _upgrade(writer, migrations)
                if writer.execute(select(FEED.c.id)).first() is None:
                    identity = self._random_bytes(16).hex()
                    first = {"id": 1, "database_id": identity, "position": 0, "kept_after": 0}
                    writer.execute(insert(FEED).values(first))
            if is_sqlite:
                _pragma(writer, "foreign_keys=ON")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees the database as of one moment.

        Raises:
            DatabaseUnavailableError: when it does not answer.
        """
        with _explained(), self._engine.connect() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    def write(self, actor: str, work: Callable[[Transaction], T], *, waits: bool = True) -> T:
        """Do ``work`` in a transaction, all or nothing; it may be done again from its beginning.

        A transaction that takes so long that a version might be in force before every worker can
        know it is rolled back.

        Args:
            actor: In whose name, for the audit trail.
            work: What is done; it must have no other effects.
            waits: For other writers; else it is not done where there is one.

        Raises:
            DatabaseUnavailableError: when it does not answer, or too slowly time and again.
        """
        for _ in range(ATTEMPTS):
            with _explained(), self._engine.connect() as connection, _waiting(connection, waits):
                writer = connection.execution_options(**{_WRITES: True})
                begun = writer.begin()
                if not waits and self._engine.dialect.name == "postgresql":
                    writer.execute(text("SET LOCAL lock_timeout = '1ms'"))
                feed = writer.execute(select(FEED).with_for_update()).mappings().one()
                started = self._stopwatch()
                transaction = Transaction(
                    writer, feed, now_us=self.now_us(), actor=actor, random_bytes=self._random_bytes
                )
                done = work(transaction)
                transaction.number_changes()
                allowed = transaction.commit_seconds
                if self._stopwatch() - started > allowed:
                    logger.warning("a change took too long and is tried again")
                    begun.rollback()
                    continue
                begun.commit()
                if self._stopwatch() - started > allowed:
                    logger.error(
                        "the database took longer than %d s to commit: a version may come into "
                        "force before every worker knows it", allowed,
                    )  # fmt: skip
                with self._committed:
                    self._committed.notify_all()
                return done
        raise DatabaseUnavailableError(f"the database took longer than {allowed} s")

    def wait_for_commit(self, seconds: float) -> None:
        """Wait until this process commits something, or for so long."""
        with self._committed:
            self._committed.wait(seconds)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _engine(url: str) -> Engine:
    if url.startswith("sqlite:"):
        path = Path(url.removeprefix("sqlite:"))
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make_sqlite(path)
        engine = create_engine(URL.create("sqlite", database=str(path)))
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        raise ValueError(f"database: expected sqlite:PATH or postgresql://…, got {url!r}")
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            # One that died with a transaction open must not keep all others from writing.
            "options": f"-c lock_timeout={BUSY_SECONDS}s"
            f" -c idle_in_transaction_session_timeout={MANY_COMMIT_SECONDS}s",
        },
    )
    # Many rows go in one statement: a thousand of them take as long as thirty by themselves.
    engine.dialect.use_insertmanyvalues_wo_returning = True
    return engine


def _make_sqlite(path: Path) -> None:
    """Make an empty database whole under another name: two that turn one to WAL at once fail."""
    # It knows people and hashes of keys: only its owner may read it; its journals are made alike.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(descriptor)
    made = Path(name)
    try:
        with closing(sqlite3.connect(made)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        with suppress(FileExistsError):  # another process was quicker
            path.hardlink_to(made)
    finally:
        made.unlink()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours to say
    for pragma in (
        f"busy_timeout={BUSY_SECONDS * 1000}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _pragma(connection: Connection, pragma: str) -> None:
    """Outside of any transaction."""
    own: Any = connection.connection.dbapi_connection
    own.execute(f"PRAGMA {pragma}")


@contextmanager
def _waiting(connection: Connection, waits: bool) -> Iterator[None]:
    """SQLite has one patience a connection."""
    if waits or connection.dialect.name != "sqlite":
        yield
        return
    _pragma(connection, "busy_timeout=0")
    try:
        yield
    finally:
        _pragma(connection, f"busy_timeout={BUSY_SECONDS * 1000}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _upgrade(connection: Connection, migrations: Path) -> None:
    from alembic import command  # noqa: PLC0415  what only starts needs
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util.exc import CommandError  # noqa: PLC0415

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseVersionError(
            f"the configuration database is of a newer Tallymark: {error}; install that one"
        ) from error


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        # The statement and its values may hold what nobody is to read in a log.
        reason = getattr(error, "orig", None) or type(error).__name__
        raise DatabaseUnavailableError(f"the database does not answer: {reason}") from error
