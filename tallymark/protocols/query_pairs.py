"""Query strings as pairs: split and exploded at once, the columns gathered by their keys."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import polars as pl

from tallymark.protocols.percent import percent_decoded

PAIR_SCHEMA: Final = pl.Schema({"row": pl.UInt32, "key": pl.String, "value": pl.String})
"""A pair of a query string: of which row, the decoded key, the value as it was sent."""


def pairs_of(queries: pl.Series, keys: Iterable[str] | None = None) -> pl.DataFrame:
    """The pairs (``PAIR_SCHEMA``) of ``queries``, in order; without those that have no key.

    Args:
        queries: Query strings without ``?``.
        keys: Leave out what has another key; ``None`` for all. Fewer pairs are less work.
    """
    texts = queries.rename("text")
    rows = pl.DataFrame(
        {"row": pl.int_range(len(texts), dtype=pl.UInt32, eager=True), "text": texts.str.split("&")}
    ).explode("text")
    rows = rows.filter(pl.col("text").str.contains(_beginning_with(keys)))
    parts = rows.get_column("text").str.splitn("=", 2).struct.unnest()
    pairs = rows.select("row").with_columns(
        key=parts.to_series(0), value=parts.to_series(1).fill_null("")
    )
    if pairs.get_column("key").str.contains("[%+]").any():
        pairs = pairs.with_columns(pl.col("key").map_batches(percent_decoded, pl.String))
    return pairs


def _beginning_with(keys: Iterable[str] | None) -> str:
    if keys is None:
        return "^[^=]"
    # A key may be percent-encoded itself: such pairs are sorted out later.
    return f"^(?:{'|'.join(map(re.escape, keys))})(?:=|$)|^[^=]*[%+]"


def columns_of(
    pairs: pl.DataFrame, columns: Mapping[str, tuple[str, ...]], height: int
) -> dict[str, pl.Series]:
    """The decoded value of each column in each of ``height`` rows, null where it was not sent.

    Args:
        pairs: ``PAIR_SCHEMA``; of pairs with the same key in a row the first counts.
        columns: The keys of a column; the first of them that was sent counts.
        height: How many rows the pairs are of.
    """
    keys = pl.Enum(sorted({key for names in columns.values() for key in names}))
    known = pairs.with_columns(pl.col("key").cast(keys, strict=False)).drop_nulls("key")
    parts = known.partition_by("key", as_dict=True, include_key=False)
    sent = {key: _gathered(part, height) for (key,), part in parts.items()}
    return {
        column: _first_sent([sent[key] for key in names if key in sent], column, height)
        for column, names in columns.items()
    }


def _gathered(part: pl.DataFrame, height: int) -> pl.Series:
    rows = part.get_column("row").to_numpy()
    index = np.full(height, part.height, dtype=np.uint32)
    # Of several assignments to one place the last one stays: backwards, that is the first pair.
    index[rows[::-1]] = np.arange(part.height, dtype=np.uint32)[::-1]
    values = percent_decoded(part.get_column("value"))
    return values.extend(pl.Series([None], dtype=pl.String)).gather(index)


def _first_sent(candidates: list[pl.Series], name: str, height: int) -> pl.Series:
    if not candidates:
        return pl.Series(name, [None], dtype=pl.String).new_from_index(0, height)
    found = candidates[0]
    for other in candidates[1:]:
        found = found.zip_with(found.is_not_null(), other)
    return found.alias(name)
