"""Hours in the names of objects."""

from datetime import UTC, datetime

from tallymark.slots import HOUR_US, instant_us

_FORM = "%Y-%m-%dT%H"


def hour_name(instant: int) -> str:
    """``YYYY-MM-DDTHH`` of the hour that ``instant`` (UTC µs) lies in."""
    return datetime.fromtimestamp(instant // HOUR_US * HOUR_US / 1e6, UTC).strftime(_FORM)


def hour_of(name: str) -> int:
    """The start (UTC µs) of the hour that ``hour_name`` named.

    Raises:
        ValueError: when ``name`` is of another form.
    """
    return instant_us(datetime.strptime(name, _FORM).replace(tzinfo=UTC))
