"""Hours as partitions: one key an hour, in UTC whatever the properties' time zones."""

from datetime import UTC, datetime
from typing import Final

import dagster as dg

from tallymark.slots import DAY_US, instant_us

KEY_FORM: Final = "%Y-%m-%d-%H:%M"
EARLIER_US: Final = 3 * DAY_US
"""A hit may have happened this long before it was received, and still counts."""


def hours_since(start_us: int) -> dg.HourlyPartitionsDefinition:
    """The hours from the day of an instant (UTC µs) on, up to the last that has ended."""
    day = datetime.fromtimestamp(start_us // DAY_US * DAY_US / 1e6, UTC)
    return dg.HourlyPartitionsDefinition(start_date=day, timezone="UTC", fmt=KEY_FORM)


def key_of(hour_us: int) -> str:
    """The key of the hour that starts at ``hour_us`` (UTC µs)."""
    return datetime.fromtimestamp(hour_us / 1e6, UTC).strftime(KEY_FORM)


def hour_of_key(key: str) -> int:
    """The start (UTC µs) of the hour of a key.

    Raises:
        ValueError: when the key is of another form.
    """
    return instant_us(datetime.strptime(key, KEY_FORM).replace(tzinfo=UTC))


def hours_of(context: dg.AssetExecutionContext) -> list[int]:
    """The hours (UTC µs) that a run is asked for, ascending."""
    return sorted(hour_of_key(key) for key in context.partition_keys)
