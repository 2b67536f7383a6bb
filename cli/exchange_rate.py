"""An exchange rate as people write it on a command line."""

import re
from datetime import date
from typing import Any, Final

import click

_SHAPE: Final = re.compile(r"([A-Z]{3})=([0-9]+(?:\.[0-9]+)?)@([0-9-]{10})")


class ExchangeRateType(click.ParamType[dict[str, str]]):
    """``EUR=1.0834@2026-01-01``: what one is worth in the property's currency, from a day on."""

    name = "rate"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, str]:
        """It as it stands in a rules document."""
        rate = _rate(value)
        if rate is None:
            expected = "expected CURRENCY=RATE@DAY, such as EUR=1.0834@2026-01-01"
            self.fail(f"{expected}, got {value!r}", param, ctx)
        return rate


def _rate(text: str) -> dict[str, str] | None:
    found = _SHAPE.fullmatch(text)
    try:
        since = date.fromisoformat(found[3]) if found else None
    except ValueError:
        return None
    if found is None or since is None:
        return None
    return {"currency": found[1], "rate": found[2], "since": found[3]}
