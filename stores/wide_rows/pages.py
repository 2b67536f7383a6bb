"""Pages: key ranges of any size, read so many rows at a time."""

from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from stores.wide_rows.limits import merged_ranges
from stores.wide_rows.port import WideRows

RANGES_A_READ: Final = 1_000


def pages(
    wide_rows: WideRows,
    ranges: Sequence[tuple[bytes, bytes]],
    families: tuple[str, ...] = (),
    *,
    rows_a_page: int,
) -> Iterator[pl.DataFrame]:
    """The newest cells (``CELL_SCHEMA``) of the rows in half-open key ranges, ordered by key.

    Each page is as of a moment of its own. Many small ranges cost as few reads as one large one.

    Args:
        wide_rows: Where to read.
        ranges: As ``WideRows.read`` takes them.
        families: None for all.
        rows_a_page: At most so many rows are in a page; none is split, and none is empty.
    """
    merged = merged_ranges(ranges)
    for first in range(0, len(merged), RANGES_A_READ):
        left = merged[first : first + RANGES_A_READ]
        while left:
            page = wide_rows.read(left, families, most_rows=rows_a_page)
            if not page.is_empty():
                yield page
            if page.get_column("row_key").n_unique() < rows_a_page:
                break
            left = _behind(page.get_column("row_key").item(-1), left)


def _behind(row_key: bytes, ranges: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What the ranges hold above a key."""
    above = row_key + b"\x00"
    return [(max(start, above), end) for start, end in ranges if end > above]
