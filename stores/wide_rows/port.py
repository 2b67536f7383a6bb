"""The port of the wide rows: versioned cells in rows ordered by key, as in Bigtable."""

from typing import Final, Protocol

import polars as pl

CELL_SCHEMA: Final = pl.Schema(
    {
        "row_key": pl.Binary,
        "family": pl.String,
        "qualifier": pl.Binary,
        "version": pl.Int64,
        "value": pl.Binary,
    }
)
"""Columns of a cell frame, written and read."""

FAMILIES: Final = ("n", "u", "c")
"""``n`` numbers, ``u`` unique sets, ``c`` control documents."""
MAX_VALUE_BYTES: Final = 1_000_000
MAX_VERSION: Final = 2**53 - 1
"""Bigtable keeps milliseconds in microseconds: a version is sent as version × 1,000."""


class WideRowsUnavailableError(Exception):
    """The store cannot be reached or is too slow; the same call may succeed later.

    What was to be written may have been written or not.

    Attributes:
        retry_after_seconds: When it makes sense to try again.
    """

    def __init__(self, message: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class WideRows(Protocol):
    """Cells (row key, family, qualifier) whose newest version alone is seen.

    Writes may be repeated and may arrive in any order: a version older than the one held is
    dropped, an equal one rewrites it. Every method raises ``WideRowsUnavailableError`` when the
    store does not answer in time, ``ValueError`` when an argument breaks a limit.
    """

    def write(self, cells: pl.DataFrame) -> None:
        """Write a frame of ``CELL_SCHEMA``; the cells of one row become visible together."""

    def read(
        self,
        ranges: list[tuple[bytes, bytes]],
        families: tuple[str, ...] = (),
        *,
        most_rows: int | None = None,
    ) -> pl.DataFrame:
        """The newest cells of all rows in the half-open key ranges, ordered by key.

        Ranges may overlap; a row is returned once. A range whose end is not above its start holds
        nothing. Within a row the cells are ordered by family and qualifier. No ``families`` means
        all. With ``most_rows`` (1 or more) only the first so many rows that have such cells are
        returned, whole. The answer is a frame of ``CELL_SCHEMA``.
        """

    def read_rows(self, row_keys: list[bytes], families: tuple[str, ...] = ()) -> pl.DataFrame:
        """The newest cells of the named rows; rows that do not exist are left out."""

    def compare_and_set(
        self,
        row_key: bytes,
        qualifier: bytes,
        *,
        expected: bytes | None,
        value: bytes,
        version: int,
    ) -> bool:
        """Write a control document (family ``c``) if its newest value is ``expected``.

        ``None`` expects that there is none. Returns whether it was written; it is not, either,
        when the version held is ``version`` or above. A document that is set this way must be
        written in no other.
        """

    def delete(self, ranges: list[tuple[bytes, bytes]]) -> None:
        """Remove every cell of the rows in the half-open ranges."""

    def close(self) -> None:
        """Let go of connections and files."""
