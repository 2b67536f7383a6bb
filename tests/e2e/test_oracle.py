"""The oracle and the domain, given the same hits, come to the same cells: neither is trusted."""

import sqlite3
from pathlib import Path
from random import Random

import polars as pl
import pytest

from tallymark.hits import HIT_SCHEMA
from tallymark.shard_frames import counted_hits, split
from tallymark.shards import Shard
from tallymark.vectors import BlockMark

from .cells_reader import read_cells
from .oracle import CHANNELS, HOUR_US, SECOND_US, OracleHit, Settings, differences, expected_cells

START = 1_790_000_000_000_000 // HOUR_US * HOUR_US
SETTINGS = {
    100: Settings(),
    200: Settings(slot_minutes=30, session_gap_seconds=300, attribution_lookback_days=1),
    300: Settings(slot_minutes=15, session_gap_seconds=14_400, engagement_threshold_ms=3_000),
}
NAMES = ("page_view", "page_view", "scroll", "user_engagement", "purchase", "tab\tname\\n")
PAGES = [
    *((host, path) for host in ("shop.example", "blog.example")
      for path in ("/", "/a", "/b\nc", "/t\\")),
    ("", ""), ("", ""),
]  # fmt: skip


def _hits(seed: int, count: int) -> list[OracleHit]:
    """Clients whose hits come in bursts over a day, with ties, pauses and late arrivals."""
    random = Random(seed)
    hits = []
    sources = [None, None, *((source, medium, "x", CHANNELS[source, medium])
                             for source, medium in CHANNELS)]  # fmt: skip
    while len(hits) < count:
        property_id = random.choice(list(SETTINGS))
        client_id = f"{random.randrange(40)}.{property_id}"
        at = START + random.randrange(24 * HOUR_US)
        for _ in range(random.randrange(1, 12)):
            at += random.choice([0, 7, random.randrange(40), 300, 1_799, 1_800, 9_000]) * SECOND_US
            lateness = random.choice([0, 0, 0, 1, HOUR_US - 1, HOUR_US, HOUR_US + 1, 5 * HOUR_US])
            hits.append(
                OracleHit(
                    hit_id=f"{len(hits):032x}-0000",
                    property_id=property_id,
                    client_id=client_id,
                    received_at=at + lateness,
                    event_at=at,
                    event_name=(name := random.choice(NAMES)),
                    opens_session=random.random() < 0.85,
                    host=(page := random.choice(PAGES))[0],
                    path=page[1],
                    source=random.choice(sources),
                    engagement_ms=random.choice([0, 0, 500, 4_000]),
                    is_first_visit=random.random() < 0.1,
                    device=random.choice([("desktop", "Chrome", "Linux"), ("", "", "")]),
                    value_micros=random.randrange(10**9) if name == "purchase" else 0,
                    transaction_id=random.choice(["", "T1", "T2"]),
                )
            )
    return hits


def _frame(hits: list[OracleHit]) -> pl.DataFrame:
    """Hits as the decoders give them."""
    nothing = {name: _nothing(kind) for name, kind in HIT_SCHEMA.items()}
    rows = [
        nothing
        | {
            "hit_id": hit.hit_id,
            "received_at": hit.received_at,
            "event_at": hit.event_at,
            "property_id": hit.property_id,
            "client_id": hit.client_id,
            "client_hash": hit.client_hash,
            "event_name": hit.event_name,
            "opens_session": hit.opens_session,
            "host": hit.host,
            "path": hit.path,
            **dict(zip(("source", "medium", "campaign", "channel"), hit.source or [""] * 4,
                       strict=True)),
            "engagement_ms": hit.engagement_ms,
            "is_first_visit": hit.is_first_visit,
            "is_page_view": hit.is_view,
            "is_key_event": hit.is_key_event,
            **dict(zip(("device_category", "browser", "operating_system"), hit.device,
                       strict=True)),
            "value_micros": hit.value_micros,
            "transaction_id": hit.transaction_id,
            "slot_minutes": SETTINGS[hit.property_id].slot_minutes,
            "session_gap_ms": SETTINGS[hit.property_id].session_gap_seconds * 1000,
            "engagement_threshold_ms": SETTINGS[hit.property_id].engagement_threshold_ms,
            "attribution_lookback_days": SETTINGS[hit.property_id].attribution_lookback_days,
            "settings_from": -(2**62),
        }
        for hit in hits
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=HIT_SCHEMA)


def _nothing(kind: pl.DataType | type[pl.DataType]) -> object:
    if kind == pl.String:
        return ""
    if kind == pl.Boolean:
        return False
    return [] if isinstance(kind, pl.List) else 0


@pytest.mark.parametrize(("seed", "blocks"), [(1, 1), (2, 7), (3, 40)])
def test_the_domain_and_the_oracle_count_the_same(seed: int, blocks: int, tmp_path: Path) -> None:
    random = Random(seed)
    hits = _hits(seed, 3_000)
    shard = Shard(reads_whole_from=-(2**62))
    dealt: list[list[OracleHit]] = [[] for _ in range(blocks)]
    for hit in hits:
        random.choice(dealt).append(hit)
    for number, part in enumerate(dealt, start=1):
        mark = BlockMark(
            spool_id="s", number=number, kind="requests", frontier=START, published_at=START
        )
        frame = _frame(part).with_columns(block=pl.lit(0, pl.UInt32))
        shard.take(split(*counted_hits(frame), [mark], 1)[0])
        if random.random() < 0.3:
            shard.settle()
    cells = shard.owed().cells(lineage="live-1", version=1)
    path = tmp_path / "wide_rows.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cells (row_key, family, qualifier, version, value)")
    connection.executemany("INSERT INTO cells VALUES (?, ?, ?, ?, ?)", cells.rows())
    connection.commit()
    connection.close()

    assert differences(expected_cells(hits, SETTINGS), read_cells(path)) == []


@pytest.mark.parametrize(
    ("paths", "entrance", "exit_"),
    [
        (["", "/a"], "", "/a"),
        (["/a", ""], "/a", ""),
        (["/a", "", "/b"], "/a", "/b"),
        ([""], "", ""),
    ],
)
def test_the_oracle_counts_a_view_without_a_page_as_not_set(
    paths: list[str], entrance: str, exit_: str
) -> None:
    hits = [
        OracleHit(
            hit_id=f"{number:032x}-0000", property_id=100, client_id="1", event_name="page_view",
            received_at=START + number, event_at=START + number, host=path and "shop.example",
            path=path,
        )
        for number, path in enumerate(paths)
    ]  # fmt: skip

    (rows,) = expected_cells(hits, SETTINGS)["pages"].values()

    assert [path for (_, path), row in rows.items() if row["entrances"]] == [entrance]
    assert [path for (_, path), row in rows.items() if row["exits"]] == [exit_]
