"""Doubts in the wide rows, where they outlive the worker that had them, until they are settled.

Whoever has come to know all versions of their time settles them, this worker or any other: mistakes
are announced, then the doubt is written empty. Whatever another, still cut off, writes of the same
key and time afterwards is settled with it, as what was decided holds for both; of later times its
version is greater.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import orjson
import polars as pl
import xxhash

from stores.announcements import RULES, Announcements
from stores.wide_rows.port import CELL_SCHEMA, WideRows, WideRowsUnavailableError
from tallymark.doubts import DOUBT_KEY, DOUBT_SCHEMA, mistakes, together
from tallymark.row_keys import doubt_key, doubt_range
from tallymark.slots import DAY_US, HOUR_US

MAX_UNASKED: Final = 10_000
"""So many doubts are noted of ids that could not be asked for: anybody may make ids up."""
KEPT_US: Final = 48 * HOUR_US
"""As long as the bus keeps blocks, a settled doubt stays, so that nobody's note is removed."""
LOOKED_BACK_US: Final = 30 * DAY_US
ROWS_AN_HOUR: Final = 256
_IDS_A_CALL: Final = 1_000
_LOG: Final = logging.getLogger(__name__)
PropertiesOf = Callable[[list[str]], pl.DataFrame]


class Doubts:
    """The doubts of all workers on a store of wide rows; safe to share among threads.

    Args:
        wide_rows: Where they are.
    """

    def __init__(self, wide_rows: WideRows) -> None:
        self._wide_rows = wide_rows
        self._lock = threading.Lock()
        self._noted = DOUBT_SCHEMA.to_frame()
        self._unwritten = DOUBT_SCHEMA.to_frame()

    def note(self, doubts: pl.DataFrame) -> None:
        """Note doubts (``DOUBT_SCHEMA``) of this worker, those at once that are new or go on in
        another minute. Where the store does not answer they are written by the next call."""
        with self._lock:
            if doubts.is_empty() and self._unwritten.is_empty():
                return
            every = pl.concat([doubts, self._unwritten])
            fresh = self._without_surplus(_newer(every, self._noted))
            if fresh.is_empty():
                return
            try:
                self._wide_rows.write(_cells(fresh))
            except WideRowsUnavailableError as error:
                self._unwritten = fresh
                _LOG.warning("it could not be noted yet that rules may have changed: %s", error)
                return
            self._unwritten = self._unwritten.clear()
            self._noted = together(pl.concat([self._noted, fresh]))

    def _without_surplus(self, fresh: pl.DataFrame) -> pl.DataFrame:
        is_unasked = pl.col("known_version") == 0
        room = MAX_UNASKED - self._noted.filter(is_unasked).height
        unasked = fresh.filter(is_unasked)
        if unasked.height <= room:
            return fresh
        if room > 0:
            _LOG.error("more than %d ids could not be asked for: late hits among those beyond are "
                       "announced by nobody (tallymark dead-letters --reason rules_unavailable)",
                       MAX_UNASKED)  # fmt: skip
        return pl.concat([fresh.filter(~is_unasked), unasked.head(max(0, room))])

    def held(self) -> pl.DataFrame:
        """All doubts that are not settled (``DOUBT_SCHEMA``), of all workers.

        Raises:
            WideRowsUnavailableError: when the store does not answer.
        """
        return _decoded(self._wide_rows.read([doubt_range()], ("c",)))

    def settle(self, valid_through: int, properties_of: PropertiesOf) -> int:
        """Announce the mistakes among doubts, and forget what is settled.

        Args:
            valid_through: UTC µs through which ``properties_of`` knows all versions.
            properties_of: Rules of the measurement ids it is given (``PROPERTY_SCHEMA``).

        Returns:
            How many hours of properties were announced.

        Raises:
            WideRowsUnavailableError: when the store does not answer; to be called again.
            RulesUnavailableError: when the rules could not be asked after all; as well.
        """
        stored = self._wide_rows.read([doubt_range()], ("c",))
        if stored.is_empty():
            return 0
        ripe = _decoded(stored).filter(pl.col("through") <= valid_through)
        count = sum(self._settle(some, properties_of) for some in _by_ids(ripe))
        with self._lock:
            self._noted = self._noted.filter(pl.col("through") > valid_through)
        long_ago = doubt_range(valid_through - KEPT_US)
        if stored.item(0, "row_key") < long_ago[1]:
            self._wide_rows.delete([long_ago])
        return count

    def _settle(self, doubts: pl.DataFrame, properties_of: PropertiesOf) -> int:
        ids = doubts.get_column("measurement_id").unique().sort().to_list()
        wrong = mistakes(doubts, properties_of(ids))
        told = ((owner, hour, block.encode()) for owner, hour, block in wrong.iter_rows())
        Announcements(self._wide_rows, RULES).announce(told)
        self._wide_rows.write(_cells(doubts, is_settled=True))
        hours = wrong.select("property_id", "event_hour").unique()
        if not hours.is_empty():
            _LOG.warning(
                "%d hours of properties were processed by rules that had changed unknown to a "
                "worker; they are announced, to be computed again", hours.height,
            )  # fmt: skip
        return hours.height


