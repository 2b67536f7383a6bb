"""Row keys: where a cell lies. Keys sort so that one range read answers one rollup's days.

``hash#property#rollup#yyyymmdd#lineage#sub-shard``, all ASCII. The hash spreads properties over the
key space; the day is the UTC day of the slot's start; the sub-shard is ``00`` until a giant
property is split.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import polars as pl
import xxhash

from tallymark.slots import DAY_US, EPOCH

SEPARATOR: Final = "#"
_WHOLE: Final = "00"
"""The sub-shard of properties that are not split."""
_DAYS_KEPT: Final = 10_000
CONTROL_PREFIX: Final = "~"
"""Rows that hold no cells (control rows, the pointer map, announcements) sort after all others."""


def property_hash(property_id: int) -> str:
    """Four hex digits that spread properties evenly."""
    return f"{xxhash.xxh3_64_intdigest(str(property_id).encode()) & 0xFFFF:04x}"


def shard_of(property_id: int, shards: int) -> int:
    """The shard that counts a property: whole properties, spread by the same hash as their rows."""
    return xxhash.xxh3_64_intdigest(str(property_id).encode()) % shards


def rollup_prefix(property_id: int, rollup: str) -> str:
    """What all rows of a property's rollup start with."""
    return f"{property_hash(property_id)}{SEPARATOR}{property_id}{SEPARATOR}{rollup}{SEPARATOR}"


def rollup_range(property_id: int, rollup: str, first_us: int, end_us: int) -> tuple[bytes, bytes]:
    """Half-open key range of the rows whose UTC day meets [first_us, end_us), every lineage."""
    prefix = rollup_prefix(property_id, rollup)
    return (
        (prefix + _day(first_us) + SEPARATOR).encode(),
        (prefix + _day(end_us - 1) + SEPARATOR + "\x7f").encode(),
    )


def cell_place(slot_us: int, lineage: str) -> str:
    """What follows ``rollup_prefix`` in the row of a cell whose slot starts at ``slot_us``."""
    return f"{_day(slot_us)}{SEPARATOR}{lineage}{SEPARATOR}{_WHOLE}"


def lineage_range(
    property_id: int, rollup: str, day_us: int, lineage: str, *, separator: str = SEPARATOR
) -> tuple[bytes, bytes]:
    """Half-open key range of a lineage's rows of one UTC day, with their chunks.

    Args:
        property_id: Whose.
        rollup: Its name.
        day_us: UTC µs of an instant in the day.
        lineage: Which.
        separator: What follows the lineage in the key; publications go on with ``@``.
    """
    prefix = rollup_prefix(property_id, rollup) + _day(day_us)
    start = f"{prefix}{SEPARATOR}{lineage}{separator}".encode()
    return start, start + b"\x7f"


def with_row_keys(
    cells: pl.DataFrame, rollup: str, lineage: str, sub_shard: str = _WHOLE
) -> pl.DataFrame:
    """``cells`` (``property_id``, ``slot_start`` in µs) with their ``row_key`` (Binary) added."""
    day = pl.from_epoch("slot_start", time_unit="us").dt.strftime("%Y%m%d")
    key = pl.concat_str("prefix", day, pl.lit(f"{SEPARATOR}{lineage}{SEPARATOR}{sub_shard}"))
    prefixed = with_rollup_prefix(cells, rollup)
    return prefixed.with_columns(row_key=key.cast(pl.Binary)).drop("prefix")


def with_rollup_prefix(cells: pl.DataFrame, rollup: str) -> pl.DataFrame:
    """``cells`` (``property_id``) with the ``prefix`` (String) of their property's rows added."""
    owners = cells.get_column("property_id").unique().to_list()
    prefixes = pl.DataFrame(
        {"property_id": owners, "prefix": [rollup_prefix(owner, rollup) for owner in owners]},
        schema={"property_id": pl.Int64, "prefix": pl.String},
    )
    return cells.join(prefixes, on="property_id", how="left", maintain_order="left")


def lineage_of(row_keys: pl.Expr) -> pl.Expr:
    """The lineage named in an expression of row keys (Binary)."""
    return row_keys.cast(pl.String).str.split(SEPARATOR).list.get(4)


