"""Exchange rates in the document of properties: JSON to ``ExchangeRate`` and back."""

import re
from datetime import date
from decimal import Decimal
from typing import Any, Final

from stores.rules_cache.problems import text_problems
from tallymark.exchange_rates import MAX_RATE, RATE_PLACES, ExchangeRate
from tallymark.problems import Problem

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_RATE: Final = re.compile(rf"[0-9]{{1,10}}(\.[0-9]{{1,{RATE_PLACES}}})?")


def currency_problems(currency: object, where: str) -> list[Problem]:
    """What is wrong with the name of a currency."""
    allowed = "an ISO 4217 code of three capital letters, such as EUR"
    return text_problems(currency, _CURRENCY, where, allowed)


def rates_problems(rates: object, where: str) -> list[Problem]:
    """What is wrong with the rates of a version of rules."""
    if not isinstance(rates, list | tuple):
        return [Problem(where=where, got=rates, allowed="a list of rates")]
    problems = []
    for index, row in enumerate(rates):
        place = f"{where}[{index}]"
        if not isinstance(row, dict):
            problems.append(Problem(where=place, got=row, allowed="an object"))
            continue
        problems += currency_problems(row.get("currency"), f"{place}.currency")
        if not _is_day(row.get("since")):
            allowed = "a day, such as 2026-01-31"
            problems.append(Problem(where=f"{place}.since", got=row.get("since"), allowed=allowed))
        if not _is_rate(row.get("rate")):
            allowed = (
                f"the text of a decimal number above 0 and up to {MAX_RATE}, with {RATE_PLACES} "
                'decimal places at most, such as "1.0834"'
            )
            problems.append(Problem(where=f"{place}.rate", got=row.get("rate"), allowed=allowed))
    return problems


def _is_day(text: object) -> bool:
    return isinstance(text, str) and _DAY.fullmatch(text) is not None and _is_date(text)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_rate(text: object) -> bool:
    fits = isinstance(text, str) and _RATE.fullmatch(text) is not None
    return fits and 0 < Decimal(str(text)) <= MAX_RATE


def decoded_rate(row: dict[str, Any]) -> ExchangeRate:
    """The rate that a row without problems holds."""
    return ExchangeRate(
        currency=row["currency"],
        since=date.fromisoformat(row["since"]),
        rate=Decimal(row["rate"]),
    )


def rate_row(rate: ExchangeRate) -> dict[str, Any]:
    """The row of a rate; ``decoded_rate`` gives it back."""
    return {
        "currency": rate.currency,
        "since": rate.since.isoformat(),
        "rate": format(rate.rate, "f"),
    }
