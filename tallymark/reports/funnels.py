"""Funnels: how many users take one step after another, and how many go on.

A user takes a step with a hit that its filter lets through; of a closed funnel only after the step
before, with another hit. Of several hits that may be the step before, the latest one counts for
how long ago it was. All users are those that sent a hit which counts. See the GA4 Data API's
``runFunnelReport``.
"""

from typing import Any, Final

import polars as pl

from tallymark.reports.funnel_requests import FunnelRequest, FunnelStep
from tallymark.reports.hit_fields import local_date, with_fields

ORDERED_BY: Final = ("event_at", "hit_id")
COUNT_SCHEMA: Final = pl.Schema(
    {
        "step": pl.Int64(),
        "value": pl.String(),  # of the breakdown
        "date": pl.String(),  # on which the step was taken first; "" where that is not asked
        "users": pl.Int64(),
        "continued": pl.Int64(),  # those of them that took the next step after it
    }
)
"""Users of a step, by what the report tells apart."""
TOTAL: Final = "RESERVED_TOTAL"
_FIRST: Final = "client_row"
_HEADERS: Final = (
    ("activeUsers", "TYPE_INTEGER"), ("funnelStepCompletionRate", "TYPE_FLOAT"),
    ("funnelStepAbandonments", "TYPE_INTEGER"), ("funnelStepAbandonmentRate", "TYPE_FLOAT"),
)  # fmt: skip


def funnel_counts(hits: pl.DataFrame, request: FunnelRequest) -> pl.DataFrame:
    """How many clients take each step (``COUNT_SCHEMA``).

    Args:
        hits: ``client_hash``, ``ORDERED_BY`` and the columns of the request's fields: all hits of
            each client in the date range, in any order.
        request: The funnel.
    """
    fields = with_fields(hits, request.fields)
    if request.filter is not None:
        fields = fields.filter(request.filter.expression(pl.col))
    ordered = _numbered(fields.sort("client_hash", *ORDERED_BY))
    taken, goes_on = _taken(ordered, request)
    value = pl.col(request.breakdown) if request.breakdown else pl.lit("")
    date = local_date(request.time_zone) if request.is_trended else pl.lit("")
    rows = ordered.select("client_hash", value=value, date=date)
    entered = _entered(rows, taken)
    parts = [
        _counted(rows, entered, step, taken=taken[step], next_taken=goes_on[step])
        for step in range(len(request.steps))
    ]
    return pl.concat([COUNT_SCHEMA.to_frame(), *parts])


def _numbered(ordered: pl.DataFrame) -> pl.DataFrame:
    """With the number of each hit and that of its client's first."""
    is_first = pl.col("client_hash").ne_missing(pl.col("client_hash").shift(1))
    row = pl.int_range(pl.len(), dtype=pl.UInt32)
    return ordered.with_columns(row=row).with_columns(
        pl.when(is_first).then("row").forward_fill().alias(_FIRST)
    )


def _taken(
    ordered: pl.DataFrame, request: FunnelRequest
) -> tuple[list[pl.Series], list[pl.Series]]:
    """Which hits take each step, and which of these are followed by one that takes the next.

    The second says so of clients: each hit of a client that goes on from the step.
    """
    taken: list[pl.Series] = []
    goes_on: list[pl.Series] = []
    for number, step in enumerate(request.steps):
        passes = ordered.select(step.filter.expression(pl.col).fill_null(value=False)).to_series()
        if number == 0:
            taken.append(passes)
            continue
        after = passes & _after(ordered, taken[-1], step)
        goes_on.append(after)
        taken.append(passes if request.is_open else after)
    goes_on.append(taken[-1].clear().extend_constant(value=False, n=ordered.height))
    return taken, goes_on


def _after(ordered: pl.DataFrame, taken: pl.Series, step: FunnelStep) -> pl.Series:
    """Which hits come after one that took the step before, as the step wants it."""
    told = ordered.select("event_at", "row", _FIRST, taken=taken).with_columns(
        before=pl.when("taken").then("row").forward_fill().shift(1)
    )
    comes = pl.col("before") >= pl.col(_FIRST)
    if step.is_direct:
        comes = comes & (pl.col("before") + 1 == pl.col("row"))
    if step.within_us is not None:
        since = pl.col("event_at") - pl.col("event_at").gather(pl.col("before"))
        comes = comes & (since <= step.within_us)
    return told.select(comes.fill_null(value=False)).to_series()


