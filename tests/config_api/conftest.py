"""The configuration on SQLite and, where it is installed, on PostgreSQL; a clock of one's own."""

import secrets
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from config_api.database import Database
from tests.servers import running_postgresql

NOW = 1_800_000_000_000_000
SECOND = 1_000_000
ACTOR = "somebody"


class Clock:
    """UTC µs and a stopwatch that move when told to."""

    def __init__(self) -> None:
        self.us = NOW
        self.seconds = 0.0

    def now_us(self) -> int:
        return self.us

    def stopwatch(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.us += int(seconds * SECOND)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with running_postgresql() as running:
        yield running.url


_NUMBERS = count()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'config.sqlite'}"
    server_url: str = request.getfixturevalue("server")
    name = f"config_{next(_NUMBERS)}"
    with psycopg.connect(f"{server_url}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
    return f"{server_url}/{name}"


Open = Callable[[], Database]


@pytest.fixture
def opened(url: str, clock: Clock) -> Iterator[Open]:
    """Opens the database once more, as another process would."""
    databases: list[Database] = []

    def open_again() -> Database:
        database = Database(
            url, now_us=clock.now_us, random_bytes=secrets.token_bytes, stopwatch=clock.stopwatch
        )
        databases.append(database)
        return database

    yield open_again
    for database in databases:
        database.close()


@pytest.fixture
def database(opened: Open) -> Database:
    """A migrated database."""
    database = opened()
    database.migrate()
    return database
