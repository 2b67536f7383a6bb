"""Conversion: what every format makes of the rows of a file, and why a row is skipped."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from tallymark.requests import REQUEST_SCHEMA

IMPORTED_SCHEMA: Final = pl.Schema(
    {
        "row": pl.Int64(),  # of the record in its file, from 1
        **{name: dtype for name, dtype in REQUEST_SCHEMA.items() if name != "request_id"},
    }
)
"""Columns of imported requests before they are numbered."""
SKIPPED_SCHEMA: Final = pl.Schema(
    {"row": pl.Int64(), "reason": pl.String(), "example": pl.String()}
)
"""Columns of what is skipped: the record's row, one of ``REASONS``, and what was found."""

REASONS: Final = {
    "not_combined": "no line of the combined log format",
    "not_json": "no JSON object of an export's row",
    "no_time": "no event_timestamp in microseconds",
    "no_event_name": "no event_name",
    "no_client": "no user_pseudo_id: nobody to count",
    "method": "a method other than GET and HEAD",
    "status": "a status other than 200 and 304",
    "no_path": "a request for no path of this site",
    "asset": "no page: an image, a script, a feed, a download",
    "too_long": "a longer record than a request may be",
    "time_out_of_range": "before the year 2000, or in the future",
}
"""Why a record is skipped: the closed set of reasons, and what each means."""

EARLIEST_US: Final = 946_684_800_000_000
"""2000-01-01: clocks that were never set say less."""
MAX_RECORD_CHARACTERS: Final = 100_000
_EXAMPLE_CHARACTERS: Final = 200


@dataclass(frozen=True)
class Converted:
    """What the rows of a file come to; each is in one of the two.

    Attributes:
        requests: ``IMPORTED_SCHEMA``.
        skipped: ``SKIPPED_SCHEMA``.
    """

    requests: pl.DataFrame
    skipped: pl.DataFrame


def sorted_out(
    rows: pl.DataFrame, reasons: dict[str, pl.Expr], example: pl.Expr
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that no reason speaks against, and the others as ``SKIPPED_SCHEMA``.

    Args:
        rows: Have ``row``.
        reasons: Where each of ``REASONS`` applies; the first that does is told. Null is no.
        example: What was found in the row.
    """
    found = pl.coalesce(
        *(pl.when(applies).then(pl.lit(reason)) for reason, applies in reasons.items()),
        pl.lit(""),
    )
    judged = rows.with_columns(found.alias("reason"))
    skipped = judged.filter(pl.col("reason") != "").select(
        "row", "reason", example.fill_null("").str.head(_EXAMPLE_CHARACTERS).alias("example")
    )
    return judged.filter(pl.col("reason") == "").drop("reason"), skipped.cast(SKIPPED_SCHEMA)


def is_out_of_range(instant: pl.Expr, end_us: int) -> pl.Expr:
    """Whether an instant (UTC µs) is none at which an event can have been, as of ``end_us``."""
    return ~instant.is_between(EARLIEST_US, end_us, closed="left")


def imported(facts: pl.DataFrame) -> pl.DataFrame:
    """``facts`` as ``IMPORTED_SCHEMA``; text that they lack is empty, flags are false."""
    lacking = [
        pl.lit("" if dtype == pl.String else False, dtype).alias(name)
        for name, dtype in IMPORTED_SCHEMA.items()
        if name not in facts.columns
    ]
    return facts.with_columns(lacking).select(list(IMPORTED_SCHEMA)).cast(IMPORTED_SCHEMA)


def web_hits(facts: pl.DataFrame) -> pl.DataFrame:
    """Imported requests that carry one hit each in GA4's web format.

    Args:
        facts: Have ``row``, ``received_at``, ``query`` and other columns of a request.
    """
    return imported(
        facts.with_columns(
            method=pl.lit("GET"), path=pl.lit("/g/collect"), body_encoding=pl.lit("utf-8")
        )
    )
