"""Exchange rates: sales in other currencies counted in the property's own, by dated rates.

A rate holds from a day (UTC) until the next one of its currency. Where there is none, the hit
counts without its value, and that is told as an error in the data: never is another currency taken
for the property's own.
"""

from typing import Final

import polars as pl

from tallymark.protocols.numbers import MAX_MICROS

RATE_PLACES: Final = 9
"""Decimal places of a rate that count."""
MAX_RATE: Final = 10**9
_NANOS: Final = 10**RATE_PLACES

RATE: Final = pl.Struct(
    {
        "currency": pl.String,  # ISO 4217, of the sale
        "since": pl.Int64,  # UTC µs of the midnight from which it holds
        "rate_nanos": pl.Int64,  # a unit of it in the property's currency, times 10⁹
    }
)


def in_own_currency(sales: pl.DataFrame, rates: pl.DataFrame) -> pl.Series:
    """What sales in other currencies are worth in the property's (Int64 micros, rounded half away
    from zero); null where no rate is known.

    Args:
        sales: ``measurement_id``, ``rules_version``, ``event_at``, ``currency`` (upper case),
            ``sent_value_micros``.
        rates: ``measurement_id``, ``rules_version``, and the fields of ``RATE``, in any order.
    """
    by = ["measurement_id", "rules_version", "currency"]
    rated = (
        sales.with_row_index("place")
        .sort("event_at")
        .join_asof(
            rates.sort("since"),
            left_on="event_at",
            right_on="since",
            by=by,
            check_sortedness=False,
        )
        .sort("place")
    )
    sent, rate = (pl.col(name).cast(pl.Int128) for name in ("sent_value_micros", "rate_nanos"))
    worth = (sent.abs() * rate + _NANOS // 2) // _NANOS
    bounded = worth.clip(upper_bound=MAX_MICROS) * sent.sign()
    return rated.select(bounded.cast(pl.Int64)).to_series()
