"""Segment files: an open segment, written through a memory map.

A store into the map is in the page cache at once, so it outlives the process like a write does,
at a tenth of the price: no system call, and no other thread that takes the interpreter meanwhile.
Space is allocated before it is mapped: a full disk is an error here and not a signal.
"""

import mmap
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

from collector.segments import FRAME

_FIRST_BYTES: Final = 1 << 16
_POPULATE_WRITE: Final = 23  # MADV_POPULATE_WRITE, which the module does not name yet


class SegmentFile:
    """A segment being written. What has been allocated and not been used reads as zeros.

    Raises:
        OSError: when the disk has no room for it; there may be an empty file then.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._capacity = _FIRST_BYTES
        try:
            os.posix_fallocate(self._descriptor, 0, self._capacity)
            self._map = mmap.mmap(self._descriptor, self._capacity)
            self._touch(0)
        except OSError:
            os.close(self._descriptor)
            raise
        self.size_bytes = 0

    def append(self, payload: bytes) -> int:
        """Write a record and return the bytes it took.

        Raises:
            OSError: when the disk has no room for it; nothing is written then.
        """
        start = self.size_bytes + FRAME.size
        end = start + len(payload)
        if end > self._capacity:
            self._grow(end)
        FRAME.pack_into(self._map, self.size_bytes, len(payload), zlib.crc32(payload))
        self._map[start:end] = payload
        taken = end - self.size_bytes
        self.size_bytes = end
        return taken

    def duplicate(self) -> int:
        """A descriptor of its own, for an fsync that may outlast this object."""
        return os.dup(self._descriptor)

    def sync(self) -> None:
        """Return once everything written survives the death of the machine."""
        os.fdatasync(self._descriptor)

    def finish(self) -> None:
        """Give back what was allocated and not used. Nothing can be appended any more."""
        self._map.close()
        os.ftruncate(self._descriptor, self.size_bytes)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        os.close(self._descriptor)

    def _grow(self, needed_bytes: int) -> None:
        capacity = max(2 * self._capacity, needed_bytes)
        os.posix_fallocate(self._descriptor, 0, capacity)
        self._map.resize(capacity)
        grown_from, self._capacity = self._capacity, capacity
        self._touch(grown_from)

    def _touch(self, start: int) -> None:
        """Fault all pages in at once: one by one they would cost more than all the rest."""
        with suppress(OSError):  # a kernel that cannot will fault them in as they are used
            self._map.madvise(_POPULATE_WRITE, start, self._capacity - start)
