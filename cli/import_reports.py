"""Reports of an import: what came of each file, and how it is told to people and programs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from stores.archive.hours import hour_name
from tallymark.imports.conversion import REASONS
from tallymark.slots import HOUR_US

EXAMPLES: Final = 3
_STATES: Final = {
    "imported": "imported",
    "imported_before": "imported before, nothing changed",
    "dry_run": "would be imported",
}


@dataclass
class FileReport:
    """What came of a file.

    Attributes:
        file: As it was named.
        spool_id: Under which its requests are archived.
        state: ``imported``, ``imported_before`` or ``dry_run``.
        imported: Requests of it that are in the archive, or would be.
        skipped: How many records were not imported, by reason.
        examples: Of each reason, the first few records: row and text.
        first_us: UTC µs of the first request; 0 where there is none.
        last_us: UTC µs of the last.
        received_hours: How many hours have requests of it.
    """

    file: str
    spool_id: str
    state: str = "imported"
    imported: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    first_us: int = 0
    last_us: int = 0
    received_hours: int = 0

    def count_skipped(self, skipped: pl.DataFrame) -> None:
        """Add records that are not imported."""
        for reason, count in skipped.group_by("reason").len().iter_rows():
            self.skipped[reason] += count
            known = self.examples.setdefault(reason, [])
            wanted = skipped.filter(pl.col("reason") == reason).head(EXAMPLES - len(known))
            known.extend(wanted.select("row", "example").rows())

    def document(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {**vars(self), "skipped": dict(self.skipped)}


class ProgressBar:
    """A bar for one file after the other; silent where nobody looks."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=1.0)

    def tell(self, what: str, share: float) -> None:
        """Show what is done, and the share of it (0 to 1)."""
        self._progress.update(self._task, description=what, completed=share)

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["ProgressBar"]:
        """A bar on the terminal of standard error, if there is one."""
        columns = (
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
            TimeElapsedColumn(),
        )  # fmt: skip
        console = Console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            yield cls(progress)


def tell(report: FileReport) -> None:
    """Tell people what came of a file."""
    click.echo(
        f"{report.file}: {report.imported} requests {_STATES[report.state]}, {report.spool_id}"
    )
    if report.imported:
        hours = f"{hour_name(report.first_us)} to {hour_name(report.last_us)}"
        click.echo(f"  hours (UTC)   {hours}, {report.received_hours} with requests")
    _tell_skipped(report.skipped, report.examples)


def _tell_skipped(
    skipped: Counter[str], examples: dict[str, list[tuple[int, str]]] | None = None
) -> None:
    for reason, count in skipped.most_common():
        click.echo(f"  skipped {count:>9}  {reason}: {REASONS[reason]}")
        for row, text in (examples or {}).get(reason, [])[:1]:
            click.echo(f"      record {row}: {text[:100]!r}")


def tell_next(folder: Path, property_id: int, reports: Sequence[FileReport]) -> None:
    """Tell people how what was imported is counted."""
    fresh = [report for report in reports if report.state == "imported" and report.imported]
    if fresh:
        first = hour_name(min(report.first_us for report in fresh))
        last = hour_name(max(report.last_us for report in fresh) + HOUR_US)
        click.echo(
            "to count it: tallymark replay "
            f"{first}..{last} --property {property_id} --data {folder} --publish"
        )


def tell_sum(reports: Sequence[FileReport]) -> None:
    """Tell people what came of all files."""
    totals = together(0, reports)
    click.echo(f"in all: {totals['imported']} requests of {len(reports)} files")
    _tell_skipped(Counter(totals["skipped"]))


def together(property_id: int, reports: Sequence[FileReport]) -> dict[str, Any]:
    """What came of all files, for programs."""
    skipped: Counter[str] = sum((report.skipped for report in reports), Counter())
    return {
        "property_id": property_id,
        "imported": sum(report.imported for report in reports),
        "skipped": dict(skipped),
        "files": [report.document() for report in reports],
    }
