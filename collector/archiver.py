"""The archiver: brings every block from the bus to the raw archive.

It gathers blocks for about a minute, writes them, a file a received hour, and acknowledges them
after that. Whatever happens in between, they come again, and on reading a block counts once.
"""

import base64
import logging
import os
import signal
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import orjson

from collector.attendance import Attendance
from stores import failpoints
from stores.archive.opening import open_objects
from stores.archive.port import Objects
from stores.archive.raw import UNREADABLE, RawArchive
from stores.bus.port import (
    ARCHIVE_SUBSCRIPTION,
    HITS_TOPIC,
    BusUnavailableError,
    Publisher,
    Received,
    Subscriber,
    UnknownNameError,
)
from stores.clock import stopwatch
from tallymark.blocks import Block, block_of_message

ACK_DEADLINE_SECONDS: Final = 60
REMEMBERED_BLOCKS: Final = 100_000
_PULLED_MESSAGES: Final = 50
_EXTENSION_SECONDS: Final = 20.0
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 10.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """What ends the gathering of blocks for one write, whichever comes first.

    Attributes:
        seconds: Age of the first block gathered.
        payload_bytes: Compressed bytes of all.
        requests: Requests of all; with their text they take about 1 KB each while written.
    """

    seconds: float = 60.0
    payload_bytes: int = 64_000_000
    requests: int = 250_000


@dataclass(kw_only=True)
class ArchiverState:
    """What an archiver has done since it started."""

    blocks_written: int = 0
    requests_written: int = 0
    files_written: int = 0
    repeated_blocks: int = 0
    unreadable_messages: int = 0
    failures: int = 0
    last_error: str = ""
    last_written_at: int = 0  # UTC µs


@dataclass
class _Held:
    """Blocks that are gathered, and under which deliveries they came."""

    blocks: dict[str, Block] = field(default_factory=dict)
    ack_ids: list[str] = field(default_factory=list)
    since: float = 0.0

    @property
    def payload_bytes(self) -> int:
        return sum(len(block.payload) for block in self.blocks.values())

    @property
    def requests(self) -> int:
        return sum(block.requests for block in self.blocks.values())


