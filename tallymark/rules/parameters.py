"""Parameters that rules ask for, decoded for the hits of those rules alone.

Streaming does without parameters, which cost a third of decoding. Where a rule tests one, the
requests of its property are decoded once more.
"""

import polars as pl

from tallymark.hits import request_id_of
from tallymark.protocols import decode
from tallymark.rules.rule_sets import asks_params

_LISTS = ("items", "params", "user_properties")


def with_params_asked_for(hits: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
    """``hits`` with the parameters of those whose rules test any; the order is kept.

    Args:
        hits: Claimed, decoded without parameters.
        requests: ``REQUEST_SCHEMA``; where the hits come from.
    """
    texts = hits.get_column("hit_rules").unique()
    asking = [text for text in texts if text and asks_params(text)]
    if not asking:
        return hits
    owned = hits.filter(pl.col("hit_rules").is_in(asking))
    wanted = owned.select(request_id_of(pl.col("hit_id"))).to_series().unique()
    again = decode(requests.filter(pl.col("request_id").is_in(wanted.implode())), with_params=True)
    lists = again.hits.select("hit_id", *_LISTS).unique("hit_id", keep="first")
    joined = hits.drop(_LISTS).join(lists, on="hit_id", how="left", maintain_order="left")
    return joined.with_columns(
        pl.col(name).fill_null(pl.lit([], dtype=hits.schema[name])) for name in _LISTS
    )
