"""What workers know of properties that the configuration service tells them of, one by one."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collector.followed_properties import MAX_WAITING, MAX_WANTED, FollowedProperties
from collector.known_streams import read_owner
from stores.rules_cache.feed_client import FeedClient
from stores.rules_cache.feed_follower import FollowSettings
from stores.rules_cache.rules_copy import take_copy
from tallymark.properties import DataStream, HashedKey, Property, secret_hash
from tests.collector.workers import AskedWorker, worker_at
from tests.stores.rules_cache.conftest import IMPATIENT, eventually
from tests.stores.rules_cache.feed_server import FeedServer, key_file, measurement_id, serving, shop

NOW = 1_700_000_000_000_000
Follows = Callable[..., FollowedProperties]


@pytest.fixture(name="server")
def _server() -> Iterator[FeedServer]:
    with serving() as running:
        yield running


@pytest.fixture(name="follow")
def _follow(server: FeedServer, tmp_path: Path) -> Iterator[Follows]:
    opened: list[FollowedProperties] = []

    def start(settings: FollowSettings = IMPATIENT, *, is_kept: bool = False) -> FollowedProperties:
        copy = take_copy(tmp_path / "copies", "collector", max_properties=100) if is_kept else None
        client = FeedClient(server.url, key_file(tmp_path), read_owner)
        opened.append(FollowedProperties(client, copy, lambda: NOW, settings))
        return opened[-1]

    yield start
    for known in opened:
        known.close()


def selling(number: int, secret: str = "secret", **stream: Any) -> Property:
    """A shop with a secret."""
    keys = (HashedKey(key_hash=secret_hash(secret)),)
    data_stream = DataStream(measurement_id=measurement_id(number), api_secrets=keys, **stream)
    return replace(shop(number), data_streams=(data_stream,))


def save(server: FeedServer, *owners: Property) -> None:
    with server.writing() as database:
        for owner in owners:
            database.save(owner)


def test_nothing_is_loaded_and_what_hits_name_is_asked_for_together(
    server: FeedServer, follow: Follows
) -> None:
    save(server, *(selling(number) for number in range(1_500)))
    known = follow()
    time.sleep(0.1)
    assert (len(known), server.lookups()) == (0, [])
    for number in range(1_200):
        assert known.find(measurement_id(number)) is None
        assert not known.is_unknown(measurement_id(number))
    eventually(lambda: len(known) == 1_200)
    assert len(server.lookups()) <= 4
    assert known.find(measurement_id(7)) is not None


def test_an_id_that_nobody_has_is_unknown_once_that_was_said(
    server: FeedServer, follow: Follows
) -> None:
    known = follow()
    assert known.find(measurement_id(1)) is None
    eventually(lambda: known.is_unknown(measurement_id(1)))
    assert known.is_unknown("G-SHOP"), "what cannot be an id is asked for of nobody"
    save(server, selling(1))
    eventually(lambda: known.find(measurement_id(1)) is not None)


def test_a_refusal_is_given_to_no_secret_as_it_may_have_been_made_a_moment_ago(
    server: FeedServer, follow: Follows
) -> None:
    save(server, selling(1))
    known, name = follow(), measurement_id(1)
    hashed = {secret: f"sha256:{secret_hash(secret)}" for secret in ("secret", "new")}
    assert known.verdict(name, "secret") == hashed["secret"]
    eventually(lambda: known.verdict(name, "secret") == "valid")
    assert known.verdict(name, "new") == hashed["new"]
    save(server, selling(1, "new"))
    eventually(lambda: known.verdict(name, "new") == "valid")
    assert known.verdict(name, "secret") == hashed["secret"]


def test_changes_of_a_stream_are_followed(server: FeedServer, follow: Follows) -> None:
    save(server, selling(1, allowed_hosts=("a.test",)))
    known, name = follow(), measurement_id(1)
    eventually(lambda: known.find(name) is not None)
    save(server, selling(1, allowed_hosts=("b.test",), switched_off=("scrolls", "page_views")))

    def is_new() -> bool:
        stream = known.find(name)
        return stream is not None and stream.hosts == ("b.test",)

    eventually(is_new)
    stream = known.find(name)
    assert stream is not None
    assert stream.tracker_settings == (
        '{"measure":"click download search video form","page-view":"load"}'
    )


def test_the_properties_used_last_are_held(server: FeedServer, follow: Follows) -> None:
    save(server, *(selling(number) for number in range(40)))
    known, first = follow(replace(IMPATIENT, max_properties=4)), measurement_id(0)
    eventually(lambda: known.find(first) is not None)
    for number in range(1, 40):
        name = measurement_id(number)
        eventually(lambda name=name: known.find(name) is not None)
        assert known.find(first) is not None, "it is asked for all the time"
        assert len(known) <= 4


def test_without_the_service_what_was_known_is_gone_on_with(
    server: FeedServer, follow: Follows
) -> None:
    save(server, selling(1), selling(2))
    known = follow(is_kept=True)
    eventually(lambda: known.find(measurement_id(1)) is not None)
    eventually(lambda: known.is_unknown(measurement_id(3)) or known.find(measurement_id(3)))
    server.stop()
    known.close()
    again = follow(is_kept=True)
    eventually(lambda: again.verdict(measurement_id(1), "secret") == "valid")
    began = time.monotonic()
    for number in range(2, 2 + 2 * MAX_WANTED):
        assert again.find(measurement_id(number)) is None
        assert not again.is_unknown(measurement_id(number))
    assert again.find_soon(measurement_id(2)) is None
    assert time.monotonic() - began < 2.0
    server.start()
    eventually(lambda: again.find(measurement_id(2)) is not None, seconds=10.0)


def test_who_may_wait_waits_for_an_id_that_is_being_asked_for_and_few_do(
    server: FeedServer, follow: Follows
) -> None:
    save(server, selling(1))
    known = follow()
    assert known.find_soon(measurement_id(1)) is not None
    assert known.find_soon(measurement_id(2)) is None
    server.fault, server.faulty_paths = "hang", ("/v1/properties:lookup",)
    took: list[float] = []

    def wait(number: int) -> None:
        began = time.monotonic()
        assert known.find_soon(measurement_id(number)) is None
        took.append(time.monotonic() - began)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seconds > 0.2 for seconds in took) <= MAX_WAITING
    assert max(took) < 2.0


def test_a_property_that_cannot_be_read_is_not_asked_for_with_every_hit(
    server: FeedServer, follow: Follows
) -> None:
    known = follow()
    server.fault, server.faulty_paths = "", ()
    broken = selling(1)
    save(server, broken)
    lookup = server.database.lookup
    server.database.lookup = lambda *asked, **more: lookup(*asked, **more).replace(  # type: ignore[method-assign]
        b'"data_streams":[{', b'"data_streams":[7,{'
    )
    for _ in range(20):
        assert known.find(measurement_id(1)) is None
        time.sleep(0.02)
    assert not known.is_unknown(measurement_id(1))
    assert len(server.lookups()) == 1


@pytest.fixture(name="collector")
def _collector(server: FeedServer, tmp_path: Path) -> Iterator[AskedWorker]:
    place = f"{server.url}?key={key_file(tmp_path)}&copies="
    with worker_at(tmp_path, rules=place) as worker:
        yield worker


def test_a_hit_is_recorded_and_answered_before_anybody_is_asked(
    server: FeedServer, collector: AskedWorker
) -> None:
    save(server, selling(1, allowed_hosts=("shop.test",)))
    server.fault, server.faulty_paths = "hang", ("/v1/properties:lookup",)
    asked = "/mp/collect", f"measurement_id={measurement_id(1)}&api_secret=secret", b"{}"
    began = time.monotonic()
    answer = collector.ask(*asked)
    assert time.monotonic() - began < 0.2
    assert (answer.status, answer.headers.get("X-Tallymark-Reason", "")) == (204, "")
    server.fault = ""

    def reason(path: str, query: str, **more: str) -> str:
        return collector.ask(path, query, **more).headers.get("X-Tallymark-Reason", "")

    view, evil = f"tid={measurement_id(1)}", {"HTTP_ORIGIN": "https://evil.test"}
    eventually(lambda: reason("/g/collect", view, **evil) == "host_not_allowed", seconds=15.0)
    eventually(lambda: reason("/g/collect", "tid=" + measurement_id(9)) == "unknown_measurement_id")
    assert reason("/mp/collect", asked[1].replace("=secret", "=x")) == "invalid_api_secret"
    collector.ask(*asked)
    verdicts = [row["secret_verdict"] for row in collector.rows() if row["path"] == "/mp/collect"]
    assert verdicts == [
        f"sha256:{secret_hash('secret')}", f"sha256:{secret_hash('x')}", "valid",
    ]  # fmt: skip


def test_a_worker_that_follows_brings_neither_polars_nor_pydantic_along() -> None:
    code = (
        "import sys, collector.app, collector.followed_properties; "
        "print([name for name in ('polars', 'pydantic', 'numpy') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
