"""Files that the command line imports into a data folder, and the cells that they come to."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from beam_pipelines.replay import replay
from beam_pipelines.replay_request import ReplayRequest
from stores.archive.opening import open_objects
from stores.archive.raw import RawArchive
from stores.wide_rows.opening import open_wide_rows
from tallymark.decoded_cells import DecodedCells, decode
from tallymark.rollups import BY_NAME
from tallymark.row_keys import rollup_range
from tallymark.slots import HOUR_US

from .stack import Site, tallymark

Cells = dict[str, DecodedCells]
HOUR = (pl.col("slot_start") // 3_600_000_000).alias("hour")
"""UTC hours since 1970, as ``epoch_us(…) // 3600000000`` in DuckDB."""

FOLLOWED = """,
    followed AS (
        SELECT *, row_number() OVER by_time AS nth,
               first_value({'source': coalesce(source, '(direct)'),
                            'medium': coalesce(medium, '(none)')}) OVER by_time AS first,
               last_value(CASE WHEN source IS NOT NULL THEN
                              {'source': source, 'medium': medium, 'start': start} END IGNORE NULLS)
                   OVER (by_time ROWS UNBOUNDED PRECEDING) AS last
        FROM sessions WINDOW by_time AS (PARTITION BY client ORDER BY start)),
    told AS (
        SELECT *, coalesce(last.start >= start - 90 * 86400000000, false) AS is_named,
               CASE WHEN is_named THEN last.source ELSE '(direct)' END AS last_source,
               CASE WHEN is_named THEN last.medium ELSE '(none)' END AS last_medium,
               CASE WHEN nth = 1 THEN 'new' ELSE 'returning' END AS kind
        FROM followed)
"""
"""After ``sessions`` (client, start, source, medium: null where direct), in DuckDB: ``told``, what
the sessions of all time say of each."""


@dataclass(frozen=True)
class DataFolder:
    """A data folder with one property.

    Attributes:
        path: The folder.
        site: The property.
    """

    path: Path
    site: Site

    @classmethod
    def make(cls, path: Path) -> "DataFolder":
        """With a property in UTC."""
        answer = subprocess.run(
            [*tallymark("property", "create"), "--name=History", f"--data={path}", "--json"],
            capture_output=True,
            check=True,
            timeout=60,
        )
        return cls(path, Site(**json.loads(answer.stdout)))

    def command(self, kind: str, *arguments: object) -> list[str]:
        """``tallymark import`` of files or with options, for the property."""
        options = (f"--property={self.site.property_id}", f"--data={self.path}", "--json")
        return [*tallymark("import", kind, *arguments), *options]

    def import_files(self, kind: str, *arguments: object) -> dict[str, Any]:
        """Import; what was told of it."""
        answer = subprocess.run(
            self.command(kind, *arguments), check=False, capture_output=True, timeout=300, text=True
        )
        assert answer.returncode == 0, answer.stderr
        document = json.loads(answer.stdout)
        assert isinstance(document, dict)
        return document

    def archive(self) -> RawArchive:
        """What is archived, read afresh."""
        return RawArchive(open_objects(f"file:{self.path / 'archive'}"))

    def requests(self) -> pl.DataFrame:
        """All archived requests."""
        archive = self.archive()
        return pl.concat([part for hour in archive.hours() for part in archive.read_hour(hour)])

    def counted(self) -> Cells:
        """The decoded cells of each rollup, written by the batch pipeline from the archive."""
        received = self.requests().get_column("received_at")
        first, last = (instant // HOUR_US * HOUR_US for instant in (received.min(), received.max()))
        end = last + HOUR_US
        request = ReplayRequest(
            lineage="gen-1",
            start_us=first,
            end_us=end,
            archive_url=f"file:{self.path / 'archive'}",
            wide_rows_url=f"sqlite:{self.path / 'wide_rows.sqlite'}",
            rules_path=str(self.path / "rules" / "properties.json"),
        )
        replay(request)
        store = open_wide_rows(request.wide_rows_url)
        return {
            name: decode(
                rollup, store.read([rollup_range(self.site.property_id, name, first, end)])
            )
            for name, rollup in BY_NAME.items()
        }


def summed(cells: DecodedCells, keys: list[str], measure: str) -> set[tuple[Any, ...]]:
    """Sums of a measure by keys and UTC hour; those that are zero left out."""
    by = [HOUR, *keys]
    found = cells.numbers.group_by(by).agg(pl.col(measure).sum())
    return set(found.filter(pl.col(measure) != 0).rows())


def clients(cells: DecodedCells, keys: list[str], measure: str = "users") -> set[tuple[Any, ...]]:
    """How many different clients there are by keys and UTC hour; sets are small enough to be
    exact."""
    sets = cells.sets.filter(pl.col("measure") == measure)
    joined = sets.join(cells.numbers.select("row", HOUR, *keys), on="row")
    return set(joined.group_by("hour", *keys).agg(pl.col("hash").n_unique()).rows())
