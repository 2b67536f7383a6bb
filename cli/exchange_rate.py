"""An exchange rate as people write it on a command line."""

import re
from datetime import date
from decimal import Decimal
from typing import Any, Final

import click

from tallymark.exchange_rates import ExchangeRate

_SHAPE: Final = re.compile(r"([A-Z]{3})=([0-9]+(?:\.[0-9]+)?)@([0-9-]{10})")


class ExchangeRateType(click.ParamType[ExchangeRate]):
    """``EUR=1.0834@2026-01-01``: what one is worth in the property's currency, from a day on."""

    name = "rate"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> ExchangeRate:
        """The ``ExchangeRate``."""
        rate = _rate(value)
        if rate is None:
            expected = "expected CURRENCY=RATE@DAY, such as EUR=1.0834@2026-01-01"
            self.fail(f"{expected}, got {value!r}", param, ctx)
        return rate


def _rate(text: str) -> ExchangeRate | None:
    found = _SHAPE.fullmatch(text)
    try:
        since = date.fromisoformat(found[3]) if found else None
    except ValueError:
        return None
    if found is None or since is None:
        return None
    return ExchangeRate(currency=found[1], rate=Decimal(found[2]), since=since)
