"""Transactions: sales that name one count their value once a client, however often they are sent.

A shop's last page is loaded again, its server sends what its page has sent: the same sale comes
twice. A sale repeats an earlier one of the same client, event and transaction id if that one lies
in the horizon before it: since L = 4 h before the last multiple of L, so four to eight hours back.
That is within the window of hits on which the sessions of an hour depend, so an hour can still be
computed alone. What repeats a sale is still an event and a key event, as it did happen; only its
value is nothing. Refunds are not held against each other: a sale may be refunded in parts.
"""

from typing import Final

import polars as pl

from tallymark.narrow_hits import NO_TRANSACTION, narrow
from tallymark.pieces import CLIENT
from tallymark.slots import SESSION_ALIGNMENT_US

_SALE: Final = (*CLIENT, "transaction_key")


def counted_once(transactions: pl.DataFrame) -> pl.DataFrame:
    """Those (``TRANSACTION_SCHEMA``) that repeat none, ordered by client, sale and time.

    Args:
        transactions: All of their clients, in any order.
    """
    ordered = transactions.sort(*_SALE, "at", "hit_order")
    horizon = (pl.col("at") // SESSION_ALIGNMENT_US - 1) * SESSION_ALIGNMENT_US
    is_same = pl.all_horizontal([pl.col(name) == pl.col(name).shift(1) for name in _SALE])
    is_repeat = is_same & (pl.col("at").shift(1) >= horizon)
    return ordered.filter(~is_repeat.fill_null(value=False))


def repeated_among(hits: pl.DataFrame) -> pl.Series:
    """The ids of the hits (``HIT_SCHEMA``, all that count of their clients) that repeat a sale."""
    numbered, _ = narrow(hits)
    named = numbered.filter(pl.col("transaction_key") != NO_TRANSACTION)
    sales = named.select("hit_id", *_SALE, "hit_order", at="event_at")
    return sales.join(counted_once(sales), on="hit_id", how="anti").get_column("hit_id")
