"""Custom definitions put to hits: what reports can use of the parameters that hits were sent with,
and what filters that are tested say of them.

A dimension of events or users is said of every hit, as "" where nothing was sent, so that its rows
add up to all that happened since it was defined; one of items is said of each value that an item of
the hit has.
"""

from typing import Any, Final

import polars as pl

from tallymark.hits import HIT_SCHEMA
from tallymark.protocol_limits import MAX_VALUE
from tallymark.rule_documents.rules import Filter
from tallymark.rules.event_values import EVENT_VALUE, event_values
from tallymark.rules.filters import filters_in, first_applying, untagged
from tallymark.rules.rule_sets import Asked, RuledHits
from tallymark.rules.sent_lists import entries_of, first_sent

_LISTS: Final = {"event": "params", "user": "user_properties"}
_FIELDS: Final = ("row", "name", "value", "micros")
TESTED: Final = "testDataFilterName"
"""The dimension of filters that are tested, as GA4's Data API calls it."""


def with_customs(hits: pl.DataFrame, ruled: RuledHits, properties: pl.DataFrame) -> pl.DataFrame:
    """``hits`` with ``customs``; the order is kept.

    Args:
        hits: Enriched and tagged, those with definitions with their parameters.
        ruled: Their rules.
        properties: ``PROPERTY_SCHEMA``; every version that a hit was claimed with.
    """
    dimensions = ruled.asked(lambda rules: rules.custom_dimensions)
    metrics = ruled.asked(lambda rules: rules.custom_metrics)
    tests = untagged(hits, ruled.asked(lambda rules: filters_in(rules, "testing")))
    dtype = HIT_SCHEMA["customs"]
    none = pl.Series("customs", [[]], dtype=dtype)
    has_values = any(rules is not None and rules.has_event_values for rules in ruled.sets)
    if not has_values and all(each.rows.is_empty() for each in (dimensions, metrics, tests)):
        return hits.with_columns(none.new_from_index(0, hits.height))
    parts = [_values(hits, dimensions), _numbers(hits, metrics), _tested(hits, tests)]
    if has_values:
        amounts = event_values(hits, ruled, properties)
        parts.append(
            amounts.select(
                "row", pl.lit(EVENT_VALUE).alias("name"), pl.lit("").alias("value"), "micros"
            )
        )
    said = pl.concat(parts)
    lists = (
        said.sort(_FIELDS)
        .group_by("row", maintain_order=True)
        .agg(customs=pl.struct("name", "value", "micros"))
    )
    customs = none.new_from_index(0, hits.height).to_frame().with_row_index("row")
    found = customs.join(lists, on="row", how="left", maintain_order="left", suffix="_said")
    return hits.with_columns(
        found.select(pl.coalesce("customs_said", "customs").cast(dtype))
        .to_series()
        .alias("customs")
    )


def _values(hits: pl.DataFrame, asked: Asked[Any]) -> pl.DataFrame:
    """What dimensions say: ``_FIELDS``, without numbers."""
    put = _put(asked)
    parts = [
        own.with_columns(value=first_sent(hits, column, own)["text"].fill_null(""))
        for scope, column in _LISTS.items()
        if (own := put.filter(pl.col("scope") == scope)).height
    ]
    of_items = _of_items(hits, put).rename({"text": "value"}).unique(["row", "name", "value"])
    together = pl.concat(
        [
            of_items.select("row", "name", "value"),
            *(part.select("row", "name", "value") for part in parts),
        ]
    )
    return together.select(
        "row", "name", pl.col("value").str.head(MAX_VALUE), micros=pl.lit(None, pl.Int64)
    ).unique()


def _numbers(hits: pl.DataFrame, asked: Asked[Any]) -> pl.DataFrame:
    """What metrics say: ``_FIELDS``, without values."""
    put = _put(asked)
    own = put.filter(pl.col("scope") == "event")
    of_events = own.with_columns(first_sent(hits, "params", own))
    together = pl.concat(
        [part.select("row", "name", "micros") for part in (of_events, _of_items(hits, put))]
    )
    return together.drop_nulls("micros").select("row", "name", pl.lit("").alias("value"), "micros")


def _tested(hits: pl.DataFrame, tests: Asked[Filter]) -> pl.DataFrame:
    """The first of the tested filters that applies to a hit, "" where none does: ``_FIELDS``."""
    first = first_applying(hits, tests)
    every = tests.rows.select("row").unique()
    return every.join(first, on="row", how="left").select(
        "row",
        pl.lit(TESTED).alias("name"),
        pl.col("filter").fill_null("").alias("value"),
        micros=pl.lit(None, pl.Int64),
    )


def _put(asked: Asked[Any]) -> pl.DataFrame:
    """``row`` of hits, and what is asked of each: ``name``, ``scope``, ``key``."""
    parts = asked.parts
    table = pl.DataFrame(
        {
            "part": range(len(parts)),
            "name": [part.api_name for part in parts],
            "scope": [part.scope for part in parts],
            "key": [part.parameter for part in parts],
        },
        schema={
            "part": pl.UInt32, "name": pl.String, "scope": pl.String, "key": pl.String,
        },
    )  # fmt: skip
    return asked.rows.join(table, on="part", maintain_order="left").drop("part")


def _of_items(hits: pl.DataFrame, put: pl.DataFrame) -> pl.DataFrame:
    """``row``, ``name``, ``text`` and ``micros`` of each item that has a parameter asked for."""
    own = put.filter(pl.col("scope") == "item")
    items = entries_of(hits, "items", own.get_column("row").unique()).select("row", "params")
    sent = (
        items.with_row_index("item")
        .explode("params")
        .drop_nulls("params")
        .unnest("params")
        .unique(["item", "key"], keep="first", maintain_order=True)
    )
    return own.join(sent, on=["row", "key"]).select("row", "name", "text", "micros")
