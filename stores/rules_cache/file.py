"""The rules in one JSON file: what a single machine needs of the port."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from stores.clock import utc_seconds
from stores.rules_cache.documents import decode_properties
from stores.rules_cache.problems import InvalidPropertyError
from tallymark.properties import Property, properties_frame
from tallymark.rules_delay import RULES_DELAY_SECONDS

LOOK_SECONDS: Final = 1.0
"""The file is looked at this often at most, and read only when it has changed."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Copy:
    """One reading of the file: never changed, replaced as a whole."""

    by_measurement_id: dict[str, Property]
    by_property_id: dict[int, Property]
    frame: pl.DataFrame


class FileRulesCache:
    """The port ``RulesCache`` over the file at ``path``; safe to share among threads.

    While the file is broken or gone the cache goes on with the last good copy, says so loudly and
    stops moving ``valid_through``. A file that never existed is one without properties.

    Args:
        path: The JSON document, see ``stores.rules_cache.documents``.
        clock: UTC seconds.

    Raises:
        InvalidPropertyError: when the first reading finds a broken file; there is no good copy
            to go on with.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = utc_seconds) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._copy = _copy_of([])
        self._trouble = ""
        self._looked_at = clock()
        self._good_at = self._looked_at
        self._read()

    def by_measurement_id(self, measurement_id: str) -> Property | None:
        """The property that ``measurement_id`` belongs to."""
        return self._current().by_measurement_id.get(measurement_id)

    def by_property_id(self, property_id: int) -> Property | None:
        """The property of this id; an unknown one makes the cache look at the file at once."""
        found = self._current().by_property_id.get(property_id)
        return found or self._at_once().by_property_id.get(property_id)

    def frame(self, measurement_ids: Iterable[str]) -> pl.DataFrame:
        """All versions of the properties named, as ``PROPERTY_SCHEMA``.

        An unknown one makes the cache look at the file at once: a property that was created a
        moment ago must not lose its first hits.
        """
        names = list(measurement_ids)
        copy = self._current()
        if not all(name in copy.by_measurement_id for name in names):
            copy = self._at_once()
        wanted = pl.Series(names, dtype=pl.String).implode()
        return copy.frame.filter(pl.col("measurement_id").is_in(wanted))

    def properties(self) -> Iterator[Property]:
        """Every property, by id, of one reading of the file."""
        return iter(self._current().by_property_id.values())

    def valid_through(self) -> int:
        """UTC µs through which no change can exist that this cache does not know."""
        self._current()
        return int((self._good_at + RULES_DELAY_SECONDS) * 1_000_000)

    def close(self) -> None:
        """There is nothing to let go."""

    def _at_once(self) -> _Copy:
        with self._lock:
            self._looked_at = self._clock()
            self._look_again()
        return self._copy

    def _current(self) -> _Copy:
        now = self._clock()
        # A clock that was put back must not keep us from looking.
        if not 0 <= now - self._looked_at < LOOK_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._looked_at = now
                self._look_again()
            finally:
                self._lock.release()
        return self._copy

    def _look_again(self) -> None:
        try:
            self._read()
        except (OSError, InvalidPropertyError) as error:
            if self._trouble != str(error):
                self._trouble = str(error)
                logger.error(
                    "the rules in %s cannot be read, going on with the last good copy of %d "
                    "properties; mend the file:\n%s",
                    self._path,
                    len(self._copy.by_property_id),
                    error,
                )

    def _read(self) -> None:
        """Take the file in if it has changed."""
        looked_at = self._looked_at
        try:
            found = self._path.stat()
        except FileNotFoundError:
            if self._stamp is not None:
                raise
            self._good_at = looked_at
            return
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp != self._stamp or self._trouble:
            self._copy = _copy_of(decode_properties(self._path.read_bytes()))
            self._stamp = stamp
            if self._trouble:
                logger.warning("the rules in %s can be read again", self._path)
                self._trouble = ""
        self._good_at = looked_at


def _copy_of(properties: list[Property]) -> _Copy:
    return _Copy(
        by_measurement_id={one: owner for owner in properties for one in owner.measurement_ids},
        by_property_id={owner.property_id: owner for owner in properties},
        frame=properties_frame(properties),
    )
