"""Both adapters of the port, each over a source of its own that a test writes to."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stores.rules_cache.documents import decode_property, encode_properties
from stores.rules_cache.feed import FeedRulesCache
from stores.rules_cache.feed_client import FeedClient
from stores.rules_cache.feed_follower import FollowSettings
from stores.rules_cache.file import FileRulesCache
from stores.rules_cache.port import RulesCache
from stores.rules_cache.rules_copy import take_copy
from tallymark.properties import Property
from tests.stores.rules_cache.feed_server import FeedServer, key_file, serving

SETTINGS = FollowSettings(
    poll_seconds=10.0, first_backoff_seconds=0.05, longest_backoff_seconds=0.2
)
"""As in a deployment, but that a service is found again soon."""
IMPATIENT = replace(SETTINGS, patience_seconds=0.6, probe_seconds=0.3)
"""For services that are gone, so that a test need not wait as long as a deployment would."""


def eventually(holds: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until it holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came to hold"
        time.sleep(0.01)


@dataclass
class Source:
    """Where an adapter's rules come from.

    Attributes:
        save: Writes a property, new or changed.
        fail: Takes the source away.
    """

    cache: RulesCache
    save: Callable[[Property], Property]
    fail: Callable[[], None]


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with serving() as running:
        yield running


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return key_file(tmp_path)


Follows = Callable[..., FeedRulesCache]


@pytest.fixture
def follow(server: FeedServer, key: Path, tmp_path: Path) -> Iterator[Follows]:
    """Starts followers of the server; ``is_kept`` with a copy on disk."""
    opened = []

    def start(
        settings: FollowSettings = SETTINGS, *, is_kept: bool = False, most: int = 1_000
    ) -> FeedRulesCache:
        copy = take_copy(tmp_path / "copies", "test", max_properties=most) if is_kept else None
        cache = FeedRulesCache(FeedClient(server.url, key, decode_property), copy, settings)
        opened.append(cache)
        return cache

    yield start
    for cache in opened:
        cache.close()


@pytest.fixture(params=["file", "feed"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return _file(tmp_path / "properties.json") if request.param == "file" else _feed(request)


def _file(path: Path) -> Source:
    owners: dict[int, Property] = {}

    def save(owner: Property) -> Property:
        owners[owner.property_id] = owner
        new = path.with_suffix(".new")
        new.write_bytes(encode_properties(owners.values()))
        new.replace(path)
        return owner

    seconds = itertools.count(1_000)  # it looks at the file whenever it is asked
    cache = FileRulesCache(path, clock=lambda: float(next(seconds)))
    return Source(cache, save, path.unlink)


def _feed(request: pytest.FixtureRequest) -> Source:
    server: FeedServer = request.getfixturevalue("server")

    def save(owner: Property) -> Property:
        with server.writing() as database:
            return database.save(owner)

    return Source(request.getfixturevalue("follow")(IMPATIENT), save, server.stop)