class Archiver:
    """Archives what one subscription gets; ``step`` waits a second at most, but for a write.

    Args:
        publisher: The bus; nothing is published, but the topic is created if need be.
        subscriber: The bus.
        objects: Where the archive lies.
        gathering: When to write.
        stopwatch: Seconds that never go back.
    """

    def __init__(
        self,
        publisher: Publisher,
        subscriber: Subscriber,
        objects: Objects,
        gathering: Gathering,
        *,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = ArchiverState()
        self.is_subscribed = False
        self._publisher = publisher
        self._subscriber = subscriber
        self._objects = objects
        self._archive = RawArchive(objects)
        self._gathering = gathering
        self._stopwatch = stopwatch
        self._held = _Held()
        self._written: OrderedDict[str, None] = OrderedDict()
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    def step(self) -> float:
        """Take what the bus has; write if it is time to.

        Returns:
            Seconds to pause before the next step; above 0 after a failure.
        """
        try:
            if self._is_due():
                self.write()
            self._take(self._pull())
        except (BusUnavailableError, UnknownNameError, OSError) as error:
            return self._note_failure(error)
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        return 0.0

    def write(self) -> None:
        """Write what is held, then acknowledge it.

        Raises:
            OSError: when the archive does not take it; it is still held then.
        """
        held = self._held
        if held.blocks:
            failpoints.reach("archiver.before-write")
            self.state.files_written += len(self._archive.write(held.blocks.values()))
            failpoints.reach("archiver.written-before-ack")
            self.state.blocks_written += len(held.blocks)
            self.state.requests_written += held.requests
            self.state.last_written_at = time.time_ns() // 1_000
            self._remember(held.blocks)
        self._held = _Held()
        self._acknowledge(held.ack_ids)

    def extend(self) -> None:
        """Keep the bus from sending what is held to anybody else; may run beside the rest."""
        try:
            self._subscriber.extend(
                ARCHIVE_SUBSCRIPTION, list(self._held.ack_ids), ACK_DEADLINE_SECONDS
            )
        except (BusUnavailableError, UnknownNameError) as error:
            _LOG.warning("deadlines not extended, some blocks may come again: %s", error)

    def note(self) -> dict[str, object]:
        """How far the archiver is."""
        held = self._held
        waited = self._stopwatch() - held.since if held.blocks else 0.0
        return {
            "pid": os.getpid(),
            "noted_at": time.time_ns() // 1_000,
            "backlog_blocks": len(held.blocks),
            "lag_seconds": round(waited, 1),
            **asdict(self.state),
        }

    def _is_due(self) -> bool:
        held, limits = self._held, self._gathering
        return bool(held.blocks) and (
            self._stopwatch() - held.since >= limits.seconds
            or held.payload_bytes >= limits.payload_bytes
            or held.requests >= limits.requests
        )

    def _pull(self) -> list[Received]:
        if not self.is_subscribed:
            self._publisher.ensure_topic(HITS_TOPIC)
            self._subscriber.ensure_subscription(
                ARCHIVE_SUBSCRIPTION, HITS_TOPIC, ack_deadline_seconds=ACK_DEADLINE_SECONDS
            )
            self.is_subscribed = True
        return self._subscriber.pull(ARCHIVE_SUBSCRIPTION, _PULLED_MESSAGES, wait_seconds=1.0)

    def _take(self, messages: Iterable[Received]) -> None:
        done = []
        for message in messages:
            try:
                block = block_of_message(
                    message.payload, message.attributes, message.published_at_us
                )
            except ValueError as error:
                self._keep_unreadable(message, error)
                done.append(message.ack_id)
                continue
            if block.name in self._written:
                self.state.repeated_blocks += 1
                done.append(message.ack_id)
                continue
            if not self._held.blocks:
                self._held.since = self._stopwatch()
            self._held.blocks.setdefault(block.name, block)
            self._held.ack_ids.append(message.ack_id)
        self._acknowledge(done)

    def _keep_unreadable(self, message: Received, error: ValueError) -> None:
        """Nothing that was published is lost, even if it is no block."""
        document = {
            "attributes": dict(message.attributes),
            "payload": base64.b64encode(message.payload).decode(),
            "error": str(error),
        }
        self._objects.put(f"{UNREADABLE}message-{message.message_id}", orjson.dumps(document))
        self.state.unreadable_messages += 1
        _LOG.warning("message %s is no block: %s", message.message_id, error)

    def _acknowledge(self, ack_ids: list[str]) -> None:
        if not ack_ids:
            return
        try:
            self._subscriber.acknowledge(ARCHIVE_SUBSCRIPTION, ack_ids)
        except (BusUnavailableError, UnknownNameError) as error:
            _LOG.warning("not acknowledged, %d messages will come again: %s", len(ack_ids), error)

    def _remember(self, names: Iterable[str]) -> None:
        self._written.update(dict.fromkeys(names))
        while len(self._written) > REMEMBERED_BLOCKS:
            self._written.popitem(last=False)

    def _note_failure(self, error: Exception) -> float:
        if isinstance(error, UnknownNameError):
            self.is_subscribed = False
        self.state.failures += 1
        self.state.last_error = repr(error)
        _LOG.warning("not archived, to be tried again: %r", error)
        pause = self._pause_seconds
        self._pause_seconds = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return pause


def run(
    *, data_dir: Path, bus_url: str, archive_url: str, gathering: Gathering | None = None
) -> None:
    """Archive until SIGTERM or SIGINT, then write and acknowledge what is held.

    Once it is subscribed, ``run/archiver.json`` says each second how far the archiver is.

    Raises:
        ValueError: when one of the URLs is of another form.
        OSError: when the archive does not take what is held at the end; it will come again.
    """
    from stores.bus.pubsub import (  # noqa: PLC0415  loads Google's client
        BusAddress,
        PubSubPublisher,
        PubSubSubscriber,
    )

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    address = BusAddress.parse(bus_url)
    publisher, subscriber = PubSubPublisher(address), PubSubSubscriber(address)
    archiver = Archiver(
        publisher,
        subscriber,
        open_objects(archive_url),
        gathering or Gathering(),
        stopwatch=stopwatch,
    )
    attendance = Attendance(
        data_dir / "run" / "archiver.json",
        archiver.note,
        duty=archiver.extend,
        duty_seconds=_EXTENSION_SECONDS,
    )
    while not stopping.is_set():
        stopping.wait(archiver.step())
        # Before it is subscribed what is published would pass it by: it is not ready yet.
        if archiver.is_subscribed and not attendance.is_alive():
            attendance.start()
    try:
        archiver.write()
    finally:
        attendance.end()
        publisher.close()
        subscriber.close()
