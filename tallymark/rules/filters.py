"""Filters put to hits: which of a property's filters applies to each."""

from collections.abc import Sequence

import polars as pl

from tallymark.rule_documents import Rules
from tallymark.rule_documents.rules import Filter
from tallymark.rules.rule_sets import Asked, RuledHits, applying


def tagged_by_filter(hits: pl.DataFrame, ruled: RuledHits) -> pl.DataFrame:
    """``hits`` with those tagged that nothing has tagged before and that a filter applies to."""
    asked = untagged(hits, ruled.asked(lambda rules: filters_in(rules, "active")))
    first = first_applying(hits, asked)
    return hits.with_columns(hits.get_column("excluded_by").scatter(first["row"], first["filter"]))


def filters_in(rules: Rules, state: str) -> Sequence[Filter]:
    """The filters of a state."""
    return [each for each in rules.filters if each.state == state]


def untagged(hits: pl.DataFrame, asked: Asked[Filter]) -> Asked[Filter]:
    """Those of the rows that nothing has tagged yet."""
    is_untagged = hits.get_column("excluded_by").gather(asked.rows["row"]) == ""
    return Asked(asked.parts, asked.rows.filter(is_untagged))


def first_applying(hits: pl.DataFrame, asked: Asked[Filter]) -> pl.DataFrame:
    """``row`` of each hit that filters apply to, and ``filter``, the name of the first of them."""
    found = applying(hits, asked)
    first = found.rows.group_by("row").agg(pl.col("part").min())
    names = found.values(first, lambda each: each.name).cast(pl.String)
    return first.select("row", filter=names)
