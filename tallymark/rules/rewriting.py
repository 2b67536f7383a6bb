"""Rewriting: what a property's rules change of hits before anything is found out about them."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import polars as pl

from tallymark.distinct import compared
from tallymark.event_kinds import with_event_kinds
from tallymark.hosts import host_of, is_within
from tallymark.rule_documents import Rules
from tallymark.rule_documents.rewrites import Rewrite
from tallymark.rules.rewrites import changes
from tallymark.rules.rule_sets import Asked, RuledHits, applying

CREATED_FROM: Final = 1_000
"""Numbers from which on hits of a request are created ones: those of the n-th are n thousand more
than that of the hit that they are of."""


def rewritings(hits: pl.DataFrame, ruled: RuledHits) -> Iterator[pl.DataFrame]:
    """Claimed hits after each place in the properties' lists of rewrites: what one makes of a hit,
    the next one sees.

    Args:
        hits: Claimed.
        ruled: Their rules.
    """
    most = max((len(rules.rewrites) for rules in ruled.sets if rules is not None), default=0)
    for place in range(most):
        asked = ruled.asked(partial(_rewrite_at, place))
        for name, rows, texts in changes(hits, applying(hits, asked)):
            hits = hits.with_columns(hits.get_column(name).scatter(rows, texts))
        yield hits


def rewritten(hits: pl.DataFrame) -> pl.DataFrame:
    """Claimed hits as their rules want them; the order is kept.

    What kind of event a hit is goes by the name that it has then. ``is_own_referrer`` says that
    the page that a hit comes from is on a host that the property does not count as a source,
    ``is_created`` that a rule has created the hit, which stands behind the one that it is of.
    """
    ruled = RuledHits(hits)
    for changed in rewritings(hits, ruled):
        hits = changed
    whole = _with_created(hits, ruled)
    if whole.height > hits.height:
        ruled = RuledHits(whole)
    return with_event_kinds(_with_own_referrers(whole, ruled))


def is_created() -> pl.Expr:
    """Whether a rule has created a hit, by its ``hit_id``."""
    return _index() >= CREATED_FROM


def _index() -> pl.Expr:
    return pl.col("hit_id").str.slice(33).str.to_integer()


def _with_created(hits: pl.DataFrame, ruled: RuledHits) -> pl.DataFrame:
    """``hits`` and what they create: at ``event_at``, of the same client, by a number of its own.
    A request has a thousand events at most."""
    asked = ruled.asked(lambda rules: rules.created_events)
    if asked.rows.is_empty():
        return hits.with_columns(is_created=pl.lit(value=False))
    found = applying(hits, asked).rows.sort("row", "part")
    rank = pl.int_range(pl.len()).over("row") + 1
    created = hits[found["row"]].with_columns(
        found["row"], found["part"], rank=found.select(rank).to_series()
    )
    parts = [part.changes for part in asked.parts]
    rows = created.select("part").with_row_index("row")
    for name, places, texts in changes(created, Asked(parts, rows)):
        created = created.with_columns(created.get_column(name).scatter(places, texts))
    number = (_index() + pl.col("rank") * CREATED_FROM).cast(pl.String).str.zfill(4)
    created = created.with_columns(
        hit_id=pl.concat_str(pl.col("hit_id").str.head(33), number),
        engagement_ms=pl.lit(0, pl.Int64),  # it is that of the event that was sent
        is_first_visit=pl.lit(value=False),
        is_created=pl.lit(value=True),
    ).drop("part", "rank")
    sent = hits.with_row_index("row").with_columns(is_created=pl.lit(value=False))
    together = pl.concat([sent, created.select(sent.columns)])
    return together.sort("row", maintain_order=True).drop("row")


def _rewrite_at(place: int, rules: Rules) -> Sequence[Rewrite]:
    return rules.rewrites[place : place + 1]


def _with_own_referrers(hits: pl.DataFrame, ruled: RuledHits) -> pl.DataFrame:
    asked = ruled.asked(lambda rules: (*rules.referral_exclusions, *rules.cross_domain_hosts))
    referrers = hits.get_column("referrer").gather(asked.rows["row"])
    excluded = asked.values(asked.rows, str).cast(pl.String)
    is_excluded = compared(
        referrers, excluded, lambda referrer, other: is_within(host_of(referrer), other)
    )
    own = asked.rows.filter(is_excluded).get_column("row").unique()
    none = pl.Series("is_own_referrer", [False]).new_from_index(0, hits.height)
    return hits.with_columns(none.scatter(own, values=True))
