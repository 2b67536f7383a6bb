"""Kinds of events: what the name of an event says of it, once no rule will change it any more."""

from typing import Final

import polars as pl

SALES: Final = ("purchase", "in_app_purchase", "ecommerce_purchase")
REFUNDS: Final = ("refund", "in_app_refund", "app_store_refund")
FIRST_VISITS: Final = ("first_visit", "first_open")
PAGE_VIEWS: Final = ("page_view", "screen_view")


def with_event_kinds(hits: pl.DataFrame) -> pl.DataFrame:
    """``hits`` with ``is_page_view``, ``is_first_visit`` and ``sent_value_micros``.

    Sales count up and refunds down; the values of other events are none of either.

    Args:
        hits: Have ``event_name``, ``event_value_micros``, and in ``is_first_visit`` what the
            client says of itself.
    """
    name, value = pl.col("event_name"), pl.col("event_value_micros")
    return hits.with_columns(
        is_first_visit=pl.col("is_first_visit") | name.is_in(FIRST_VISITS),
        is_page_view=name.is_in(PAGE_VIEWS),
        sent_value_micros=pl.when(name.is_in(SALES))
        .then(value)
        .when(name.is_in(REFUNDS))
        .then(-value.abs())
        .otherwise(0),
    )
