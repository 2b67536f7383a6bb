"""The streaming pipeline: blocks from Pub/Sub, hits counted, cells written, until it is stopped."""

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage, ReadFromPubSub
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines import workers
from beam_pipelines.code_version import code_version
from beam_pipelines.handover import lineage_to_go_on_with, must_withdraw
from beam_pipelines.options import ShardSettings
from beam_pipelines.transforms import ProcessHits, RollUp
from stores.archive.opening import open_objects
from stores.archive.snapshots import SnapshotStore
from stores.bus.port import HITS_TOPIC, Subscriber
from stores.bus.pubsub import (
    BusAddress,
    PubSubPublisher,
    PubSubSubscriber,
    emulator_environment,
)
from stores.clock import utc_us
from stores.lineages import LineageRegister
from stores.publication import Publisher
from stores.wide_rows.port import WideRowsUnavailableError
from tallymark.blocks import Block, block_of_message
from tallymark.lineages import Lineage
from tallymark.pointer_map import SINCE_EVER
from tallymark.slots import HOUR_US, first_whole_hour, instant_us

LOG = logging.getLogger(__name__)
OVERLAP_US: Final = 120_000_000
"""A job that loads a snapshot seeks this far behind it: blocks may have been read out of order."""
RESTART_US: Final = 24 * HOUR_US
"""How far back a job reads that has no snapshot it may use."""
RETENTION_US: Final = 48 * HOUR_US
WHO: Final = "streaming"
WITHDRAW_LOOK_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """What the streaming service is told. Paths and URLs as in ``ShardSettings``.

    Attributes:
        lineage: Which one to compute, beside the one that serves; "" for the one that serves.
    """

    data_dir: Path
    bus_url: str
    wide_rows_url: str
    archive_url: str
    rules_path: str
    shards: int = 2
    flush_seconds: float = 5.0
    snapshot_seconds: float = 60.0
    runner: str = "DirectRunner"
    runner_options: tuple[str, ...] = ()
    lineage: str = ""

    @property
    def note_path(self) -> Path:
        """Where the job notes how it is."""
        name = f"stream-{self.lineage}.json" if self.lineage else "stream.json"
        return self.data_dir / "run" / name


def run(settings: StreamSettings) -> None:
    """Run until SIGTERM or SIGINT; then write what is owed, save the state, end."""
    address = BusAddress.parse(settings.bus_url)
    os.environ.update(emulator_environment(address))
    PubSubPublisher(address).ensure_topic(HITS_TOPIC)
    _stop_on_signals()
    threading.Thread(target=_report, args=(settings.note_path,), daemon=True).start()
    shard_settings, lineage = prepare(settings, PubSubSubscriber(address), utc_us)
    if not settings.lineage:
        threading.Thread(target=_withdraw_for_an_heir, args=(shard_settings,), daemon=True).start()
    options = PipelineOptions(
        [f"--runner={settings.runner}", "--streaming", *settings.runner_options]
    )
    subscription = f"projects/{address.project}/subscriptions/{lineage.subscription}"
    LOG.info("lineage %s reads %s", lineage.name, subscription)
    with beam.Pipeline(options=options) as pipeline:
        (
            pipeline
            | "Read" >> ReadFromPubSub(subscription=subscription, with_attributes=True)
            | "Name blocks" >> beam.FlatMap(blocks_of_message)
            | "Process hits" >> ProcessHits(shard_settings)
            | "Roll up" >> RollUp(shard_settings)
        )


def prepare(
    settings: StreamSettings, bus: Subscriber, clock_us: Callable[[], int]
) -> tuple[ShardSettings, Lineage]:
    """Find the lineage to go on with and put its subscription where the state ends."""
    version = code_version()
    publisher = Publisher(workers.wide_rows(settings.wide_rows_url), clock_us, who=WHO)
    if settings.lineage:
        lineage = publisher.lineages.get(settings.lineage)
    else:
        lineage = lineage_to_go_on_with(publisher, shards=settings.shards)
    now_us = clock_us()
    bus.ensure_subscription(lineage.subscription, HITS_TOPIC)
    snapshots = SnapshotStore(open_objects(settings.archive_url))
    manifests = [snapshots.manifest(lineage.name, shard) for shard in range(lineage.shards)]
    usable = [found for found in manifests if found and found.code_version == version]
    whole_from = lineage.reads_whole_from
    seek_us = max(now_us - RETENTION_US, whole_from)
    if len(usable) == lineage.shards:
        seek_us = max(seek_us, min(found.published for found in usable) - OVERLAP_US)
    elif any(manifests):
        seek_us = now_us - RESTART_US
        whole_from = max(whole_from, seek_us)
    bus.seek(lineage.subscription, seek_us)
    computes_from = whole_from if whole_from <= SINCE_EVER else first_whole_hour(whole_from)
    publisher.lineages.update(lineage.name, lambda held: held.computed_by(version, computes_from))
    shard_settings = ShardSettings(
        lineage=lineage.name,
        shards=lineage.shards,
        wide_rows_url=settings.wide_rows_url,
        archive_url=settings.archive_url,
        rules_path=settings.rules_path,
        flush_seconds=settings.flush_seconds,
        snapshot_seconds=settings.snapshot_seconds,
        reads_whole_from=whole_from,
        reads_from=seek_us,
        code_version=version,
        bus_url=settings.bus_url,
        subscription=lineage.subscription,
    )
    return shard_settings, lineage


def blocks_of_message(message: PubsubMessage) -> list[Block]:
    """The block in a message; a message that is none is logged and left out."""
    published = message.publish_time
    published_us = instant_us(published) if published else 0
    try:
        return [block_of_message(message.data, message.attributes, published_us)]
    except ValueError as error:
        LOG.error("not a block, left out: %s", error)
        return []


def _stop_on_signals() -> None:
    def stop(_signal: int, _frame: Any) -> None:
        threading.Thread(target=_stop, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _stop() -> None:
    """Everything taken in is written and saved, then the process ends.

    The runner has acknowledged more than it has processed; the next start seeks back for that.
    """
    _finish()
    LOG.info("stopped")
    os._exit(0)


def _finish() -> None:
    """Everything taken in is written and saved; nothing is taken in any more."""
    for keeper in workers.keepers():
        keeper.lock.acquire()  # for good: the process ends
        _attempt(keeper.flush_now)
        _attempt(keeper.save)


def _withdraw_for_an_heir(settings: ShardSettings) -> None:
    """Write all that is held and end, when newer code has caught up in a lineage of its own."""
    register = LineageRegister(workers.wide_rows(settings.wide_rows_url), utc_us)
    while True:
        time.sleep(WITHDRAW_LOOK_SECONDS)
        try:
            if not must_withdraw(settings.lineage, register):
                continue
        except WideRowsUnavailableError as error:
            LOG.warning("the register of lineages did not answer: %s", error)
            continue
        LOG.info("%s withdraws: an heir has caught up", settings.lineage)
        _finish()
        register.turn(settings.lineage, "withdrawn")
        os._exit(0)


def _attempt(act: Callable[[], None]) -> None:
    try:
        act()
    except Exception:
        LOG.exception("not saved on the way out; the next start reads it again")


def _report(path: Path) -> None:
    """The status of all shards, each second, for operators and ``tallymark status``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        time.sleep(1)
        shards = [json.loads(keeper.status()) for keeper in workers.keepers()]
        document = {
            "service": "stream",
            "pid": os.getpid(),
            "at": time.time(),
            "failed_requests": workers.FAILURES.failed,
            "shards": shards,
            **workers.rules_status(),
        }
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(document))
        temporary.replace(path)
