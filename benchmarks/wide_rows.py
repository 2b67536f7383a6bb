"""What wide rows in SQLite cost: cells written a second, and a 30-day report's cells read.

Each figure stands beside that of bare sqlite3: `executemany` of ready tuples without versions, and
`fetchall` without a frame.

Run: python -m benchmarks.wide_rows [--properties 100] [--value-bytes 180] [--flush-cells 2000]
"""

import argparse
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from stores.wide_rows.port import CELL_SCHEMA
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.row_keys import rollup_prefix, rollup_range
from tallymark.slots import DAY_US, HOUR_US

FIRST_US = 1_767_225_600_000_000  # 2026-01-01
DAYS = 30
READS = 300

Cell = tuple[bytes, str, bytes, int, bytes]


def cells_of_all_days(properties: int, value_bytes: int) -> list[Cell]:
    """A cell an hour of each property, in random order."""
    cells = [
        (
            f"{rollup_prefix(number, 'totals')}202601{day + 1:02d}#live-1#00".encode(),
            "n",
            (FIRST_US + day * DAY_US + hour * HOUR_US).to_bytes(8, "big"),
            1,
            os.urandom(value_bytes),
        )
        for number in range(properties)
        for day in range(DAYS)
        for hour in range(24)
    ]
    random.Random(7).shuffle(cells)
    return cells


class Bare:
    """The same cells in the same table shape, by hand."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("page_size = 8192", "journal_mode = WAL", "synchronous = NORMAL"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.execute(
            "CREATE TABLE cells (row_key BLOB, family TEXT, qualifier BLOB, version INTEGER, "
            "value BLOB, PRIMARY KEY (row_key, family, qualifier)) WITHOUT ROWID"
        )

    def write(self, cells: list[Cell]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany("INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?)", cells)
        self.connection.execute("COMMIT")

    def read(self, start: bytes, end: bytes) -> int:
        query = "SELECT * FROM cells WHERE row_key >= ? AND row_key < ?"
        return len(self.connection.execute(query, (start, end)).fetchall())


def cells_a_second(write: Callable[[int], None], flushes: int, flush_cells: int) -> float:
    started = time.perf_counter()
    for number in range(flushes):
        write(number)
    return flushes * flush_cells / (time.perf_counter() - started)


def median_ms(read: Callable[[int], int], properties: int) -> float:
    chance, taken = random.Random(8), []
    for _ in range(READS):
        number = chance.randrange(properties)
        started = time.perf_counter()
        cells = read(number)
        taken.append((time.perf_counter() - started) * 1e3)
        assert cells == DAYS * 24
    return statistics.median(taken)


def run(folder: Path, properties: int, value_bytes: int, flush_cells: int) -> None:
    cells = cells_of_all_days(properties, value_bytes)
    flushes = [cells[at : at + flush_cells] for at in range(0, len(cells), flush_cells)]
    frames = [pl.DataFrame(flush, schema=CELL_SCHEMA, orient="row") for flush in flushes]
    ours, bare = SqliteWideRows(folder / "ours.db"), Bare(folder / "bare.db")
    print(f"{len(cells):,} cells of {value_bytes} bytes, {flush_cells:,} a flush, random order")
    for what in ("written first", "written again"):
        rate = cells_a_second(lambda n: ours.write(frames[n]), len(frames), flush_cells)
        base = cells_a_second(lambda n: bare.write(flushes[n]), len(flushes), flush_cells)
        print(
            f"{what:14} {rate:9,.0f} cells/s; bare {base:9,.0f} cells/s; "
            f"ratio {rate / base:.2f}; bar 20,000 cells/s"
        )
    ranges = [
        rollup_range(number, "totals", FIRST_US, FIRST_US + DAYS * DAY_US)
        for number in range(properties)
    ]
    ms = median_ms(lambda n: len(ours.read([ranges[n]], ("n",))), properties)
    base = median_ms(lambda n: bare.read(*ranges[n]), properties)
    print(
        f"read 720 cells {ms:9.2f} ms; bare {base:9.2f} ms; ratio {ms / base:.2f} (frame included)"
    )
    ours.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--properties", type=int, default=100)
    parser.add_argument("--value-bytes", type=int, default=180)
    parser.add_argument("--flush-cells", type=int, default=2_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), arguments.properties, arguments.value_bytes, arguments.flush_cells)


if __name__ == "__main__":
    main()
