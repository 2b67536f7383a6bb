"""Properties of a file: all of them, for a machine whose properties are not many."""

import logging
from collections.abc import Callable
from pathlib import Path

import orjson

from collector.known_streams import KnownStream, digest_of, streams_of
from tallymark.secret_verdicts import INVALID, VALID

_LOG = logging.getLogger(__name__)


class PropertiesFile:
    """Data streams and hashed secrets, read again when the file has been replaced.

    Args:
        path: The document of ``stores.rules_cache.documents``.
        clock: UTC µs.
    """

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._path = path
        self._clock = clock
        self._stamp: tuple[int, int, int] | None = None
        self._streams: dict[str, KnownStream] | None = None
        self._count = 0
        self.refresh()

    def __len__(self) -> int:
        """How many properties are known."""
        return self._count

    def refresh(self) -> None:
        """Read the file if it has changed. One that is gone or broken leaves the last rules."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            document = orjson.loads(self._path.read_bytes())
            rows = document["properties"]
            self._streams = {
                measurement_id: stream
                for row in rows
                for measurement_id, stream in streams_of(row).items()
            }
            self._count = len(rows)
            self._stamp = stamp
        except FileNotFoundError:
            return
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            _LOG.warning("properties file kept as last read, it cannot be read now: %r", error)

    def find(self, measurement_id: str) -> KnownStream | None:
        """The data stream, if it is in the file."""
        return (self._streams or {}).get(measurement_id)

    def find_soon(self, measurement_id: str) -> KnownStream | None:
        """The same."""
        return self.find(measurement_id)

    def is_unknown(self, measurement_id: str) -> bool:
        """Whether no data stream has this id; false of any while no file has been read yet."""
        return self._streams is not None and measurement_id not in self._streams

    def verdict(self, measurement_id: str, secret: str) -> str:
        """Whether ``secret`` belongs to the data stream.

        The verdict is recorded and cannot be mended later, as the secret is not kept. So a refusal
        is given only by the file as it stands now: the property may have been made a moment ago.
        """
        digest = digest_of(secret)
        if self._accepts(measurement_id, digest):
            return VALID
        self.refresh()
        return VALID if self._accepts(measurement_id, digest) else INVALID

    def close(self) -> None:
        """There is nothing to let go."""

    def _accepts(self, measurement_id: str, digest: str) -> bool:
        stream = self.find(measurement_id)
        return stream is not None and stream.accepts_secret(digest, self._clock())
