"""Texts as numbers: shards count pages, sources, devices and event names by 64-bit ids.

Strings are dear to sort, group and copy, so they leave the hits before these reach a shard and
come back when cells are encoded. The dictionary is kept per property: nobody can make an id of
another merchant's property mean something else.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl
import xxhash

TEXTS: Final = ("text_0", "text_1", "text_2", "text_3")
TEXT_SCHEMA: Final = pl.Schema(
    [
        ("property_id", pl.Int64()),
        ("text_id", pl.UInt64()),
        *((text, pl.String()) for text in TEXTS),
    ]
)
"""The dictionary: up to four texts under one id within a property."""
NO_TEXT: Final = 0
"""The id of texts that are all empty; it stands in no dictionary."""


def text_id(*texts: str) -> int:
    """The id of some texts."""
    if not any(texts):
        return NO_TEXT
    joined = "".join(f"{len(text.encode())}:{text}" for text in texts)
    return xxhash.xxh3_64_intdigest(joined.encode()) or 1


def with_text_ids(
    rows: pl.DataFrame, ids: Mapping[str, Sequence[str]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Replace text columns by ids.

    Args:
        rows: Has ``property_id`` and the text columns, never null.
        ids: Name of each id column → the text columns (at most four) that it replaces.

    Returns:
        ``rows`` with the id columns added, and the dictionary (``TEXT_SCHEMA``) of what they mean.
    """
    dictionaries = []
    for name, columns in ids.items():
        rows, dictionary = _with_text_id(rows, name, columns)
        dictionaries.append(dictionary)
    return rows, pl.concat(dictionaries).unique(["property_id", "text_id"])


def _with_text_id(
    rows: pl.DataFrame, name: str, columns: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    distinct = rows.select(columns).unique().rows()
    # Made anew: a text may be a view into all the requests that it came with.
    known = pl.DataFrame(distinct, schema=dict.fromkeys(columns, pl.String), orient="row")
    ids = np.fromiter((text_id(*texts) for texts in distinct), np.uint64)
    known = known.with_columns(pl.Series(name, ids, dtype=pl.UInt64))
    numbered = rows.join(known, on=list(columns), how="left", maintain_order="left")
    meanings = (
        numbered.select("property_id", name)
        .unique()
        .filter(pl.col(name) != NO_TEXT)
        .join(known, on=name, how="left")
    )
    texts = [pl.col(column).alias(text) for column, text in zip(columns, TEXTS, strict=False)]
    padding = [pl.lit("").alias(text) for text in TEXTS[len(columns) :]]
    return numbered, meanings.select("property_id", pl.col(name).alias("text_id"), *texts, *padding)


def with_texts(
    rows: pl.DataFrame, name: str, columns: Sequence[str], texts: pl.DataFrame
) -> pl.DataFrame:
    """``rows`` with the texts of the id column ``name`` under ``columns``; empty where it is 0."""
    wanted = texts.select(
        "property_id",
        pl.col("text_id").alias(name),
        *(pl.col(text).alias(column) for column, text in zip(columns, TEXTS, strict=False)),
    )
    joined = rows.join(wanted, on=["property_id", name], how="left", maintain_order="left")
    return joined.with_columns(pl.col(*columns).fill_null("")).drop(name)


def merged(texts: pl.DataFrame) -> pl.DataFrame:
    """A dictionary without repetitions, sorted."""
    return texts.unique(["property_id", "text_id"]).sort("property_id", "text_id")
