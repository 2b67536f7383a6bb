"""Formats of an import: how a file is read, and what its parts come to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from cli.import_files import Slice, is_parquet, line_slices, parquet_columns, parquet_slices
from tallymark.imports import access_log, ga4_export
from tallymark.imports.conversion import Converted
from tallymark.imports.export_rows import COLUMNS, rows_of_json

_EXPORT: Final = "expected rows of Google Analytics' BigQuery export, Parquet or JSON lines, with "


class NothingToImportError(Exception):
    """A file that is not of the format; says what was expected and what came."""


@dataclass(frozen=True, kw_only=True)
class FileFormat:
    """How files of a format are read and understood.

    Attributes:
        slices: The parts of a file.
        convert: What a part comes to.
        expected: What a file of the format holds, for who gave another.
    """

    slices: Callable[[Path], Iterator[Slice]]
    convert: Callable[[pl.DataFrame], Converted]
    expected: str


def ga4_format(path: Path, *, measurement_id: str, end_us: int) -> FileFormat:
    """How a file of Google Analytics' export is imported.

    Raises:
        NothingToImportError: when it is Parquet without the columns of an export.
        UnreadableFileError: when it is broken Parquet.
    """
    expected = _EXPORT + ", ".join(ga4_export.REQUIRED)
    requests_of = partial(ga4_export.requests_of, measurement_id=measurement_id, end_us=end_us)
    if is_parquet(path):
        columns = parquet_columns(path)
        if missing := ga4_export.missing_columns(columns):
            raise NothingToImportError(
                f"{path}: {expected}; it lacks {', '.join(missing)} and has "
                f"{', '.join(columns[:20])}"
            )
        return FileFormat(
            slices=partial(parquet_slices, columns=COLUMNS), convert=requests_of, expected=expected
        )

    def convert(lines: pl.DataFrame) -> Converted:
        rows, bad = rows_of_json(lines)
        converted = requests_of(rows)
        skipped = bad.select("row", reason=pl.lit("not_json"), example=pl.col("line").str.head(200))
        return Converted(converted.requests, pl.concat([converted.skipped, skipped]))

    return FileFormat(slices=line_slices, convert=convert, expected=expected)


def log_format(
    path: Path,  # noqa: ARG001  every file of the format is read alike
    *,
    measurement_id: str,
    end_us: int,
    host: str,
    salt: bytes,
) -> FileFormat:
    """How a file of an access log is imported."""
    convert = partial(
        access_log.requests_of, measurement_id=measurement_id, host=host, salt=salt, end_us=end_us
    )
    return FileFormat(
        slices=line_slices,
        convert=convert,
        expected=f"expected lines of the combined log format, such as {access_log.EXPECTED}",
    )
