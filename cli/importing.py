"""Importing: files of one format into the archive of a data folder, one after the other."""

import fcntl
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import polars as pl

from cli.data_folder import DataFolder
from cli.import_files import digest_of
from cli.import_formats import FileFormat, NothingToImportError
from cli.import_reports import FileReport
from stores.announcements import LATE, Announcements
from stores.archive.imports import ImportLedger, Spill, write_import
from stores.archive.opening import open_objects
from stores.archive.raw import RawArchive
from stores.wide_rows.opening import open_wide_rows
from tallymark.blocks import block_name
from tallymark.slots import HOUR_US

UNFINISHED: Final = ".unfinished"
"""End of the name of a mark that an import has begun to write."""
_FOREIGN: Final = {"not_combined", "not_json"}
"""Reasons of records of another format; where a file begins with nothing else, it is none."""
_SALT_BYTES: Final = 32
Told = Callable[[str, float], None]
"""Is told of progress: what is done, and the share of it (0 to 1)."""


class ImportRunningError(Exception):
    """Another import works on the data folder."""


class Importer:
    """Brings files into the archive of a data folder.

    Args:
        folder: The data folder.
        property_id: Whose records they are.
        now_us: UTC µs.
        told: Is told of progress.
        is_dry: Whether nothing is to be written.
        wide_rows_url: Where reports are, "" for the folder's own.
    """

    def __init__(
        self,
        folder: DataFolder,
        *,
        property_id: int,
        now_us: int,
        told: Told,
        is_dry: bool = False,
        wide_rows_url: str = "",
    ) -> None:
        self._folder = folder
        self._property_id = property_id
        self._now_us = now_us
        self._told = told
        self._is_dry = is_dry
        self._wide_rows_url = wide_rows_url or folder.wide_rows_url
        objects = open_objects(folder.archive_url)
        self._archive = RawArchive(objects)
        self._ledger = ImportLedger(objects)

    def bring_in(self, path: Path, form: FileFormat) -> FileReport:
        """Import one file, or what is left of it.

        Raises:
            NothingToImportError: when it is of another format.
            UnreadableFileError: when it is broken; nothing of it has been written then.
            OSError: when the disk does not take it; what was written stays, and counts.
        """
        spool_id = f"import-{self._property_id}-{digest_of(path)}"
        done = self._ledger.find(spool_id)
        if done is not None:
            return FileReport(
                **{
                    **done,
                    "file": str(path),
                    "state": "imported_before",
                    "skipped": Counter(done["skipped"]),
                }
            )
        report = FileReport(str(path), spool_id, state="dry_run" if self._is_dry else "imported")
        spill = None if self._is_dry else Spill(self._folder.imports / spool_id)
        try:
            hours = self._read(path, form, report, spill)
            if spill is not None and spill.requests:
                self._write(spill, report)
        finally:
            if spill is not None:
                spill.remove()
        report.received_hours = hours.get_column("hour").n_unique()
        if not self._is_dry:
            self._announce(report.spool_id, hours.get_column("hour").unique().sort().to_list())
            self._ledger.note(spool_id, report.document() | {"examples": {}})  # they name addresses
            self._unfinished(spool_id).unlink(missing_ok=True)
        return report

    def _read(
        self, path: Path, form: FileFormat, report: FileReport, spill: Spill | None
    ) -> pl.DataFrame:
        hours = [pl.DataFrame(schema={"hour": pl.Int64})]
        for part in form.slices(path):
            converted = form.convert(part.rows)
            report.count_skipped(converted.skipped)
            report.imported += converted.requests.height
            self._note_times(report, converted.requests)
            hours.append(converted.requests.select(hour=pl.col("received_at") // HOUR_US).unique())
            if report.skipped and not report.imported and report.skipped.keys() <= _FOREIGN:
                raise NothingToImportError(f"{path}: {form.expected}; {_shown(report)}")
            if spill is not None:
                spill.add(converted.requests)
            self._told(f"reading {path.name}", part.read_share)
        return pl.concat(hours)

    def _note_times(self, report: FileReport, requests: pl.DataFrame) -> None:
        if requests.height:
            times = requests.get_column("received_at")
            first, last = int(times.min()), int(times.max())  # type: ignore[arg-type]
            report.first_us = min(first, report.first_us or first)
            report.last_us = max(last, report.last_us)

    def _write(self, spill: Spill, report: FileReport) -> None:
        mark = self._unfinished(report.spool_id)
        is_resumed = mark.exists()
        mark.touch()
        plan = spill.plan(report.spool_id, self._now_us)
        written = 0
        for requests in write_import(self._archive, spill, plan, is_resumed=is_resumed):
            written += requests
            self._told(f"writing {Path(report.file).name}", written / spill.requests)

    def _announce(self, spool_id: str, hours: Sequence[int]) -> None:
        """No stream has seen these requests: hours that are counted already have to be again.

        It comes before the file is noted as imported, so that an import which was cut off between
        the two is announced when it is called again.
        """
        wide_rows = open_wide_rows(self._wide_rows_url)
        try:
            Announcements(wide_rows, LATE).announce(
                (self._property_id, number * HOUR_US, block_name(spool, block).encode())
                for number in hours
                for spool, block in self._archive.blocks(number * HOUR_US)
                .filter((pl.col("spool_id") == spool_id) & (pl.col("requests") > 0))
                .select("spool_id", "number")
                .iter_rows()
            )
        finally:
            wide_rows.close()

    def _unfinished(self, spool_id: str) -> Path:
        return self._folder.imports / f"{spool_id}{UNFINISHED}"


def _shown(report: FileReport) -> str:
    row, text = next(iter(report.examples.values()))[0]
    return f"record {row} is {text!r}"


@contextmanager
def one_at_a_time(folder: DataFolder, *, is_dry: bool = False) -> Iterator[None]:
    """While it lasts no other import works on the data folder; one that writes nothing may.

    Raises:
        ImportRunningError: when one does.
    """
    if is_dry:
        yield
        return
    folder.imports.mkdir(parents=True, exist_ok=True)
    with (folder.imports / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ImportRunningError(
                f"another import works on {folder.path}; wait for its end"
            ) from error
        yield


@contextmanager
def visitor_salt(folder: DataFolder, *, is_dry: bool = False) -> Iterator[bytes]:
    """The salt under which an import hashes visitors. It is destroyed with the end of an import,
    but for one that was cut off while it wrote: the rest has to fit to what is written."""
    if is_dry:
        yield secrets.token_bytes(_SALT_BYTES)
        return
    path = folder.imports / "salt"
    if not path.exists():
        drawn = path.with_suffix(".new")
        descriptor = os.open(drawn, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_SALT_BYTES))
            os.fsync(file.fileno())
        drawn.replace(path)
    try:
        yield path.read_bytes()
    finally:
        if not any(folder.imports.glob(f"*{UNFINISHED}")):
            path.unlink()
