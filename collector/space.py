"""Space: how much of the allowed space the spools fill, so that a full collector says so."""

import os
import time
from pathlib import Path
from typing import Final

FULL_FRACTION: Final = 0.85
_SHARE_OF_TIME: Final = 0.02


class SpoolSpace:
    """The space that all spools of a folder may take together.

    The folder is measured by ``measure``, in between a worker counts what it has written itself.
    """

    def __init__(self, folder: Path, allowed_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = int(allowed_bytes * FULL_FRACTION)
        self._measure_again_at = 0.0
        self.used_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether a request has to be turned away."""
        return self.used_bytes >= self._limit_bytes

    def measure_when_due(self) -> None:
        """Measure, unless it was done so lately that it would take over 2 % of the time."""
        started = time.monotonic()
        if started >= self._measure_again_at:
            self.measure()
            spent = time.monotonic() - started
            self._measure_again_at = started + spent / _SHARE_OF_TIME

    def measure(self) -> None:
        """Add up the files of all spools."""
        self.used_bytes = sum(_bytes_in(spool) for spool in _entries(self._folder))


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []  # shipped and gone since it was listed


def _bytes_in(spool: os.DirEntry[str]) -> int:
    total = 0
    for entry in _entries(spool.path):
        try:
            total += entry.stat().st_size
        except FileNotFoundError:
            continue
    return total
