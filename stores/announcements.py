"""Announcements: hours of properties that have to be computed again.

``late``: hits came for them late. Streaming writes a cell a block into the row of (hour, property);
whoever has counted blocks in answers them. ``stale``: sessions of theirs depend on touches that a
publication has changed; the cell is named after the pointers, and who has counted by these or later
ones answers it. ``rules``: hits of theirs were processed by a worker that did not know of a change
of their rules in time; named and answered as late ones are, since whoever computes hours again does
not begin before it knows the rules of their time. What was answered is not raised again.
"""

from collections.abc import Collection, Iterable
from typing import Final

import orjson
import polars as pl

from stores.wide_rows.port import CELL_SCHEMA, WideRows
from tallymark.row_keys import announced_property, announcement_key, announcement_range
from tallymark.slots import HOUR_US

LATE: Final = "late"
STALE: Final = "stale"
RULES: Final = "rules"
ANSWERED: Final = b"answered"
"""Qualifier of the list of blocks that were counted in."""


class Announcements:
    """The announcements in a store of wide rows.

    Every method raises ``WideRowsUnavailableError`` when the store does not answer.

    Args:
        wide_rows: Where they are.
        kind: ``LATE``, ``STALE`` or ``RULES``.
    """

    def __init__(self, wide_rows: WideRows, kind: str = LATE) -> None:
        self._kind = kind
        self._wide_rows = wide_rows

    def outstanding(self, first_us: int, end_us: int) -> dict[tuple[int, int], set[bytes]]:
        """Blocks that nobody has counted in, by (property id, hour UTC µs)."""
        found = {
            where: blocks - answered
            for where, (blocks, answered) in self._rows(first_us, end_us).items()
        }
        return {where: blocks for where, blocks in found.items() if blocks}

    def announce(self, told: Iterable[tuple[int, int, bytes]]) -> int:
        """Announce blocks that nobody has counted in; how many announcements there are.

        Args:
            told: Property id, hour (UTC µs), name of the block.
        """
        cells = [
            (announcement_key(hour, owner, self._kind), "c", block, 1, b"")
            for owner, hour, block in told
        ]
        if cells:
            self._wide_rows.write(pl.DataFrame(cells, schema=CELL_SCHEMA, orient="row"))
        return len(cells)

    def announced(self, first_us: int, end_us: int) -> dict[tuple[int, int], set[bytes]]:
        """Blocks that were ever announced, counted in since or not, as ``outstanding`` has them."""
        found = self._rows(first_us, end_us)
        return {where: blocks for where, (blocks, _) in found.items() if blocks}

    def answer(
        self,
        first_us: int,
        end_us: int,
        blocks: Collection[bytes],
        *,
        version: int,
        property_id: int | None = None,
    ) -> int:
        """Note that hours have been computed with these blocks counted in.

        Args:
            first_us: UTC µs of the first hour.
            end_us: UTC µs behind the last one.
            blocks: Their names.
            version: Grows from note to note.
            property_id: Of this property alone; ``None`` means all.

        Returns:
            How many (property, hour) are answered for the first time, or with more.
        """
        counted = set(blocks)
        cells = [
            (
                announcement_key(hour, owner, self._kind),
                "c",
                ANSWERED,
                version,
                _encode(answered | more),
            )
            for (owner, hour), (told, answered) in self._rows(first_us, end_us).items()
            if property_id in (None, owner) and (more := (told & counted) - answered)
        ]
        if cells:
            self._wide_rows.write(pl.DataFrame(cells, schema=CELL_SCHEMA, orient="row"))
        return len(cells)

    def _rows(
        self, first_us: int, end_us: int
    ) -> dict[tuple[int, int], tuple[set[bytes], set[bytes]]]:
        """The blocks announced and those answered, by (property id, hour UTC µs)."""
        cells = self._wide_rows.read([announcement_range(first_us, end_us, self._kind)], ("c",))
        hours = {
            announcement_range(hour, hour, self._kind)[0]: hour for hour in _hours(first_us, end_us)
        }
        found: dict[tuple[int, int], tuple[set[bytes], set[bytes]]] = {}
        for key, qualifier, value in cells.select("row_key", "qualifier", "value").iter_rows():
            hour = hours[key.rpartition(b"#")[0]]
            told, answered = found.setdefault((announced_property(key), hour), (set(), set()))
            if qualifier == ANSWERED:
                answered.update(block.encode() for block in orjson.loads(value))
            else:
                told.add(qualifier)
        return found


def _hours(first_us: int, end_us: int) -> range:
    return range(first_us // HOUR_US * HOUR_US, end_us, HOUR_US)


def _encode(blocks: Collection[bytes]) -> bytes:
    return orjson.dumps(sorted(block.decode() for block in blocks))


def outstanding_hours(wide_rows: WideRows, first_us: int, end_us: int) -> set[tuple[int, int]]:
    """The (property id, hour UTC µs) in [first, end) of which anything announced is not answered.

    Raises:
        WideRowsUnavailableError: when the store does not answer.
    """
    return {
        where
        for kind in (LATE, STALE, RULES)
        for where in Announcements(wide_rows, kind).outstanding(first_us, end_us)
    }
