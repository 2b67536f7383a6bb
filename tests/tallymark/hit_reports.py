"""Reports of generated hits: from the cells that counting them gives, and from the hits."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from tallymark.aggregates import rollup_rows
from tallymark.cells import encode
from tallymark.counting import Tally, slots_in
from tallymark.decoded_cells import DecodedCells, decode
from tallymark.hits import HIT_SCHEMA
from tallymark.replays import Span
from tallymark.reports import (
    ReportRequest,
    answer,
    parse_request,
    plan,
    plan_of_hits,
    response_document,
)
from tallymark.reports.hit_facts import Facts, Needs, facts_of, together
from tallymark.rollup_choice import TOTALS
from tallymark.slots import DAY_US
from tallymark.touches import TOUCH_SCHEMA
from tests.strategies import MIDNIGHT_US

NOON_US = MIDNIGHT_US + DAY_US // 2
ZONES = ("UTC", "Asia/Kolkata", "Asia/Kathmandu")
"""By property, as ``strategies.hits_of`` gives them slots."""
Spans = Sequence[tuple[int, int]]


def whole(hits: pl.DataFrame) -> pl.DataFrame:
    """Generated hits with all columns of ``HIT_SCHEMA``; what they lack is nothing."""
    lacking = [
        pl.lit([] if isinstance(kind, pl.List) else 0 if kind.is_numeric() else "")
        .cast(kind)
        .alias(name)
        for name, kind in HIT_SCHEMA.items()
        if name not in hits.columns
    ]
    return hits.with_columns(lacking).select(list(HIT_SCHEMA)).cast(HIT_SCHEMA)


def parsed(request: dict[str, Any], property_id: int) -> ReportRequest:
    """A request of one or more ranges of days around ``NOON_US``."""
    return parse_request(
        {"dateRanges": [{"startDate": "3daysAgo", "endDate": "today"}], **request},
        now_us=NOON_US,
        time_zone=ZONES[property_id % 3],
        currency="EUR",
    )


def from_cells(hits: pl.DataFrame, asked: ReportRequest, property_id: int) -> dict[str, Any]:
    """The response from the rollup that answers."""
    planned = plan(asked, property_id)
    tally = Tally()
    tally.add(hits.filter(pl.col("property_id") == property_id))
    facts = tally.counted(pl.DataFrame(schema=TOUCH_SCHEMA), -(2**62))
    touched = slots_in(Span(0, 2**62), facts)
    cells = {
        rollup.name: decode(rollup, encode(rollup, rows, touched, lineage="gen-1", version=1))
        for rollup, rows in rollup_rows(facts, touched)
    }

    def served(name: str) -> DecodedCells:
        start = pl.col("slot_start")
        inside = pl.any_horizontal(
            [start.is_between(first, end, closed="left") for first, end in planned.spans]
        )
        numbers = cells[name].numbers.filter(inside).with_row_index("new")
        sets = cells[name].sets.join(numbers.select("row", "new"), on="row")
        renamed = {"new": "row"}
        return DecodedCells(numbers.drop("row").rename(renamed), sets.drop("row").rename(renamed))

    totals = served(TOTALS.name) if planned.whole_measures else None
    return response_document(answer(planned, served(planned.rollup.name), totals))


def from_hits(
    hits: pl.DataFrame, asked: ReportRequest, property_id: int, *, clients: int = 1
) -> dict[str, Any]:
    """The response from hits, the clients in so many parts."""
    needs = Needs(plan_of_hits(asked, property_id))
    mine = hits.filter(pl.col("property_id") == property_id)
    parts = [
        _facts(needs, mine.filter(pl.col("client_hash") % clients == part))
        for part in range(clients)
    ]
    return response_document(answer(needs.plan, together(parts)))


def _facts(needs: Needs, hits: pl.DataFrame) -> Facts:
    return facts_of(
        needs,
        hits.select(needs.columns),
        pl.DataFrame(schema=TOUCH_SCHEMA),
        known_from=-(2**62),
        spans=needs.plan.spans,
    )
