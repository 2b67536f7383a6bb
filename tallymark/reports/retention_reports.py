"""Retention: of those who came first in a day, week or month, how many were there in later ones."""

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from tallymark.reports.dates import DateRange, read_date_ranges
from tallymark.reports.fields import Reader
from tallymark.reports.hit_fields import local_time
from tallymark.reports.problems import InvalidRequestError

PERIODS: Final = ("day", "week", "month")
MAX_COHORTS: Final = 100
COUNT_SCHEMA: Final = pl.Schema(
    {
        "cohort": pl.Date(),  # the first day of the period in which its clients came first
        "after": pl.Int64(),  # so many periods later
        "users": pl.Int64(),  # of them that were there
    }
)
COLUMNS: Final = ("client_hash", "event_at", "is_first_visit")


@dataclass(frozen=True, kw_only=True)
class RetentionRequest:
    """A retention report.

    Attributes:
        days: In which cohorts came and were there.
        period: One of ``PERIODS``; weeks begin on Monday.
        time_zone: Of the property.
    """

    days: DateRange
    period: str
    time_zone: str


def parse_retention(
    document: Any, *, now_us: int, time_zone: str, property_id: int = 0
) -> RetentionRequest:
    """Check a request; ``parse_funnel`` says what it is given.

    Raises:
        InvalidRequestError: with all that is wrong.
    """
    reader = Reader.of(document)
    problems = reader.problems
    reader.only("property", "dateRanges", "period", "returnPropertyQuota")
    reader.check_property(property_id)
    ranges = read_date_ranges(reader, now_us, time_zone)
    period = reader.text("period") or "week"
    if period not in PERIODS:
        reader.complain(f"period: expected one of {', '.join(PERIODS)}, got {period!r}")
    if len(ranges) > 1:
        reader.complain("dateRanges: expected one")
    if problems:
        raise InvalidRequestError(problems)
    return RetentionRequest(days=ranges[0], period=period, time_zone=time_zone)


def retention_counts(hits: pl.DataFrame, request: RetentionRequest) -> pl.DataFrame:
    """How many clients of each cohort were there in each period (``COUNT_SCHEMA``).

    Args:
        hits: ``COLUMNS``: all hits of each client in the date range, in any order.
        request: The report.
    """
    unit = {"day": "1d", "week": "1w", "month": "1mo"}[request.period]
    period = local_time(request.time_zone).dt.date().dt.truncate(unit)
    there = hits.select("client_hash", "is_first_visit", period=period)
    cohorts = (
        there.filter("is_first_visit").group_by("client_hash").agg(cohort=pl.col("period").min())
    )
    since = there.select("client_hash", "period").unique().join(cohorts, on="client_hash")
    return (
        since.filter(pl.col("period") >= pl.col("cohort"))
        .with_columns(after=_between(request.period))
        .group_by("cohort", "after")
        .agg(users=pl.len())
        .select(list(COUNT_SCHEMA))
        .cast(COUNT_SCHEMA)
    )


def _between(period: str) -> pl.Expr:
    """How many periods lie between the cohort's and another."""
    first, other = pl.col("cohort"), pl.col("period")
    if period == "month":
        months = [day.dt.year().cast(pl.Int64) * 12 + day.dt.month() for day in (first, other)]
        return months[1] - months[0]
    return (other - first).dt.total_days() // (7 if period == "week" else 1)


def retention_document(request: RetentionRequest, counts: pl.DataFrame) -> dict[str, Any]:
    """The triangle: a row a cohort, the users and their share period by period.

    Args:
        request: The report.
        counts: ``COUNT_SCHEMA`` of sets of clients that have none in common, one after another.
    """
    summed = counts.group_by("cohort", "after").agg(pl.col("users").sum()).sort("cohort", "after")
    rows = []
    for (cohort,), own in summed.partition_by("cohort", as_dict=True, maintain_order=True).items():
        there = dict(own.select("after", "users").iter_rows())
        size = there.get(0, 0)
        users = [there.get(after, 0) for after in range(max(there) + 1)]
        rows.append(
            {
                "cohort": f"{cohort:%Y%m%d}",
                "size": size,
                "users": users,
                "shares": [count / size if size else 0.0 for count in users],
            }
        )
    return {
        "kind": "tallymark#runRetentionReport", "period": request.period,
        "rows": rows[-MAX_COHORTS:],
    }  # fmt: skip
