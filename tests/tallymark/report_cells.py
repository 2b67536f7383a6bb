"""Hand-made cells for tests of reports, and reports computed from them without any store."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from tallymark.cells import SLOT_COLUMNS, encode
from tallymark.decoded_cells import DecodedCells, decode
from tallymark.pointer_map import PointerMap
from tallymark.report_names import STANDARD, ReportNames
from tallymark.reports import (
    RUN_REPORT,
    Method,
    answer,
    answer_pivots,
    parse_request,
    plan,
    response_document,
)
from tallymark.reports.currencies import DatedRate
from tallymark.reports.serving import Pointers, served_cells
from tallymark.rollup_choice import TOTALS
from tallymark.rollups import BY_NAME, Rollup
from tallymark.slots import HOUR_US

PROPERTY_ID = 4711
NOON_US = 1_700_049_600_000_000
"""2023-11-15 12:00 UTC, a Wednesday."""

Row = Mapping[str, Any]


def rows_of(rollup: Rollup, rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as ``encode`` takes them; hours count from ``NOON_US``, what is not said is nothing."""
    return pl.DataFrame(
        [
            {
                "property_id": PROPERTY_ID,
                "slot_start": NOON_US + row.get("hour", 0) * HOUR_US,
                "slot_minutes": 60,
                **{key: row.get(key, "") for key in rollup.keys},
                **{name: row.get(name, 0) for name in rollup.sums},
                **{name: sorted(row.get(name, ())) for name in rollup.uniques},
            }
            for row in rows
        ],
        schema={
            "property_id": pl.Int64,
            "slot_start": pl.Int64,
            "slot_minutes": pl.Int32,
            **dict.fromkeys(rollup.keys, pl.String),
            **dict.fromkeys(rollup.sums, pl.Int64),
            **dict.fromkeys(rollup.uniques, pl.List(pl.UInt64)),
        },
    )


def cells_of(
    rollup_name: str, rows: Sequence[Row], *, lineage: str = "live-1", version: int = 1
) -> pl.DataFrame:
    """The rows as cells of a store."""
    rollup = BY_NAME[rollup_name]
    frame = rows_of(rollup, rows)
    touched = frame.select(SLOT_COLUMNS).unique()
    return encode(rollup, frame, touched, lineage=lineage, version=version)


def decoded_of(rollup_name: str, rows: Sequence[Row]) -> DecodedCells:
    """The rows as a read gives them."""
    return decode(BY_NAME[rollup_name], cells_of(rollup_name, rows))


def report_of(
    rows: Sequence[Row],
    request: Mapping[str, Any],
    *,
    totals: Sequence[Row] = (),
    time_zone: str = "UTC",
    names: ReportNames = STANDARD,
    method: Method = RUN_REPORT,
    now_us: int = NOON_US,
    rates: Sequence[DatedRate] = (),
) -> dict[str, Any]:
    """The response to a request from the rows of the rollup that it is planned for."""
    dates = {"dateRanges": [{"startDate": "30daysAgo", "endDate": "today"}]}
    parsed = parse_request(
        {**(dates if "dateRanges" in method.fields else {}), **request},
        now_us=now_us,
        time_zone=time_zone,
        currency="EUR",
        names=names,
        method=method,
        rates=rates,
    )
    planned = plan(parsed, PROPERTY_ID)

    def served(rollup: Rollup, held: Sequence[Row]) -> DecodedCells:
        pointers = Pointers.of(PointerMap.serving("live-1"), PointerMap())
        cells, _ = served_cells(cells_of(rollup.name, held), pointers, planned.spans)
        return decode(rollup, cells, only=planned.columns)

    if parsed.pivots:
        return response_document(answer_pivots(planned, served(planned.rollup, rows)))
    whole = served(TOTALS, totals) if planned.whole_measures else None
    return response_document(answer(planned, served(planned.rollup, rows), whole))


def asks(dimensions: str = "", metrics: str = "", /, **others: Any) -> dict[str, Any]:
    """A request with dimensions and metrics named in two words lists."""
    return {
        "dimensions": [{"name": name} for name in dimensions.split()],
        "metrics": [{"name": name} for name in metrics.split()],
        **others,
    }


def values(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Rows of a response as tuples of texts, dimensions first."""
    return [
        tuple(cell["value"] for cell in (*row["dimensionValues"], *row["metricValues"]))
        for row in rows
    ]
