"""Rewriting: what a property's rules change of hits before anything is found out about them."""

import polars as pl

from tallymark.event_kinds import with_event_kinds
from tallymark.rules.rule_sets import with_steps


def rewritten(hits: pl.DataFrame) -> pl.DataFrame:
    """Claimed hits as their rules want them; the order is kept.

    What kind of event a hit is goes by the name that it has then. ``is_own_referrer`` says that
    the page that a hit comes from is on a host that the property does not count as a source.
    """
    marked = hits.with_columns(is_own_referrer=pl.lit(value=False))
    return with_event_kinds(with_steps(marked, lambda rules: rules.rewriting))
