"""Items of hits, counted: of the event that names them, in the property's currency.

An item without a quantity is one. What a sale's items are worth in the property's currency follows
from what the sale itself is: both are of one rate.
"""

from typing import Final

import polars as pl

from tallymark.event_kinds import REFUNDS, SALES
from tallymark.hit_keys import ITEM_SUMS
from tallymark.hits import ITEM_TEXTS

_COUNTED: Final = {
    "items_viewed": "view_item",
    "items_viewed_in_list": "view_item_list",
    "items_clicked_in_list": "select_item",
    "items_added_to_cart": "add_to_cart",
    "items_checked_out": "begin_checkout",
}
"""Measures that are the quantities of the items of one event."""


def with_items(hits: pl.DataFrame, currency: str) -> pl.DataFrame:
    """A row an item: the hit that names it, the item's texts and ``ITEM_SUMS``.

    Args:
        hits: With ``items``, ``event_name``, ``repeats_sale``, ``sent_value_micros`` in
            ``currency`` and what that is in the property's, ``sale_micros``.
        currency: The property's.
    """
    fields = [pl.col("items").struct.field(name) for name in (*ITEM_TEXTS, "quantity")]
    price = pl.col("items").struct.field("price_micros")
    each = hits.filter(pl.col("items").list.len() > 0).explode("items", empty_as_null=False)
    return each.with_columns(*fields, price_micros=price).with_columns(_sums(currency))


def item_sums_of_hits(hits: pl.DataFrame, currency: str) -> pl.DataFrame:
    """``hits`` with ``ITEM_SUMS``, each over all items of the hit."""
    numbered = hits.with_row_index("hit")
    sums = with_items(numbered, currency).group_by("hit").agg(pl.col(ITEM_SUMS).sum())
    joined = numbered.join(sums, on="hit", how="left", maintain_order="left")
    return joined.with_columns(pl.col(ITEM_SUMS).fill_null(0)).drop("hit")


def _sums(currency: str) -> list[pl.Expr]:
    event, nothing = pl.col("event_name"), pl.lit(0, pl.Int64)
    quantity = pl.when(pl.col("quantity") == 0).then(1).otherwise("quantity")
    is_sale = event.is_in(SALES) & ~pl.col("repeats_sale")
    worth = _in_own_currency(pl.col("price_micros") * quantity, currency)
    return [
        pl.when(is_sale).then(quantity).otherwise(nothing).alias("items_purchased"),
        pl.when(is_sale).then(worth).when(event.is_in(REFUNDS)).then(-worth).otherwise(nothing)
        .alias("item_revenue_micros"),
        *(
            pl.when(event == name).then(quantity).otherwise(nothing).alias(measure)
            for measure, name in _COUNTED.items()
        ),
    ]  # fmt: skip


def _in_own_currency(amount: pl.Expr, currency: str) -> pl.Expr:
    """An amount of a sale in the property's currency; 0 where no rate is known.

    The rate is that of the sale's own value; where it has none, only what is in the property's
    currency is known.
    """
    sent, held = (
        pl.col(name).abs().cast(pl.Int128) for name in ("sent_value_micros", "sale_micros")
    )
    is_own = pl.col("currency").is_in(["", currency])
    rated = (amount.cast(pl.Int128) * held + sent // 2) // sent
    return (
        pl.when(is_own).then(amount).when(sent != 0).then(rated.cast(pl.Int64))
        .otherwise(pl.lit(0, pl.Int64))
    )  # fmt: skip
