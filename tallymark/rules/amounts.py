"""Amounts: what was sent in some currency, in that of its property."""

from typing import Final

import polars as pl

from tallymark.exchange_rates import in_own_currency

AMOUNT: Final = (
    "measurement_id", "rules_version", "event_at", "currency", "property_currency",
    "sent_value_micros",
)  # fmt: skip
"""Columns of an amount."""


def own_worth(amounts: pl.DataFrame, properties: pl.DataFrame) -> pl.Series:
    """What amounts are worth (Int64 micros); null where no rate is known.

    Args:
        amounts: ``AMOUNT``; without a currency it is the property's own.
        properties: ``PROPERTY_SCHEMA``; every version that is named.
    """
    named = amounts.with_columns(pl.col("currency").str.to_uppercase())
    is_own = (pl.col("currency") == "") | (pl.col("currency") == pl.col("property_currency"))
    places = named.select((~is_own).arg_true()).to_series()
    worth = named.get_column("sent_value_micros")
    if places.is_empty():
        return worth
    rates = properties.select("measurement_id", "rules_version", "exchange_rates")
    each = rates.explode("exchange_rates").drop_nulls("exchange_rates").unnest("exchange_rates")
    return worth.scatter(places, in_own_currency(named[places], each))