def control_key(lineage: str, shard: int) -> bytes:
    """Row of the control document of a (lineage, shard)."""
    return f"{CONTROL_PREFIX}control{SEPARATOR}{lineage}{SEPARATOR}{shard:04d}".encode()


def control_range(lineage: str) -> tuple[bytes, bytes]:
    """Half-open key range of the control documents of a lineage."""
    start = f"{CONTROL_PREFIX}control{SEPARATOR}{lineage}{SEPARATOR}".encode()
    return start, start + b"\x7f"


POINTER_MAP_KEY: Final = f"{CONTROL_PREFIX}pointers".encode()
POINTER_HISTORY_PREFIX: Final = f"{CONTROL_PREFIX}pointer-history{SEPARATOR}"
LINEAGES_KEY: Final = f"{CONTROL_PREFIX}lineages".encode()


COMPARED_KEY: Final = f"{CONTROL_PREFIX}touches-compared".encode()
"""Row of the versions of the pointers whose touches have been compared."""


def announcement_key(hour_us: int, property_id: int, kind: str = "late") -> bytes:
    """Row of the announcements that an hour of a property has to be computed again.

    Args:
        hour_us: UTC µs.
        property_id: Whose.
        kind: Why: ``late`` hits came, or it is ``stale``, as touches have changed, or ``rules``
            were not known in time.
    """
    return _hourly(kind, hour_us) + f"{SEPARATOR}{property_id}".encode()


def announcement_range(first_us: int, end_us: int, kind: str = "late") -> tuple[bytes, bytes]:
    """Half-open key range of the announcements of the hours in [first_us, end_us)."""
    return _hourly(kind, first_us), _hourly(kind, end_us)


def announced_property(row_key: bytes) -> int:
    """The property that an announcement's row is of."""
    return int(row_key.decode().split(SEPARATOR)[2])


def doubt_key(received_hour_us: int, share: int) -> bytes:
    """Row of a share of the doubts about hits received in an hour (UTC µs)."""
    return _hourly("doubts", received_hour_us) + f"{SEPARATOR}{share:03d}".encode()


def doubt_range(end_us: int | None = None) -> tuple[bytes, bytes]:
    """Half-open key range of the doubts about hits received before an hour (UTC µs), or all."""
    start = f"{CONTROL_PREFIX}doubts{SEPARATOR}".encode()
    return start, start + b"\x7f" if end_us is None else _hourly("doubts", end_us)


def wish_key(property_id: int, wish_id: int) -> bytes:
    """Row of a wish for a replay; those of a property sort by when they were asked for."""
    return f"{CONTROL_PREFIX}wish{SEPARATOR}{property_id}{SEPARATOR}{wish_id:020d}".encode()


def wish_range(property_id: int | None = None) -> tuple[bytes, bytes]:
    """Half-open key range of the wishes for replays of a property; ``None`` means all."""
    owner = "" if property_id is None else f"{property_id}{SEPARATOR}"
    start = f"{CONTROL_PREFIX}wish{SEPARATOR}{owner}".encode()
    return start, start + b"\x7f"


def audit_key(hour_us: int) -> bytes:
    """Row of what an audit has found in an hour (UTC µs)."""
    return _hourly("audit", hour_us)


def audit_range() -> tuple[bytes, bytes]:
    """Half-open key range of what audits have found in all hours."""
    start = f"{CONTROL_PREFIX}audit{SEPARATOR}".encode()
    return start, start + b"\x7f"


def _hourly(kind: str, hour_us: int) -> bytes:
    moment = datetime.fromtimestamp(hour_us / 1e6, UTC).strftime("%Y%m%dT%H")
    return f"{CONTROL_PREFIX}{kind}{SEPARATOR}{moment}".encode()


def _day(instant_us: int) -> str:
    return _day_text(instant_us // DAY_US)


@lru_cache(_DAYS_KEPT)
def _day_text(day: int) -> str:
    """The text of a day counted from the epoch: a report writes each of its days many times."""
    return (EPOCH + timedelta(days=day)).strftime("%Y%m%d")
