"""What the protocols allow, for those who take hits apart and for those who say what is wrong."""

from typing import Final

MAX_EVENTS: Final = 25
"""Events of a Measurement Protocol request."""
MAX_PAYLOADS: Final = 20
"""Payloads of a batch of Universal Analytics."""
MAX_AGE_US: Final = 72 * 3_600_000_000
"""A hit whose event is older than this when it is received is tagged ``too_old``."""
