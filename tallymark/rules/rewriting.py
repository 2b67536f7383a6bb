"""Rewriting: what a property's rules change of hits before anything is found out about them."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import polars as pl

from tallymark.distinct import compared
from tallymark.event_kinds import with_event_kinds
from tallymark.rule_documents import Rules
from tallymark.rule_documents.rewrites import Rewrite
from tallymark.rules.rewrites import changes
from tallymark.rules.rule_sets import RuledHits, applying

_REFERRER_HOST: Final = r"^(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#]*@)?(\[[^\]/?#]*\]|[^/?#:]*)"


def rewritten(hits: pl.DataFrame) -> pl.DataFrame:
    """Claimed hits as their rules want them; the order is kept.

    What kind of event a hit is goes by the name that it has then. ``is_own_referrer`` says that
    the page that a hit comes from is on a host that the property does not count as a source.
    """
    ruled = RuledHits(hits)
    most = max((len(rules.rewrites) for rules in ruled.sets if rules is not None), default=0)
    for place in range(most):  # what one makes of a hit is what the next one of its property sees
        asked = ruled.asked(partial(_rewrite_at, place))
        for name, rows, texts in changes(hits, applying(hits, asked)):
            hits = hits.with_columns(hits.get_column(name).scatter(rows, texts))
    return with_event_kinds(_with_own_referrers(hits, ruled))


def _rewrite_at(place: int, rules: Rules) -> Sequence[Rewrite]:
    return rules.rewrites[place : place + 1]


def _with_own_referrers(hits: pl.DataFrame, ruled: RuledHits) -> pl.DataFrame:
    asked = ruled.asked(lambda rules: rules.referral_exclusions)
    referrers = hits.get_column("referrer").gather(asked.rows["row"])
    hosts = referrers.str.extract(_REFERRER_HOST).fill_null("").str.to_lowercase()
    excluded = asked.values(asked.rows, str).cast(pl.String)
    is_excluded = compared(hosts, excluded, _is_within)
    own = asked.rows.filter(is_excluded).get_column("row").unique()
    none = pl.Series("is_own_referrer", [False]).new_from_index(0, hits.height)
    return hits.with_columns(none.scatter(own, values=True))


def _is_within(host: pl.Expr, other: pl.Expr) -> pl.Expr:
    return (host == other) | host.str.ends_with("." + other)
