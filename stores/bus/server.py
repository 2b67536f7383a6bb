"""The embedded bus: a server that speaks Google Pub/Sub's gRPC over one SQLite file."""

import argparse
import fcntl
import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import grpc

from stores.bus.broker import Broker
from stores.bus.publisher_service import PublisherService
from stores.bus.subscriber_service import SubscriberService

_THREADS: Final = 128
"""A waiting pull and an open stream hold a thread each; threads are made as they are needed."""
_STOP_SECONDS: Final = 3.0
_MAX_RECEIVED_BYTES: Final = 32_000_000
_CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_RECEIVED_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a partner
)

_log = logging.getLogger(__name__)


class BusServer:
    """A running server; use it as a context, or call ``stop``.

    Args:
        data_dir: Folder of the file; one server at a time.
        port: Port to listen on; 0 takes a free one.
        host: Address to listen on.
        max_bytes: See ``Broker``.
        sweep_seconds: Pause between two sweeps of what has passed its retention.

    Raises:
        RuntimeError: when another server uses the folder or the port.
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        port: int = 0,
        host: str = "127.0.0.1",
        max_bytes: int | None = None,
        sweep_seconds: float = 60.0,
    ) -> None:
        self._lock_file = _lock_folder(data_dir)
        self.broker = Broker(data_dir, max_bytes=max_bytes)
        self._stopping = threading.Event()
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="bus"), options=_CHANNEL_OPTIONS
        )
        self._server.add_generic_rpc_handlers(
            (
                PublisherService(self.broker).handlers(),
                SubscriberService(self.broker, self._stopping).handlers(),
            )
        )
        try:
            self.port: int = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError:
            self.broker.close()
            os.close(self._lock_file)
            raise
        self.address = f"{host}:{self.port}"
        self._server.start()
        self._sweeper = threading.Thread(target=self._sweep, args=(sweep_seconds,), daemon=True)
        self._sweeper.start()

    def stop(self) -> None:
        """End streams and waits, finish what is running, close the file."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        stopped = self._server.stop(_STOP_SECONDS)
        self.broker.stop()
        stopped.wait()
        self._sweeper.join()
        self.broker.close()
        os.close(self._lock_file)

    def __enter__(self) -> "BusServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _sweep(self, sweep_seconds: float) -> None:
        while not self._stopping.wait(sweep_seconds):
            try:
                self.broker.sweep()
            except Exception:
                _log.exception("the sweep of old messages failed; it is tried again")


def serve(
    *, data_dir: Path, port: int, host: str = "127.0.0.1", max_bytes: int | None = None
) -> None:
    """Serve until SIGTERM or SIGINT. See ``BusServer``.

    Raises:
        RuntimeError: when another server uses the folder or the port.
    """
    stop_asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_asked.set())
    with BusServer(data_dir=data_dir, port=port, host=host, max_bytes=max_bytes) as server:
        _log.info("the bus listens on %s", server.address)
        stop_asked.wait()


def _lock_folder(data_dir: Path) -> int:
    data_dir.mkdir(parents=True, exist_ok=True)
    lock_file = os.open(data_dir / "bus.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock_file)
        raise RuntimeError(
            f"{data_dir} is in use by another bus server; stop it, or choose another folder"
        ) from error
    return lock_file


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--max-bytes", type=int)
    logging.basicConfig(level=logging.INFO)
    serve(**vars(parser.parse_args()))
