"""The shipper: brings closed segments to the bus, and ends the spools of workers that died.

A block is unlinked once the bus has acknowledged it. Whatever happens in between, it goes out
again under the same name, and its consumers drop it.
"""

import logging
import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from dataclasses import asdict, dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

import orjson
import polars as pl

from collector.recovery import recover_spool, segment_numbers
from collector.redactor import BrokenRedactionError, Redactor
from collector.segment_blocks import SegmentBlock, block_of_segment
from collector.segments import BLOCK_SUFFIX, block_path
from collector.spools import NEW_PREFIX, lock_spool
from stores import failpoints
from stores.bus.port import HITS_TOPIC, BusUnavailableError, Publisher, UnknownNameError
from tallymark.personal_data import PRESETS

DONE_PREFIX: Final = ".done-"
MAX_IN_FLIGHT: Final = 16
DRAIN_SECONDS: Final = 15.0
_NOTE_SECONDS: Final = 1.0
_SCAN_SECONDS: Final = 0.1
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 5.0
_ABANDONED_SECONDS: Final = 3600.0
_LOG = logging.getLogger(__name__)


@dataclass(kw_only=True)
class ShipperState:
    """What a shipper has done since it started.

    Attributes:
        blocks_shipped: Those that the bus has acknowledged.
        requests_shipped: In them.
        redacted: How many values of each kind were taken out of them; without the kinds that are
            not looked for.
        requests_withheld: How many of them lost all texts, since redaction failed on them.
        failures: Of any kind; each was, or will be, tried again.
        last_error: The last of them.
    """

    blocks_shipped: int = 0
    requests_shipped: int = 0
    redacted: dict[str, int] = field(default_factory=dict)
    requests_withheld: int = 0
    failures: int = 0
    last_error: str = ""


