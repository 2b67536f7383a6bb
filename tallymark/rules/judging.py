"""Judging: what a property's rules say of enriched hits: what counts, as what, and how much."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from tallymark.dead_letters import REJECTION_SCHEMA
from tallymark.hits import HIT_SCHEMA, request_id_of
from tallymark.hosts import is_within
from tallymark.rule_documents import Rules
from tallymark.rules.amounts import AMOUNT, own_worth
from tallymark.rules.claims import CLAIMED
from tallymark.rules.customs import with_customs
from tallymark.rules.filters import tagged_by_filter
from tallymark.rules.privacy import with_refusals_tagged
from tallymark.rules.rule_sets import Asked, RuledHits, applying

RULED: Final = (*CLAIMED, "is_key_event", "is_once_per_session", "value_micros", "customs")
"""Columns of a hit that the rules fill in."""
OTHER_HOST: Final = "host"
"""What ``excluded_by`` says of a hit of a page on a host that its property does not allow."""


@dataclass(frozen=True)
class Judged:
    """What rules make of hits.

    Attributes:
        hits: ``HIT_SCHEMA``.
        doubted: ``REJECTION_SCHEMA``; what is wrong with hits that count all the same.
    """

    hits: pl.DataFrame
    doubted: pl.DataFrame


def judged(hits: pl.DataFrame, properties: pl.DataFrame) -> Judged:
    """Tag what does not count, and say what key events are, what sales are worth and what custom
    definitions say.

    Args:
        hits: Claimed, rewritten and enriched; the order is kept.
        properties: ``PROPERTY_SCHEMA``; every version that a hit was claimed with.
    """
    ruled = RuledHits(hits)
    named = _with_key_events(hits, ruled)
    welcome = with_refusals_tagged(named, ruled)
    tagged = tagged_by_filter(_tagged_by_host(welcome, properties), ruled)
    valued, doubted = _valued(with_customs(tagged, ruled, properties), properties)
    return Judged(
        hits=valued.select([pl.col(name).cast(dtype) for name, dtype in HIT_SCHEMA.items()]),
        doubted=doubted,
    )


def _with_key_events(hits: pl.DataFrame, ruled: RuledHits) -> pl.DataFrame:
    """By name, and where a property has more to say of any of them, by that."""
    named = hits.with_columns(
        is_key_event=pl.col("event_name").is_in(pl.col("key_events")),
        is_once_per_session=pl.lit(value=False),
    )
    asked = ruled.asked(lambda rules: () if _are_by_name(rules) else rules.key_events)
    if asked.rows.is_empty():
        return named
    names = hits.get_column("event_name").gather(asked.rows["row"])
    of_name = asked.rows.filter(names == asked.values(asked.rows, lambda event: event.event))
    found = applying(hits, Asked(asked.parts, of_name)).rows
    once = asked.values(found, lambda event: event.is_once_per_session).cast(pl.Boolean)
    is_key, is_once = named["is_key_event"], named["is_once_per_session"]
    is_key = is_key.scatter(asked.rows["row"].unique(), values=False)
    return named.with_columns(
        is_key.scatter(found["row"], values=True),
        is_once.scatter(found.filter(once)["row"], values=True),
    )


def _are_by_name(rules: Rules) -> bool:
    return all(event.is_by_name for event in rules.key_events)


def _tagged_by_host(hits: pl.DataFrame, properties: pl.DataFrame) -> pl.DataFrame:
    """``hits`` with those tagged that are of pages on hosts not allowed. A hit that names no page
    is not judged, and what tagged it before stays."""
    version = ["measurement_id", "rules_version"]
    asked = properties.filter(pl.col("allowed_hosts").list.len() > 0)
    if asked.is_empty():
        return hits
    host, allowed = pl.col("host"), pl.col("allowed_hosts")
    others = (
        hits.select(*version, "host")
        .filter(host != "")
        .unique()
        .join(asked.select(*version, allowed).explode("allowed_hosts"), on=version)
        .group_by(*version, "host")
        .agg(is_other=is_within(host, allowed).any().not_())
        .filter("is_other")
    )
    marked = hits.join(others, on=[*version, "host"], how="left", maintain_order="left")
    is_other = (pl.col("excluded_by") == "") & pl.col("is_other").fill_null(value=False)
    return marked.with_columns(
        excluded_by=pl.when(is_other).then(pl.lit(OTHER_HOST)).otherwise("excluded_by")
    )


def _valued(hits: pl.DataFrame, properties: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``hits`` with ``value_micros``, and those (``REJECTION_SCHEMA``) of which it is not known."""
    sold = hits.get_column("sent_value_micros") != 0
    values = hits.get_column("sent_value_micros").alias("value_micros")
    sales = hits.select("hit_id", *AMOUNT).filter(sold)
    worth = own_worth(sales, properties)
    valued = hits.with_columns(values.scatter(sold.arg_true(), worth.fill_null(0)))
    return valued, _unrated(sales.filter(worth.is_null()))


def _unrated(sales: pl.DataFrame) -> pl.DataFrame:
    return sales.select(
        request_id=request_id_of(pl.col("hit_id")),
        reason=pl.lit("missing_rate"),
        detail=pl.format(
            "expected a rate from {} to {} for {}, got none: the hit counts without its value",
            pl.col("currency").str.to_uppercase(),
            "property_currency",
            pl.from_epoch("event_at", time_unit="us").dt.strftime("%Y-%m-%d"),
        ),
    ).cast(REJECTION_SCHEMA)