@dataclass(frozen=True)
class MisruledHours:
    """How many hours of properties are, or may be, processed by rules that had changed.

    Attributes:
        doubtful: Hits of theirs were processed past what was known of the rules.
        wrong: Announced, and not computed again yet; of the last ``LOOKED_BACK_US``.
    """

    doubtful: int
    wrong: int

    @property
    def text(self) -> str:
        """For people; "" where there are none."""
        said = (
            (self.doubtful, "may be processed by rules that have changed: the stream was cut off "
             "from them; it is told once they can be followed"),
            (self.wrong, "were processed by rules that had changed; tallymark stale lists them"),
        )  # fmt: skip
        return "; ".join(f"{count} hours of properties {what}" for count, what in said if count)


def misruled_hours(wide_rows: WideRows, now_us: int) -> MisruledHours:
    """What is in doubt, and what was announced.

    Raises:
        WideRowsUnavailableError: when the store does not answer.
    """
    wrong = Announcements(wide_rows, RULES).outstanding(now_us - LOOKED_BACK_US, now_us + HOUR_US)
    doubtful = Doubts(wide_rows).held().select("measurement_id", "event_hour").unique()
    return MisruledHours(doubtful.height, len(wrong))


def _newer(doubts: pl.DataFrame, noted: pl.DataFrame) -> pl.DataFrame:
    """Those that are not noted, or only for an earlier time."""
    before = noted.select(*DOUBT_KEY, before="through")
    found = together(doubts).join(before, on=list(DOUBT_KEY), how="left")
    is_new = pl.col("before").is_null() | (pl.col("through") > pl.col("before"))
    return found.filter(is_new).select(list(DOUBT_SCHEMA))


def _by_ids(doubts: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Parts of so many measurement ids."""
    ids = doubts.get_column("measurement_id").unique().sort()
    for some in ids.to_frame().iter_slices(_IDS_A_CALL):
        yield doubts.join(some, on="measurement_id", how="semi")


def _cells(doubts: pl.DataFrame, *, is_settled: bool = False) -> pl.DataFrame:
    """A cell a doubt. Those of ids that others made up are many: rows share them out."""
    cells = [
        (
            doubt_key(row["received_hour"], _share(row["measurement_id"])),
            "c",
            orjson.dumps([row[name] for name in DOUBT_KEY]),
            row["through"] + is_settled,
            b"" if is_settled else orjson.dumps([row["block"], row["through"]]),
        )
        for row in doubts.iter_rows(named=True)
    ]
    return pl.DataFrame(cells, schema=CELL_SCHEMA, orient="row")


def _share(measurement_id: str) -> int:
    return xxhash.xxh3_64_intdigest(measurement_id.encode()) % ROWS_AN_HOUR


def _decoded(cells: pl.DataFrame) -> pl.DataFrame:
    rows = [
        (*orjson.loads(key), *orjson.loads(value))
        for key, value in cells.select("qualifier", "value").iter_rows()
        if value
    ]
    return pl.DataFrame(rows, schema=DOUBT_SCHEMA, orient="row")