class Shipper:
    """Ships the spools of one folder; ``step`` does what there is to do and never waits long.

    Args:
        spools: The folder of all spools.
        quarantine: Where damaged segments are kept.
        publisher: The bus.
        redactor: Takes personal data out of what is sent.
    """

    def __init__(
        self, spools: Path, *, quarantine: Path, publisher: Publisher, redactor: Redactor
    ) -> None:
        self._spools = spools
        self._quarantine = quarantine
        self._redactor = redactor
        self._publisher = publisher
        self._waiting: deque[Path] = deque()
        self._in_flight: dict[Path, tuple[SegmentBlock, Future[str]]] = {}
        self._has_topic = False
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._paused_until = 0.0
        self.state = ShipperState(redacted=dict.fromkeys(redactor.kinds, 0))

    def step(self) -> None:
        """Take up what the bus has acknowledged, and send what is closed."""
        self._take_acknowledgements()
        if time.monotonic() < self._paused_until or not self._find_topic():
            return
        if not self._waiting:
            self._waiting.extend(self._closed_segments())
        while self._waiting and len(self._in_flight) < MAX_IN_FLIGHT:
            self._send(self._waiting.popleft())

    def recover_dead_spools(self) -> None:
        """Close the spools whose workers are gone, and clear away what is left of shipped ones."""
        for folder in _folders(self._spools):
            if folder.name.startswith(DONE_PREFIX) or _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
            elif not folder.name.startswith("."):
                self._recover_if_dead(folder)

    def wait(self, seconds: float) -> None:
        """Wait for the next acknowledgement, at most ``seconds``."""
        futures = [future for _, future in self._in_flight.values()]
        if futures and not any(future.done() for future in futures):
            wait_for(futures, timeout=seconds, return_when=FIRST_COMPLETED)
        elif not futures:
            time.sleep(seconds)

    def drain(self, seconds: float) -> bool:
        """Ship what is closed by now; returns whether that was done within ``seconds``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()
            if not self._in_flight and next(self._closed_segments(), None) is None:
                return True
            self.wait(_SCAN_SECONDS)
        return False

    def backlog(self) -> list[Path]:
        """Closed segments that the bus has not acknowledged."""
        return list(self._closed_segments(with_in_flight=True))

    def _closed_segments(self, *, with_in_flight: bool = False) -> Iterator[Path]:
        """In order within a spool, spools in turn: none waits for the whole of another."""
        rows = [
            [block_path(spool, number) for number in _numbers(spool, BLOCK_SUFFIX)]
            for spool in _folders(self._spools)
            if not spool.name.startswith(".")
        ]
        for path in chain.from_iterable(zip_longest(*rows)):
            if path is not None and (with_in_flight or path not in self._in_flight):
                yield path

    def _send(self, path: Path) -> None:
        try:
            sent = block_of_segment(path, self._quarantine, self._redactor)
        except FileNotFoundError:
            return  # acknowledged since it was listed
        except BrokenRedactionError as error:
            self._back_off(f"{path}: {error}")
            return
        except (OSError, pl.exceptions.PolarsError) as error:
            self._back_off(f"{path}: {error!r}")
            return
        block = sent.block
        if block.kind == "closing" and len(_numbers(path.parent, BLOCK_SUFFIX)) > 1:
            return  # it says that all others have gone out, so it goes last and alone
        failpoints.reach("shipper.before-publish")
        future = self._publisher.publish(HITS_TOPIC, block.payload, block.attributes())
        self._in_flight[path] = (sent, future)

    def _take_acknowledgements(self) -> None:
        for path, (sent, future) in list(self._in_flight.items()):
            if not future.done():
                continue
            del self._in_flight[path]
            error = future.exception()
            if error is None:
                failpoints.reach("shipper.published-before-unlink")
                self._forget(path, sent)
            else:
                self._has_topic &= not isinstance(error, UnknownNameError)
                self._back_off(f"{sent.block.name}: {error!r}")

    def _forget(self, path: Path, sent: SegmentBlock) -> None:
        self.state.blocks_shipped += 1
        self.state.requests_shipped += sent.block.requests
        self.state.requests_withheld += sent.withheld
        for kind, count in sent.values.items():
            self.state.redacted[kind] += count
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        if sent.block.kind == "closing":
            _remove(path.parent)
        else:
            path.unlink(missing_ok=True)

    def _back_off(self, error: str) -> None:
        """Wait before the next try, and then begin with the first that is not acknowledged."""
        if time.monotonic() >= self._paused_until:
            self._paused_until = time.monotonic() + self._pause_seconds
            self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
            _LOG.warning("not shipped, to be tried again: %s", error)
        self._waiting.clear()
        self.state.failures += 1
        self.state.last_error = error

    def _find_topic(self) -> bool:
        if not self._has_topic:
            try:
                self._publisher.ensure_topic(HITS_TOPIC)
                self._has_topic = True
            except BusUnavailableError as error:
                self._back_off(f"topic {HITS_TOPIC}: {error!r}")
        return self._has_topic

    def _recover_if_dead(self, spool: Path) -> None:
        try:
            lock = lock_spool(spool)
        except FileNotFoundError:
            return  # shipped and gone since it was listed
        if lock is None:
            return
        try:
            recover_spool(spool)
            if not _numbers(spool, BLOCK_SUFFIX):
                _remove(spool)  # its closing block was damaged and went out as something else
        except OSError as error:
            self._back_off(f"{spool}: {error!r}")
        finally:
            os.close(lock)


def run(*, data_dir: Path, bus_url: str, redact: Collection[str] = PRESETS) -> None:
    """Ship what collectors keep under ``data_dir`` until SIGTERM or SIGINT, then what is closed.

    Each second ``run/shipper.json`` says how far the shipper is.

    Args:
        data_dir: The data folder.
        bus_url: Address of the bus.
        redact: The kinds of personal data that are taken out of what is shipped.

    Raises:
        ValueError: when ``bus_url`` is no address of a bus.
    """
    from stores.bus.pubsub import BusAddress, PubSubPublisher  # noqa: PLC0415  loads Google's client

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    publisher = PubSubPublisher(BusAddress.parse(bus_url))
    shipper = Shipper(
        data_dir / "spools",
        quarantine=data_dir / "quarantine",
        publisher=publisher,
        redactor=Redactor(redact),
    )
    note = data_dir / "run" / "shipper.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    note_at = 0.0
    while not stopping.is_set():
        if time.monotonic() >= note_at:
            shipper.recover_dead_spools()
            write_note(note, shipper)
            note_at = time.monotonic() + _NOTE_SECONDS
        shipper.step()
        shipper.wait(_SCAN_SECONDS)
    shipper.recover_dead_spools()
    if not shipper.drain(DRAIN_SECONDS):
        _LOG.warning("stopped with %d blocks not shipped; they wait", len(shipper.backlog()))
    write_note(note, shipper)
    publisher.close()


def write_note(path: Path, shipper: Shipper) -> None:
    """Say how far the shipper is, in a JSON file that is replaced as a whole."""
    sizes = [_size(segment) for segment in shipper.backlog()]
    document = {
        "pid": os.getpid(),
        "noted_at": time.time_ns() // 1_000,
        "backlog_blocks": len(sizes),
        "backlog_bytes": sum(sizes),
        **asdict(shipper.state),
    }
    new = path.with_suffix(".new")
    new.write_bytes(orjson.dumps(document))
    new.replace(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _folders(spools: Path) -> list[Path]:
    try:
        return sorted(path for path in spools.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def _numbers(spool: Path, suffix: str) -> list[int]:
    try:
        return segment_numbers(spool, suffix)
    except FileNotFoundError:
        return []


def _remove(spool: Path) -> None:
    """Take a shipped spool away at once, then its files one by one."""
    done = spool.with_name(DONE_PREFIX + spool.name)
    spool.rename(done)
    shutil.rmtree(done, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Whether a worker died while it made its folder: nobody makes one for an hour."""
    if not folder.name.startswith(NEW_PREFIX):
        return False
    try:
        return time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS
    except FileNotFoundError:
        return False
