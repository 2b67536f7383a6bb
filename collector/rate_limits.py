"""Rate limits: how many requests of a property and of a network are taken a second.

The workers of a collector count together, through files that each of them maps: a file a worker,
which alone writes it, so nobody waits for a lock. A file holds slots, each a second and the number
of requests admitted in it; a property or network counts in the slot that its hash names. What
decides is the sum over all files.

Two that share a slot share its limit: of 65,536 slots a flooded one takes one in 65,536 others
with it, and under a salt nobody can choose whom. Two threads of a worker may both write the same
count; a limit is therefore kept to within a few requests.
"""

import fcntl
import mmap
import os
import secrets
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from collector.peers import TrustedProxies, network_of
from collector.reasons import NETWORK_LIMIT, PROPERTY_LIMIT, Refusal

SLOTS: Final = 65_536
_SLOT_BYTES: Final = 8
_COUNT_BITS: Final = 32
_COUNT: Final = 2**_COUNT_BITS - 1
_SALT_NAME: Final = "salt"
_NEVER_LIMITED: Final = tuple(
    ip_network(network)
    for network in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
                    "fc00::/7")
)  # fmt: skip
"""Loopback and private networks: of a balancer that nobody has named, not of a visitor."""


class RateLimitedError(Exception):
    """A request is beyond a limit; ``refusal`` says which."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class SharedCounts:
    """What the workers of a collector have admitted in the current second.

    Args:
        folder: Where the files lie.
        rows: How many workers count at once.

    Raises:
        OSError: when the folder cannot be written.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._salt = _salt_in(folder)
        # One more than there are workers: a worker that ends may still be there when the next one
        # has begun.
        files = [_open_row(folder / f"row-{number}") for number in range(rows + 1)]
        views = [memoryview(mmap.mmap(file, SLOTS * _SLOT_BYTES)).cast("Q") for file in files]
        own = next((number for number, file in enumerate(files) if _is_claimed(file)), None)
        self._claim = None if own is None else files[own]
        # A worker for which no file is left counts by itself.
        self._own = memoryview(bytearray(SLOTS * _SLOT_BYTES)).cast("Q")
        if own is not None:
            self._own = views.pop(own)
        self._others = views
        for file in files:
            if file != self._claim:
                os.close(file)
        self._slot_of = lru_cache(maxsize=16_384)(self._hashed)

    def admit(self, key: str, limit: int, second: int) -> bool:
        """Count a request of ``key``, unless ``limit`` of this second have been admitted."""
        slot = self._slot_of(key)
        word = self._own[slot]
        count = word & _COUNT if word >> _COUNT_BITS == second else 0
        total = count
        for row in self._others:
            word = row[slot]
            if word >> _COUNT_BITS == second:
                total += word & _COUNT
        if total >= limit:
            return False
        self._own[slot] = second << _COUNT_BITS | (count + 1)
        return True

    def close(self) -> None:
        """Leave the file to the next worker."""
        if self._claim is not None:
            # The map holds the lock too, so closing the file would not give it up.
            fcntl.flock(self._claim, fcntl.LOCK_UN)
            os.close(self._claim)
            self._claim = None

    def _hashed(self, key: str) -> int:
        named = key.encode("utf-8", "surrogatepass")
        digest = blake2b(named, key=self._salt, digest_size=8).digest()
        return int.from_bytes(digest) % SLOTS


class RateLimits:
    """The limits of a collector; a limit of 0 is none.

    Args:
        counts: Shared by its workers.
        per_property: Requests a second of a known measurement id.
        per_network: Requests a second of a visitor's network (/24, /48).
        proxies: Their own addresses are not limited, nor are loopback and private ones.
        seconds: Seconds of the machine that never go back and are the same in all its processes.
    """

    def __init__(
        self,
        counts: SharedCounts,
        *,
        per_property: int,
        per_network: int,
        proxies: TrustedProxies,
        seconds: Callable[[], float],
    ) -> None:
        self._counts = counts
        self._per_property = per_property
        self._per_network = per_network
        self._proxies = proxies
        self._seconds = seconds
        self._limited_network_of = lru_cache(maxsize=16_384)(self._limited_network)

    def admit_network(self, address: str) -> None:
        """Count a request from ``address``.

        Raises:
            RateLimitedError: when its network is beyond the limit.
        """
        if not self._per_network:
            return
        network = self._limited_network_of(address)
        if network and not self._counts.admit(network, self._per_network, int(self._seconds())):
            raise RateLimitedError(NETWORK_LIMIT)

    def admit_property(self, measurement_id: str) -> None:
        """Count a request of a property.

        Raises:
            RateLimitedError: when it is beyond the limit.
        """
        if not self._per_property:
            return
        if not self._counts.admit(measurement_id, self._per_property, int(self._seconds())):
            raise RateLimitedError(PROPERTY_LIMIT)

    def close(self) -> None:
        """Count no more."""
        self._counts.close()

    def _limited_network(self, address: str) -> str:
        """The network of ``address``, "" where no limit holds for it."""
        network = network_of(address)
        if not network or self._proxies.trusts(address):
            return ""
        first = ip_address(network.partition("/")[0])
        if str(first) == "::" or any(first in never for never in _NEVER_LIMITED):
            return ""
        return network


def begin_anew(folder: Path) -> None:
    """Forget the counts of a collector that has ended, and draw a new salt.

    To be called before the workers start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.iterdir():
        left_over.unlink()
    _salt_in(folder)


def _salt_in(folder: Path) -> bytes:
    path = folder / _SALT_NAME
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.write_bytes(secrets.token_bytes(32))
        return path.read_bytes()


def _open_row(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(file, SLOTS * _SLOT_BYTES)
    return file


def _is_claimed(file: int) -> bool:
    """Whether this worker is the one that writes ``file`` from now on."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
