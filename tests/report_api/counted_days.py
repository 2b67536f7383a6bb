"""Some days of visits: counted into a store by the engine, and by the oracle into DuckDB.

What DuckDB holds shares no code with the engine: the oracle walks over single hits, and its rows
are added up by plain SQL.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
from flask.testing import FlaskClient

from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.aggregates import cell_frame
from tallymark.counting import Tally, slots_in
from tallymark.replays import Span
from tallymark.slots import DAY_US, HOUR_US, MINUTE_US
from tallymark.touches import TOUCH_SCHEMA
from tests.e2e.cells_reader import LAYOUTS
from tests.e2e.oracle import Cells, Settings, expected_cells
from tests.report_api.conftest import Shop, client_of, make_shop
from tests.strategies import MIDNIGHT_US, ONCE_PER_SESSION, Visit, hits_of
from tests.tallymark.oracle_hits import oracle_hit, with_named_clients

DAYS = 6
GAP_US = 30 * MINUTE_US
LAST_DAY_US = MIDNIGHT_US - 9 * DAY_US
"""2023-11-06 in UTC: clocks went back in New York on the day before."""
ZONES = {3: "America/New_York", 1: "Asia/Kolkata", 2: "Asia/Kathmandu"}
"""By the number of a property, whose slots the zone allows (``strategies.hits_of``)."""
CLIENTS = 45


@dataclass(frozen=True)
class CountedDays:
    """A shop whose cells are in a store, and the oracle's rows of the same hits by rollup."""

    shop: Shop
    client: FlaskClient
    database: duckdb.DuckDBPyConnection
    zone: ZoneInfo

    def day(self, days_ago: int) -> date:
        """A day of the shop's zone."""
        now = datetime.fromtimestamp(self.shop.now_us / 1_000_000, UTC).astimezone(self.zone)
        return now.date() - timedelta(days=days_ago)


@contextmanager
def counted_days(folder: Path, number: int) -> Iterator[CountedDays]:
    """Those of the property of a number in ``ZONES``."""
    zone = ZoneInfo(ZONES[number])
    shop = make_shop(folder, now_us=LAST_DAY_US + 20 * HOUR_US + 1, time_zone=str(zone))
    hits = visited(number, Random(number))
    owned = hits.with_columns(property_id=pl.lit(shop.property_id, pl.Int64))
    tally = Tally()
    tally.add(owned)
    facts = tally.counted(pl.DataFrame(schema=TOUCH_SCHEMA), -(2**62))
    touched = slots_in(Span(0, 2**62), facts)
    store = SqliteWideRows(shop.store_path)
    store.write(cell_frame(facts, touched, lineage="live-1", version=1))
    settings = Settings(
        slot_minutes=(60, 30, 15)[number % 3],
        key_events=("purchase", *ONCE_PER_SESSION.get(number, ())),
        once_per_session=ONCE_PER_SESSION.get(number, ()),
    )
    expected = expected_cells(map(oracle_hit, hits.to_dicts()), {number: settings})
    yield CountedDays(shop, client_of(shop, store), _database(expected, zone), zone)
    store.close()


def visited(number: int, random: Random) -> pl.DataFrame:
    """Hits of the property, some of them with names that are hard to compare."""
    visits = [
        Visit(
            client=client, property_id=number, event_at=at, look=random.randrange(288),
            opens_session=random.random() < 0.9,
        )
        for client in range(CLIENTS)
        for at in _times(random)
    ]  # fmt: skip
    names = {"letter": "Ärztin", "google": "Google 100%"}
    paths = {"/cart": "/Größe_1", "/": "/"}
    return with_named_clients(hits_of(visits, GAP_US)).with_columns(
        pl.col("source").replace(names), pl.col("path").replace(paths)
    )


def _times(random: Random) -> list[int]:
    """UTC µs of a client's hits: some sessions, most of them at the edges of hours and days."""
    times = []
    for _ in range(random.randint(1, 5)):
        hour = random.choice((0, 3, 4, 5, 6, 18, 23, random.randrange(24)))
        edge = random.choice((0, 0, -1, -60_000_000, random.randrange(HOUR_US)))
        at = LAST_DAY_US - random.randrange(DAYS) * DAY_US + hour * HOUR_US + edge
        for _ in range(random.randint(1, 12)):
            times.append(at)
            at += random.choice((0, 1, 40_000_000, 10 * MINUTE_US, GAP_US - 1, GAP_US))
    return [at for at in times if at < LAST_DAY_US + 20 * HOUR_US]


def _database(cells: Cells, zone: ZoneInfo) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    for name, slots in cells.items():
        layout = LAYOUTS[name]
        rows = [
            dict(zip(layout.keys, keys, strict=True))
            | {each: row[each] for each in layout.sums}
            | {each: sorted(row[each]) for each in layout.sets}  # type: ignore[arg-type]
            | {"local": _local(start + _minute(layout.keys, keys) * MINUTE_US, zone)}
            for (_, start, _), of_slot in slots.items()
            for keys, row in of_slot.items()
        ]
        if rows:
            overrides = dict.fromkeys(layout.sets, pl.List(pl.UInt64))
            table = pl.DataFrame(rows, schema_overrides=overrides, infer_schema_length=None)
            database.register("recorded", table.to_arrow())
            database.execute(f"create table {name} as select * from recorded")
    return database


def _minute(names: tuple[str, ...], keys: tuple[str, ...]) -> int:
    return int(keys[0]) if names == ("minute",) else 0


def _local(at_us: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).astimezone(zone).replace(tzinfo=None)
