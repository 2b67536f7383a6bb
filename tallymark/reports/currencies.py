"""Currencies: amounts of a report in another than the property's, by the property's own rates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tallymark.exchange_rates import RATE_PLACES
from tallymark.protocols.numbers import MAX_MICROS
from tallymark.reports.dates import TimeRange
from tallymark.reports.fields import Reader
from tallymark.slots import EPOCH

_NANOS: Final = 10**RATE_PLACES


@dataclass(frozen=True)
class DatedRate:
    """What a unit of a currency is worth in the property's.

    Attributes:
        currency: ISO 4217.
        since_us: UTC µs from which it holds.
        rate_nanos: Times 10⁹.
    """

    currency: str
    since_us: int
    rate_nanos: int


@dataclass(frozen=True)
class Money:
    """What amounts of a report are in.

    Attributes:
        currency: ISO 4217.
        rates: Of it, ascending; none where it is the property's own.
    """

    currency: str
    rates: tuple[DatedRate, ...] = ()

    def converted(self, micros: pl.Series, instants: npt.NDArray[np.int64]) -> pl.Series:
        """Amounts of the property's currency in this one, rounded half away from zero.

        Args:
            micros: The amounts.
            instants: UTC µs of each; none before the first rate.
        """
        since = np.array([rate.since_us for rate in self.rates])
        of_row = np.searchsorted(since, instants, side="right") - 1
        rates = pl.Series([rate.rate_nanos for rate in self.rates], dtype=pl.Int128)
        amount, rate = pl.col("amount").cast(pl.Int128), pl.col("rate")
        worth = (amount.abs() * _NANOS + rate // 2) // rate * amount.sign()
        table = pl.DataFrame({"amount": micros, "rate": rates.gather(of_row)})
        bounded = worth.clip(-MAX_MICROS, MAX_MICROS).cast(pl.Int64)
        return table.select(bounded.alias(micros.name)).to_series()


def read_currency(
    request: Reader, own: str, rates: Sequence[DatedRate], ranges: Sequence[TimeRange]
) -> Money:
    """What a request wants amounts in; problems go to the reader's list.

    Args:
        request: The request.
        own: The property's currency.
        rates: Those that the property's rules have.
        ranges: The date ranges that the request asks about.
    """
    asked = request.text("currencyCode")
    if asked in ("", own):
        return Money(own)
    mine = sorted(
        (rate for rate in rates if rate.currency == asked), key=lambda rate: rate.since_us
    )
    if not mine:
        known = sorted({own, *(rate.currency for rate in rates)})
        request.complain(
            f"currencyCode: expected {own}, the property's, or one that its rules have exchange"
            f" rates of (of {', '.join(known):.200}), got {asked:.20}"
        )
    elif any(part.start_us < mine[0].since_us for part in ranges):
        first = (EPOCH + timedelta(microseconds=mine[0].since_us)).date()
        request.complain(
            f"currencyCode: expected date ranges that begin when the rates of {asked} do, on"
            f" {first} (UTC)"
        )
    return Money(asked, tuple(mine))
