"""Touches as cells: a row a client, a cell an hour and lineage.

Row key ``hash#property#touches#client``, the client as 16 hex digits; family ``n``; qualifier
``yyyymmddThh#lineage``, the UTC hour in which the touches start. The value is text: the schema
number, then a line a touch: start (UTC µs), source, medium, campaign and channel, tab-separated and
escaped as in all cells; the texts of a direct touch are empty. An hour that lost its touches is
written empty.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from tallymark.cells import escaped, unescaped
from tallymark.pieces import CLIENT
from tallymark.pointer_map import PointerMap
from tallymark.row_keys import SEPARATOR, rollup_prefix, with_rollup_prefix
from tallymark.slots import HOUR_US
from tallymark.touches import SOURCE, TOUCH_SCHEMA

ROLLUP: Final = "touches"
"""What stands in the row key where cells have the rollup's name."""
FAMILY: Final = "n"
NUMBER: Final = "1"
"""Schema number in front of each value."""
HELD_SCHEMA: Final = pl.Schema(
    [*TOUCH_SCHEMA.items(), ("hour", pl.Int64()), ("lineage", pl.String())]
)
"""A stored touch: of which UTC hour (its start in µs) and which lineage."""
CLIENT_HOUR: Final = (*CLIENT, "hour")
_HOUR_FORMAT: Final = "%Y%m%dT%H"


def hour_of(start: str) -> pl.Expr:
    """The UTC hour (µs) of a column of starts."""
    return (pl.col(start) // HOUR_US * HOUR_US).alias("hour")


def with_client_keys(clients: pl.DataFrame) -> pl.DataFrame:
    """``clients`` (``property_id``, ``client_hash``) with the ``row_key`` of their touches."""
    digits = pa.Array.from_buffers(
        pa.binary(8),
        clients.height,
        [None, pa.py_buffer(clients.get_column("client_hash").to_numpy().astype(">u8").tobytes())],
    )
    client = pl.from_arrow(digits.cast(pa.large_binary()))
    assert isinstance(client, pl.Series)
    key = pl.concat_str("prefix", client.bin.encode("hex"))
    prefixed = with_rollup_prefix(clients, ROLLUP)
    return prefixed.with_columns(row_key=key.cast(pl.Binary)).drop("prefix")


def encode_touches(
    touches: pl.DataFrame, owed: pl.DataFrame, *, lineage: str, version: int
) -> pl.DataFrame:
    """The cells of some clients' hours, those without touches as empty cells.

    Args:
        touches: ``TOUCH_SCHEMA``.
        owed: ``property_id``, ``client_hash``, ``hour`` (UTC µs), without duplicates.
        lineage: Part of the qualifier.
        version: Of every cell; see ``cells.version_of``.

    Returns:
        A cell frame, ordered by key.
    """
    fields = [pl.col("start").cast(pl.String), *(escaped(name) for name in SOURCE)]
    lines = touches.sort(*CLIENT, "start").select(
        *CLIENT, hour_of("start"), line=pl.concat_str(fields, separator="\t")
    )
    bodies = lines.group_by(CLIENT_HOUR, maintain_order=True).agg(pl.col("line").str.join("\n"))
    joined = owed.select(CLIENT_HOUR).join(bodies, on=list(CLIENT_HOUR), how="left")
    value = pl.concat_str(pl.lit(NUMBER + "\n"), "line").fill_null("")
    hour = pl.from_epoch("hour", time_unit="us").dt.strftime(_HOUR_FORMAT)
    return (
        with_client_keys(joined)
        .select(
            "row_key",
            family=pl.lit(FAMILY),
            qualifier=pl.concat_str(hour, pl.lit(SEPARATOR + lineage)).cast(pl.Binary),
            version=pl.lit(version, pl.Int64),
            value=value.cast(pl.Binary),
        )
        .sort("row_key", "qualifier")
    )


def decode_touches(cells: pl.DataFrame) -> pl.DataFrame:
    """The touches (``HELD_SCHEMA``) in the cells of clients' rows, those of every lineage.

    Raises:
        ValueError: when a cell was written under another schema number.
    """
    held = cells.filter(pl.col("value").bin.size() > 0).select(
        pl.col("row_key", "qualifier", "value").cast(pl.String)
    )
    lines = held.with_columns(line=pl.col("value").str.split("\n")).drop("value")
    numbers = set(lines.get_column("line").list.first())
    if numbers - {NUMBER}:
        raise ValueError(f"touches: expected schema {NUMBER}, got {numbers - {NUMBER}}")
    rows = lines.with_columns(pl.col("line").list.slice(1)).explode("line", empty_as_null=False)
    key = pl.col("row_key").str.split(SEPARATOR)
    hour, lineage = (pl.col("qualifier").str.splitn(SEPARATOR, 2).struct[at] for at in (0, 1))
    parts = [pl.col("line").str.split("\t").list.get(at) for at in range(1 + len(SOURCE))]
    return rows.select(
        property_id=key.list.get(1).cast(pl.Int64),
        client_hash=key.list.get(3).str.to_integer(base=16, dtype=pl.UInt64),
        start=parts[0].cast(pl.Int64),
        **{name: unescaped(part) for name, part in zip(SOURCE, parts[1:], strict=True)},
        hour=(hour + "00").str.to_datetime(_HOUR_FORMAT + "%M", time_unit="us").cast(pl.Int64),
        lineage=lineage,
    )


def is_before(instant_us: int) -> pl.Expr:
    """Whether a ``qualifier`` is of an hour that begins before an instant (UTC µs)."""
    hour = datetime.fromtimestamp(instant_us // HOUR_US * 3_600, UTC).strftime(_HOUR_FORMAT)
    return pl.col("qualifier").cast(pl.String) < hour


def served(touches: pl.DataFrame, pointers: Mapping[int, PointerMap]) -> pl.DataFrame:
    """The touches (``HELD_SCHEMA``) of the lineages that serve their hours.

    Args:
        touches: Of any lineages.
        pointers: What serves each property, its overrides included; a property that is not in it
            has nothing.
    """
    parts = [
        part.filter(_serving(part, pointers[int(str(owner))]))
        for (owner,), part in touches.partition_by("property_id", as_dict=True).items()
        if int(str(owner)) in pointers
    ]
    return pl.concat([touches.clear(), *parts])


def _serving(touches: pl.DataFrame, pointers: PointerMap) -> pl.Series:
    names, index = pointers.lineages_of(touches.get_column("hour").to_numpy())
    lineages = pl.Series([*names, None], dtype=pl.String)
    serving = lineages.gather(np.where(index < 0, len(names), index))
    return (touches.get_column("lineage") == serving).fill_null(value=False)


def clients_range(property_id: int) -> tuple[bytes, bytes]:
    """The half-open key range of the rows of all clients of a property."""
    prefix = rollup_prefix(property_id, ROLLUP)
    return prefix.encode(), f"{prefix}g".encode()