def _entered(rows: pl.DataFrame, taken: list[pl.Series]) -> pl.DataFrame:
    """The value of each client at its first hit that took any step."""
    any_step = pl.select(pl.any_horizontal(*taken)).to_series()
    return (
        rows.filter(any_step)
        .group_by("client_hash", maintain_order=True)
        .agg(pl.col("value").first())
    )


def _counted(
    rows: pl.DataFrame, entered: pl.DataFrame, step: int, *, taken: pl.Series, next_taken: pl.Series
) -> pl.DataFrame:
    firsts = (
        rows.filter(taken).group_by("client_hash", maintain_order=True).agg(pl.col("date").first())
    )
    ahead = rows.filter(next_taken).select("client_hash").unique().with_columns(went=pl.lit(1))
    return (
        firsts.join(entered, on="client_hash")
        .join(ahead, on="client_hash", how="left")
        .group_by("value", "date")
        .agg(pl.len().cast(pl.Int64).alias("users"), pl.col("went").sum().alias("continued"))
        .select(pl.lit(step, pl.Int64).alias("step"), "value", "date", "users", "continued")
        .cast(COUNT_SCHEMA)
    )


def funnel_document(request: FunnelRequest, counts: pl.DataFrame) -> dict[str, Any]:
    """The response of ``runFunnelReport``.

    Args:
        request: The funnel.
        counts: ``COUNT_SCHEMA`` of sets of clients that have none in common, one after another.
    """
    values = _values(request, counts)
    by = [request.breakdown] if request.breakdown else []
    last = len(request.steps) - 1
    rows = [
        (step.name, *([value or TOTAL] if by else []), *_metrics(row, is_last=number == last))
        for number, step in enumerate(request.steps)
        for value, row in _by_value(counts, number, values)
    ]
    return {
        "kind": "analyticsData#runFunnelReport",
        "funnelTable": _sub_report(by, _HEADERS, rows),
        "funnelVisualization": _visualization(request, counts, values),
    }


def _values(request: FunnelRequest, counts: pl.DataFrame) -> list[str]:
    """The values of the breakdown that are told: those of most users at the first step."""
    if not request.breakdown:
        return []
    most = (
        counts.group_by("value")
        .agg(pl.col("users").filter(pl.col("step") == 0).sum(), every=pl.col("users").sum())
        .sort("users", "every", "value", descending=[True, True, False])
    )
    return most.get_column("value").head(request.values).to_list()


def _by_value(
    counts: pl.DataFrame, step: int, values: list[str]
) -> list[tuple[str, tuple[int, int]]]:
    """Users and those that go on of a step: of all under "", then of each value."""
    own = counts.filter(pl.col("step") == step)
    told = [("", own), *((value, own.filter(pl.col("value") == value)) for value in values)]
    return [(name, (int(rows["users"].sum()), int(rows["continued"].sum()))) for name, rows in told]


def _metrics(row: tuple[int, int], *, is_last: bool) -> tuple[int, float, int, float]:
    """Nobody can go on from the last step, or abandon it."""
    users, continued = row
    if is_last:
        return users, 0.0, 0, 0.0
    rate = continued / users if users else 0.0
    return users, rate, users - continued, 1 - rate if users else 0.0


def _visualization(
    request: FunnelRequest, counts: pl.DataFrame, values: list[str]
) -> dict[str, Any]:
    header = _HEADERS[:1]
    if not request.is_trended:
        return _sub_report(
            [request.breakdown] if request.breakdown else [],
            header,
            [
                (step.name, *([value] if request.breakdown else []), row[0])
                for number, step in enumerate(request.steps)
                for value, row in _by_value(counts, number, values)
                if bool(value) == bool(request.breakdown)
            ],
        )
    days = counts.group_by("step", "date").agg(pl.col("users").sum()).sort("step", "date")
    rows = [(request.steps[step].name, date, users) for step, date, users in days.rows()]
    return _sub_report(["date"], header, rows)


def _sub_report(
    dimensions: list[str], metrics: tuple[tuple[str, str], ...], rows: list[tuple[Any, ...]]
) -> dict[str, Any]:
    names = ["funnelStepName", *dimensions]
    return {
        "dimensionHeaders": [{"name": name} for name in names],
        "metricHeaders": [{"name": name, "type": kind} for name, kind in metrics],
        "rows": [
            {
                "dimensionValues": [{"value": value} for value in row[: len(names)]],
                "metricValues": [{"value": f"{value:.15g}"} for value in row[len(names) :]],
            }
            for row in rows
        ],
    }
