"""Known properties: the little that a worker has to know, read from the rules' JSON file.

Workers do not import the rules cache: it brings Polars along, and they are to stay small.
"""

import hashlib
import hmac
import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

_LOG = logging.getLogger(__name__)


class KnownProperties:
    """Measurement ids and hashed secrets, read again when the file has been replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._hashes: dict[str, str] | None = None
        self._hosts: dict[str, tuple[str, ...]] = {}
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
            entries = document["properties"]
            hashes = {
                str(entry["measurement_id"]): str(entry["api_secret_hash"]) for entry in entries
            }
            hosts = {str(entry["measurement_id"]): _newest_hosts(entry) for entry in entries}
            self._hashes = hashes
            self._hosts = {owner: allowed for owner, allowed in hosts.items() if allowed}
            self._stamp = stamp
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _LOG.warning("properties file kept as last read, it cannot be read now: %r", error)

    def knows(self, measurement_id: str) -> bool:
        """Whether a property has this id; true of any while no file has been read yet."""
        return self._hashes is None or measurement_id in self._hashes

    def allows_page_of(self, measurement_id: str, origin: str, referer: str) -> bool:
        """Whether the property's newest rules allow hits of the page that a browser names.

        The answer is a hint: what counts is the page that the hit itself names.
        """
        allowed = self._hosts.get(measurement_id)
        host = (_host_of(origin) or _host_of(referer)) if allowed else ""
        if not allowed or not host:
            return True
        return host in allowed or host.endswith(tuple("." + each for each in allowed))

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


def _newest_hosts(entry: dict[str, Any]) -> tuple[str, ...]:
    versions = entry.get("versions") or [{}]
    return tuple(str(host) for host in versions[-1].get("allowed_hosts", ()))


def _host_of(address: str) -> str:
    """The host of a URL in lower case, "" where there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
