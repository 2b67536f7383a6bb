"""Known properties: the little that a worker has to know, read from the rules' JSON file.

Workers do not import the rules cache: it brings Polars along, and they are to stay small.
"""

import hashlib
import hmac
import logging
from pathlib import Path

import orjson

_LOG = logging.getLogger(__name__)


class KnownProperties:
    """Measurement ids and hashed secrets, read again when the file has been replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._hashes: dict[str, str] | None = None
        self.refresh()

    def __len__(self) -> int:
        """How many properties are known."""
        return len(self._hashes or ())

    def refresh(self) -> None:
        """Read the file if it has changed. One that is gone or broken leaves the last rules."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            document = orjson.loads(self._path.read_bytes())
            self._hashes = {
                str(entry["measurement_id"]): str(entry["api_secret_hash"])
                for entry in document["properties"]
            }
            self._stamp = stamp
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            _LOG.warning("properties file kept as last read, it cannot be read now: %r", error)

    def knows(self, measurement_id: str) -> bool:
        """Whether a property has this id; true of any while no file has been read yet."""
        return self._hashes is None or measurement_id in self._hashes

    def accepts_secret(self, measurement_id: str, secret: str) -> bool:
        """Whether ``secret`` belongs to the property (constant time; false if it is unknown).

        The verdict is recorded and cannot be mended later, as the secret is not kept. So a refusal
        is given only by the file as it stands now: the property may have been made a moment ago.
        """
        given = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
        if self._is_secret_of(measurement_id, given):
            return True
        self.refresh()
        return self._is_secret_of(measurement_id, given)

    def _is_secret_of(self, measurement_id: str, digest: str) -> bool:
        return hmac.compare_digest(digest, (self._hashes or {}).get(measurement_id, ""))
