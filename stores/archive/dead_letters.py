"""Dead letters: what could not be counted, kept with its reason until it is replayed."""

import io
from collections.abc import Callable, Collection, Iterator
from itertools import groupby
from typing import Final

import polars as pl

from stores.archive.hours import hour_name
from stores.archive.port import Objects
from tallymark.hits import DEAD_LETTER_SCHEMA
from tallymark.slots import HOUR_US

DEAD_LETTERS: Final = "dead_letters/"


class DeadLetters:
    """Dead letters in an object store, ``dead_letters/LINEAGE/YYYY-MM-DDTHH/BLOCK.parquet``.

    The hour is the one that the request was received in.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def write(self, lineage: str, block_name: str, letters: pl.DataFrame) -> None:
        """Keep the letters of a block; once more replaces what was kept of it.

        Raises:
            ValueError: when ``letters`` lack a column of ``DEAD_LETTER_SCHEMA``.
        """
        missing = set(DEAD_LETTER_SCHEMA) - set(letters.columns)
        if missing:
            raise ValueError(f"dead letters: expected {list(DEAD_LETTER_SCHEMA)}, lack {missing}")
        letters = letters.select(list(DEAD_LETTER_SCHEMA)).cast(DEAD_LETTER_SCHEMA)
        hour = pl.col("received_at") // HOUR_US * HOUR_US
        for (hour_us,), of_hour in letters.group_by(hour.alias("hour"), maintain_order=True):
            content = io.BytesIO()
            of_hour.select(list(DEAD_LETTER_SCHEMA)).write_parquet(content)
            name = f"{DEAD_LETTERS}{lineage}/{hour_name(hour_us)}/{block_name}.parquet"
            self._objects.put(name, content.getvalue())

    def clear(self, lineage: str, hours: Collection[int]) -> None:
        """Remove the letters of received hours (UTC µs): they are about to be decoded again."""
        prefix, wanted = f"{DEAD_LETTERS}{lineage}/", {hour_name(hour) for hour in hours}
        for name in self._objects.names(prefix) if wanted else ():
            if _hour(name, prefix) in wanted:
                self._objects.delete(name)

    def take_out(
        self, lineage: str, hour_us: int, is_due: Callable[[pl.DataFrame], pl.Series]
    ) -> int:
        """Remove letters of a received hour (UTC µs) that are due; how many.

        Args:
            lineage: Whose.
            hour_us: UTC µs.
            is_due: Says it of letters (``DEAD_LETTER_SCHEMA``), row by row.
        """
        count = 0
        for name in self._objects.names(f"{DEAD_LETTERS}{lineage}/{hour_name(hour_us)}/"):
            letters = pl.read_parquet(io.BytesIO(self._objects.get(name)))
            kept = letters.filter(~is_due(letters))
            count += letters.height - kept.height
            if kept.is_empty():
                self._objects.delete(name)
            elif kept.height < letters.height:
                content = io.BytesIO()
                kept.write_parquet(content)
                self._objects.put(name, content.getvalue())
        return count

    def read(
        self, lineage: str, first_us: int | None = None, end_us: int | None = None
    ) -> pl.DataFrame:
        """The letters of a lineage, of all hours or of those that start in [first, end)."""
        names = self._names(lineage, first_us, end_us)
        parts = [pl.read_parquet(io.BytesIO(self._objects.get(name))) for name in names]
        return pl.concat([pl.DataFrame(schema=DEAD_LETTER_SCHEMA), *parts])

    def by_hour(self, lineage: str, first_us: int, end_us: int) -> Iterator[pl.DataFrame]:
        """The letters of each received hour that starts in [first, end), an hour at a time."""
        prefix = f"{DEAD_LETTERS}{lineage}/"
        names = sorted(self._names(lineage, first_us, end_us))
        for _, of_hour in groupby(names, key=lambda name: _hour(name, prefix)):
            files = [io.BytesIO(self._objects.get(name)) for name in of_hour]
            yield pl.concat(map(pl.read_parquet, files))

    def count(self, lineage: str, first_us: int | None = None, end_us: int | None = None) -> int:
        """How many letters ``read`` would give, without keeping them."""
        names = self._names(lineage, first_us, end_us)
        return sum(
            pl.read_parquet(io.BytesIO(self._objects.get(name)), columns=["received_at"]).height
            for name in names
        )

    def _names(self, lineage: str, first_us: int | None, end_us: int | None) -> list[str]:
        prefix = f"{DEAD_LETTERS}{lineage}/"
        first = "" if first_us is None else hour_name(first_us + HOUR_US - 1)
        end = "~" if end_us is None else hour_name(end_us + HOUR_US - 1)
        return [name for name in self._objects.names(prefix) if first <= _hour(name, prefix) < end]


def _hour(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).partition("/")[0]
