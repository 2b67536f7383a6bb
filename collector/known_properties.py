"""Known properties: the little that a worker has to know, read from the rules' JSON file.

Workers do not import the rules cache: it brings Polars along, and they are to stay small.
"""

import hashlib
import hmac
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

_LOG = logging.getLogger(__name__)


class _Stream(NamedTuple):
    """What is known of one data stream: hosts, and (hash, UTC µs of its end) of each secret."""

    hosts: tuple[str, ...]
    secrets: tuple[tuple[str, int | None], ...]


class KnownProperties:
    """Data streams and hashed secrets, read again when the file has been replaced.

    Args:
        path: The document of ``stores.rules_cache.documents``.
        clock: UTC µs.
    """

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._path = path
        self._clock = clock
        self._stamp: tuple[int, int, int] | None = None
        self._streams: dict[str, _Stream] | None = None
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
            entries = document["properties"]
            self._streams = {
                str(stream["measurement_id"]): _stream(stream, _newest_hosts(entry))
                for entry in entries
                for stream in entry["data_streams"]
            }
            self._count = len(entries)
            self._stamp = stamp
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _LOG.warning("properties file kept as last read, it cannot be read now: %r", error)

    def knows(self, measurement_id: str) -> bool:
        """Whether a data stream has this id; true of any while no file has been read yet."""
        return self._streams is None or measurement_id in self._streams

    def allows_page_of(self, measurement_id: str, origin: str, referer: str) -> bool:
        """Whether the stream, or else the newest rules, expect hits of the page a browser names.

        The answer is a hint: what counts is the page that the hit itself names.
        """
        stream = (self._streams or {}).get(measurement_id)
        allowed = stream.hosts if stream else ()
        host = (_host_of(origin) or _host_of(referer)) if allowed else ""
        if not allowed or not host:
            return True
        return host in allowed or host.endswith(tuple("." + each for each in allowed))

    def accepts_secret(self, measurement_id: str, secret: str) -> bool:
        """Whether ``secret`` belongs to the data stream (constant time; false if it is unknown).

        The verdict is recorded and cannot be mended later, as the secret is not kept. So a refusal
        is given only by the file as it stands now: the property may have been made a moment ago.
        """
        given = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
        if self._is_secret_of(measurement_id, given):
            return True
        self.refresh()
        return self._is_secret_of(measurement_id, given)

    def _is_secret_of(self, measurement_id: str, digest: str) -> bool:
        stream = (self._streams or {}).get(measurement_id)
        now = self._clock()
        found = [
            hmac.compare_digest(digest, each) and (until is None or now < until)
            for each, until in (stream.secrets if stream else ())
        ]
        return any(found)


def _stream(row: dict[str, Any], hosts: tuple[str, ...]) -> _Stream:
    own = tuple(str(host) for host in row.get("allowed_hosts", ()))
    secrets = tuple((str(key["hash"]), key["expires_at"]) for key in row["api_secrets"])
    return _Stream(own or hosts, secrets)


def _newest_hosts(entry: dict[str, Any]) -> tuple[str, ...]:
    versions = entry.get("versions") or [{}]
    return tuple(str(host) for host in versions[-1].get("allowed_hosts", ()))


def _host_of(address: str) -> str:
    """The host of a URL in lower case, "" where there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
