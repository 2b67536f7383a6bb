"""Some days of a shop: its cells, and the same rows in DuckDB, which adds them up by plain SQL."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl

from tallymark.rollups import BY_NAME
from tallymark.slots import HOUR_US, MINUTE_US
from tests.report_api.conftest import Shop, write_cells

ZONE = ZoneInfo("America/New_York")
DAYS = 6
_KEYS: dict[str, Sequence[tuple[str, ...]]] = {
    "totals": [()],
    "acquisition": [
        ("google", "organic", "(organic)", "Organic Search"),
        ("google", "cpc", "Spring", "Paid Search"),
        ("bing", "organic", "(organic)", "Organic Search"),
        ("(direct)", "(none)", "(direct)", "Direct"),
        ("Letter", "email", "spring", "Email"),
        ("letter", "email", "10%", "Email"),
        ("", "", "", ""),
    ],
    "first_user": [
        ("google", "organic", "(organic)", "Organic Search"),
        ("partner.example", "referral", "(referral)", "Referral"),
        ("", "", "", ""),
    ],
    "visitors": [("new",), ("returning",), ("",)],
    "landing": [("shop.example", "/"), ("shop.example", "/tea"), ("", "")],
    "technology": [
        ("mobile", "Chrome", "Android"),
        ("mobile", "Safari", "iOS"),
        ("desktop", "Chrome", "Windows"),
        ("tablet", "", ""),
    ],
    "pages": [
        ("shop.example", "/"), ("shop.example", "/tea"), ("shop.example", "/100"),
        ("blog.example", "/"), ("blog.example", "/25"),
    ],
    "events": [("page_view",), ("purchase",), ("scroll",), ("",)],
}  # fmt: skip


def recorded_days(shop: Shop, seed: int = 11) -> duckdb.DuckDBPyConnection:
    """Write the cells of the shop, and give the same rows as tables named after the rollups."""
    random = Random(seed)
    database = duckdb.connect()
    for rollup, keys in _KEYS.items():
        hours = sorted(random.sample(range(-24 * DAYS, 1), 30))
        rows = [
            _row(random, rollup, each, hour)
            for hour in hours
            for each in random.sample(keys, random.randint(1, len(keys)))
        ]
        _record(shop, database, rollup, rows)
    _record(shop, database, "minutes", _minutes(random, shop.now_us))
    return database


def _row(random: Random, rollup: str, keys: tuple[str, ...], hour: int) -> dict[str, Any]:
    layout = BY_NAME[rollup]
    row: dict[str, Any] = dict(zip(layout.keys, keys, strict=True)) | {"hour": hour}
    row |= {name: random.randint(0, 9) for name in layout.sums}
    row |= {name: random.randint(-10, 99) * 10_000 for name in layout.sums if "micros" in name}
    row |= {name: random.randint(0, 99_999) for name in layout.sums if name.endswith("_ms")}
    row |= {name: set(random.sample(range(40), random.randint(0, 6))) for name in layout.uniques}
    if "engaged_sessions" in row:
        row["engaged_sessions"] = random.randint(0, row["sessions"])
    return row


def _minutes(random: Random, now_us: int) -> list[dict[str, Any]]:
    present = now_us // MINUTE_US
    ages = [*range(0, 12), *(60 * 24 * day + 17 for day in range(1, DAYS))]
    rows = []
    for age in ages:
        hour = (present - age) // 60 - present // 60
        row = _row(random, "minutes", (f"{(present - age) % 60:02d}",), hour)
        rows.append(row | {"events": random.randint(1, 9)})
    return rows


def _record(
    shop: Shop, database: duckdb.DuckDBPyConnection, rollup: str, rows: list[dict[str, Any]]
) -> None:
    write_cells(shop, rollup, rows)
    layout = BY_NAME[rollup]
    table = pl.DataFrame(
        [
            {name: row[name] for name in (*layout.keys, *layout.sums)}
            | {name: sorted(row[name]) for name in layout.uniques}
            | {"local": _local(shop, row), "start_us": _start_us(shop, row)}
            for row in rows
        ],
        schema_overrides=dict.fromkeys(layout.uniques, pl.List(pl.Int64)),
    )
    database.register("recorded", table.to_arrow())
    database.execute(f"create table {rollup} as select * from recorded")


def _start_us(shop: Shop, row: dict[str, Any]) -> int:
    hour_us = shop.now_us // HOUR_US * HOUR_US + row["hour"] * HOUR_US
    return hour_us + int(row.get("minute", 0)) * MINUTE_US


def _local(shop: Shop, row: dict[str, Any]) -> datetime:
    moment = datetime.fromtimestamp(_start_us(shop, row) / 1_000_000, UTC)
    return moment.astimezone(ZONE).replace(tzinfo=None)


def local_day(shop: Shop, days_ago: int) -> date:
    """A day of the shop's zone."""
    now = datetime.fromtimestamp(shop.now_us / 1_000_000, UTC).astimezone(ZONE)
    return now.date() - timedelta(days=days_ago)
