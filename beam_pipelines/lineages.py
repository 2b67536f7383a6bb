"""Lineages: which computations have written cells, and which one a streaming job goes on with."""

from dataclasses import asdict, dataclass
from typing import Final

import orjson
import polars as pl

from stores.wide_rows.port import WideRows
from tallymark.pointer_map import PointerMap
from tallymark.properties import SINCE_EVER
from tallymark.row_keys import LINEAGES_KEY, POINTER_MAP_KEY

QUALIFIER: Final = b"live"
MAP_QUALIFIER: Final = b"map"


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """One streaming computation's output.

    Attributes:
        name: Part of the row keys, ``live-1``.
        shards: Fixed for its life: state is kept by shard.
        created_at: UTC µs.
        reads_whole_from: UTC µs since when it has read everything.
    """

    name: str
    shards: int
    created_at: int
    reads_whole_from: int

    @property
    def subscription(self) -> str:
        """The lineage's own subscription to the hits."""
        return f"stream-{self.name}"


def live_lineage(wide_rows: WideRows, *, shards: int, now_us: int) -> tuple[Lineage, bool]:
    """The live lineage to go on with, made and put into service if there is none.

    Returns:
        The lineage, and whether it was made now. The first of all lineages has read everything
        since ever, as nothing was recorded before it.
    """
    first = Lineage(name="live-1", shards=shards, created_at=now_us, reads_whole_from=SINCE_EVER)
    made = wide_rows.compare_and_set(
        LINEAGES_KEY, QUALIFIER, expected=None, value=orjson.dumps(asdict(first)), version=1
    )
    if made:
        serve_everywhere(wide_rows, first.name)
        return first, True
    rows = wide_rows.read_rows([LINEAGES_KEY], ("c",))
    value = rows.filter(pl.col("qualifier") == pl.lit(QUALIFIER)).get_column("value").item()
    serve_everywhere(wide_rows, "live-1")
    return Lineage(**orjson.loads(value)), False


def serve_everywhere(wide_rows: WideRows, lineage: str) -> None:
    """Let a lineage serve every hour, if no pointer map exists yet."""
    document = PointerMap.serving(lineage).encode()
    wide_rows.compare_and_set(
        POINTER_MAP_KEY, MAP_QUALIFIER, expected=None, value=document, version=1
    )
