"""What a worker process holds once: stores, the rules, the shards it keeps.

A DoFn is unpickled for every bundle on some runners, so everything heavy lives here, keyed by the
settings it was made from.
"""

import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache, partial
from typing import Any

from beam_pipelines.cleaning import Cleaner, CleanSettings
from beam_pipelines.client_buckets import (
    ClientCounter,
    CountSettings,
    Inventory,
    decode_inventory,
)
from beam_pipelines.failing_requests import FailureTally
from beam_pipelines.holes import HoleWatch, SeeksBack
from beam_pipelines.options import ShardSettings
from beam_pipelines.ruled_blocks import RuledBlocks
from beam_pipelines.shard_keeper import ReplacedError, ShardKeeper
from stores.archive.clean import CleanHits
from stores.archive.dead_letters import DeadLetters
from stores.archive.opening import open_objects
from stores.archive.port import Objects
from stores.archive.raw import RawArchive
from stores.archive.raw_hours import RawHour
from stores.archive.snapshots import SnapshotStore
from stores.bus.pubsub import BusAddress, PubSubSubscriber
from stores.clock import utc_us
from stores.doubts import Doubts
from stores.rules_cache.opening import open_rules_cache
from stores.rules_cache.port import RulesCache
from stores.wide_rows.breaker import BreakingWideRows
from stores.wide_rows.opening import open_wide_rows
from stores.wide_rows.port import WideRows

LOG = logging.getLogger(__name__)
FAILURES = FailureTally()
_LOCK = threading.Lock()
_KEEPERS: dict[tuple[ShardSettings, int], ShardKeeper] = {}
_RULED: dict[tuple[str, str], RuledBlocks] = {}


@cache
def wide_rows(url: str) -> WideRows:
    """The wide rows at ``url``, opened once."""
    return BreakingWideRows(open_wide_rows(url), clock=time.monotonic)


def rules(path: str) -> RulesCache:
    """The cache of the rules at ``path``, a file or a service; opened once, as it may follow."""
    with _LOCK:
        return _opened_rules(path)


@cache
def _opened_rules(path: str) -> RulesCache:
    return open_rules_cache(path, role="worker")


def ruled_blocks(settings: ShardSettings) -> RuledBlocks:
    """What processes the blocks of a stream in this process."""
    with _LOCK:
        place = settings.rules_path, settings.wide_rows_url
        found = _RULED.get(place)
        if found is None:
            found = _RULED[place] = RuledBlocks(
                _opened_rules(settings.rules_path),
                Doubts(wide_rows(settings.wide_rows_url)),
                clock_us=utc_us,
                now=time.monotonic,
            )
        return found


def rules_status() -> dict[str, Any]:
    """How this process knows its rules."""
    with _LOCK:
        every = list(_RULED.values())
    return {name: fact for one in every for name, fact in one.status().items()}


@cache
def dead_letters(url: str) -> DeadLetters:
    """The dead letters in the archive at ``url``."""
    return DeadLetters(open_objects(url))


@cache
def objects(url: str) -> Objects:
    """The archive's objects at ``url``."""
    return open_objects(url)


@lru_cache(maxsize=64)
def raw_hour(url: str, hour_us: int) -> RawHour:
    """A received hour of the archive at ``url``; what it holds is looked up once."""
    return RawHour(objects(url), hour_us)


@lru_cache(maxsize=2)
def inventory(url: str, name: str) -> Inventory:
    """What a replay reads, as the object ``name`` says."""
    return decode_inventory(objects(url).get(name))


def cleaner(settings: CleanSettings) -> Cleaner:
    """What decodes tasks of received hours."""
    url = settings.archive_url
    return Cleaner(
        settings,
        raw_hour=partial(raw_hour, url),
        clean=CleanHits(objects(url)),
        rules=rules(settings.rules_path),
    )


def client_counter(settings: CountSettings) -> ClientCounter:
    """What counts the clients of a range of hashes."""
    url = settings.archive_url
    known = inventory(url, settings.inventory)
    return ClientCounter(
        settings,
        objects=objects(url),
        wide_rows=wide_rows(settings.wide_rows_url),
        inventory=known,
    )


def keeper(settings: ShardSettings, index: int) -> ShardKeeper:
    """The keeper of a shard in this process."""
    with _LOCK:
        found = _KEEPERS.get((settings, index))
        if found is None:
            found = ShardKeeper(
                settings,
                index,
                wide_rows=wide_rows(settings.wide_rows_url),
                snapshots=SnapshotStore(open_objects(settings.archive_url)),
                holes=_hole_watch(settings, index),
                now=time.monotonic,
                submit=_flusher().submit,
            )
            _KEEPERS[settings, index] = found
        return found


@cache
def _flusher() -> ThreadPoolExecutor:
    """Writes the flushes of all shards of this process, one after another."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="flusher")


def _hole_watch(settings: ShardSettings, index: int) -> HoleWatch:
    archive = RawArchive(open_objects(settings.archive_url))
    seeks = index == 0 and settings.bus_url
    return HoleWatch(archive, _seek_of(settings) if seeks else None, time.monotonic)


def _seek_of(settings: ShardSettings) -> SeeksBack:
    def seek(instant_us: int) -> None:
        bus = PubSubSubscriber(BusAddress.parse(settings.bus_url))
        try:
            bus.seek(settings.subscription, instant_us)
        finally:
            bus.close()

    return seek


def keepers() -> list[ShardKeeper]:
    """All shards of this process."""
    with _LOCK:
        return list(_KEEPERS.values())


def forget() -> None:
    """Let all shards of this process go, for a pipeline that follows another in one process."""
    with _LOCK:
        _KEEPERS.clear()
        _RULED.clear()
    raw_hour.cache_clear()
    inventory.cache_clear()


def stop_replaced(error: ReplacedError) -> None:
    """End this process: another job owns the shard, and nothing this one holds may be written."""
    LOG.error("stopping: %s", error)
    os._exit(3)
