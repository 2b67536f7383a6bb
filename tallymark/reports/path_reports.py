"""Paths: from which page (or event) to which, step by step, as nodes and links.

A path lies within a visit: it ends where its client pauses as long as the session gap. What repeats
the node before it is no step.
"""

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from tallymark.reports.dates import DateRange, read_date_ranges
from tallymark.reports.fields import Reader
from tallymark.reports.hit_fields import with_fields
from tallymark.reports.problems import InvalidRequestError

NODES: Final = ("pagePath", "pageTitle", "eventName")
MAX_STEPS: Final = 10
MAX_NODES: Final = 50
OTHER: Final = "(other)"
COLUMNS: Final = ("client_hash", "event_at", "hit_id", "is_page_view", "session_gap_ms")
COUNT_SCHEMA: Final = pl.Schema(
    {
        "step": pl.Int64(),
        "node": pl.String(),
        "next": pl.String(),  # null: the path ends
        "visits": pl.Int64(),
    }
)


@dataclass(frozen=True, kw_only=True)
class PathRequest:
    """A report of paths.

    Attributes:
        days: The date range.
        node: What steps are of, one of ``NODES``.
        start: The node that paths begin with; "": that of their visits.
        end: The node that paths lead to, where they are followed backwards; "": forwards.
        steps: How many steps from there.
        nodes: How many nodes are told of each step; the rest is ``(other)``.
    """

    days: DateRange
    node: str
    start: str
    end: str
    steps: int
    nodes: int


def parse_path(document: Any, *, now_us: int, time_zone: str, property_id: int = 0) -> PathRequest:
    """Check a request; ``parse_funnel`` says what it is given.

    Raises:
        InvalidRequestError: with all that is wrong.
    """
    reader = Reader.of(document)
    problems = reader.problems
    reader.only(
        "property", "dateRanges", "node", "startingPoint", "endingPoint", "steps", "nodesPerStep",
        "returnPropertyQuota",
    )  # fmt: skip
    reader.check_property(property_id)
    ranges = read_date_ranges(reader, now_us, time_zone)
    if len(ranges) > 1:
        reader.complain("dateRanges: expected one")
    node = reader.text("node") or "pagePath"
    if node not in NODES:
        reader.complain(f"node: expected one of {', '.join(NODES)}, got {node!r:.100}")
    start, end = reader.text("startingPoint"), reader.text("endingPoint")
    if start and end:
        reader.complain("expected startingPoint or endingPoint, got both")
    steps, nodes = reader.whole("steps", 3), reader.whole("nodesPerStep", 10)
    for name, given, most in (("steps", steps, MAX_STEPS), ("nodesPerStep", nodes, MAX_NODES)):
        if not 1 <= given <= most:
            reader.complain(f"{name}: expected 1 to {most}, got {given}")
    if problems:
        raise InvalidRequestError(problems)
    return PathRequest(days=ranges[0], node=node, start=start, end=end, steps=steps, nodes=nodes)


def path_counts(hits: pl.DataFrame, request: PathRequest) -> pl.DataFrame:
    """How many visits go from which node to which at each step (``COUNT_SCHEMA``).

    Args:
        hits: ``COLUMNS`` and those of the node: all hits of each client in the date range, in any
            order.
        request: The report.
    """
    is_step = pl.lit(value=True) if request.node == "eventName" else pl.col("is_page_view")
    order = ["client_hash", "event_at", "hit_id"]
    with_visits = hits.sort(order).with_columns(visit=_begins().fill_null(value=True).cum_sum())
    named = with_fields(with_visits.filter(is_step), [request.node])
    rows = named.select("visit", node=request.node)
    repeats = (pl.col("node") == pl.col("node").shift(1)) & (
        pl.col("visit") == pl.col("visit").shift(1)
    )
    walked = rows.filter(~repeats.fill_null(value=False))
    if request.end:
        walked = walked.reverse()
    placed = _placed(walked, request.end or request.start)
    following = pl.when(pl.col("visit") == pl.col("visit").shift(-1)).then(pl.col("node").shift(-1))
    return (
        placed.with_columns(next=following)
        .filter(pl.col("step") <= request.steps)
        .with_columns(next=pl.when(pl.col("step") < request.steps).then("next"))
        .group_by("step", "node", "next")
        .agg(visits=pl.len())
        .select(list(COUNT_SCHEMA))
        .cast(COUNT_SCHEMA)
    )


def _begins() -> pl.Expr:
    """Whether a hit begins a visit."""
    pause_us = pl.col("event_at") - pl.col("event_at").shift(1)
    is_other = pl.col("client_hash") != pl.col("client_hash").shift(1)
    return is_other | (pause_us >= pl.col("session_gap_ms") * 1000)


def _placed(walked: pl.DataFrame, point: str) -> pl.DataFrame:
    """The nodes from a point on, the first of its visit, with the number of each ``step``."""
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    is_point = (pl.col("node") == point) if point else pl.lit(value=True)
    starts = (
        walked.with_columns(row=row)
        .filter(is_point)
        .group_by("visit", maintain_order=True)
        .agg(first=pl.col("row").first())
    )
    found = walked.with_columns(row=row).join(starts, on="visit", maintain_order="left")
    return found.with_columns(step=pl.col("row") - pl.col("first")).filter(pl.col("step") >= 0)


def path_document(request: PathRequest, counts: pl.DataFrame) -> dict[str, Any]:
    """Nodes and links of each step, the most visited first.

    Args:
        request: The report.
        counts: ``COUNT_SCHEMA`` of sets of clients that have none in common, one after another.
    """
    sums = pl.col("visits").sum()
    nodes = counts.group_by("step", "node").agg(sums)
    ordered = nodes.sort("step", "visits", "node", descending=[False, True, False])
    place = pl.int_range(pl.len()).over("step")
    kept = ordered.filter(place < request.nodes).select("step", "node")
    told = _folded(_folded(counts, kept, "node", 0), kept, "next", 1)
    links = told.group_by("step", "node", "next").agg(sums)
    order = ["step", "visits", "node"]
    return {
        "kind": "tallymark#runPathReport",
        "direction": "backward" if request.end else "forward",
        "nodes": [
            {"step": step, "name": name, "visits": visits, "ended": ended}
            for step, name, visits, ended in (
                links.group_by("step", "node")
                .agg(sums, ended=pl.col("visits").filter(pl.col("next").is_null()).sum())
                .sort(order, descending=[False, True, False])
                .iter_rows()
            )
        ],
        "links": [
            {"step": step, "from": node, "to": following, "visits": visits}
            for step, node, following, visits in (
                links.drop_nulls("next")
                .sort("step", "visits", "node", "next", descending=[False, True, False, False])
                .select("step", "node", "next", "visits")
                .iter_rows()
            )
        ],
    }


def _folded(counts: pl.DataFrame, kept: pl.DataFrame, column: str, ahead: int) -> pl.DataFrame:
    """With the names of what is not kept of a step, so many ahead, made one."""
    known = kept.select(
        pl.col("step") - ahead, pl.col("node").alias(column), pl.lit(value=True).alias("is_kept")
    )
    marked = counts.join(known, on=["step", column], how="left")
    name = (
        pl.when(pl.col("is_kept").fill_null(value=False) | pl.col(column).is_null())
        .then(column)
        .otherwise(pl.lit(OTHER))
    )
    return marked.with_columns(name.alias(column)).drop("is_kept")
