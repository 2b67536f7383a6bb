"""What the protocols allow, for those who take hits apart and for those who say what is wrong."""

from typing import Final

MAX_EVENTS: Final = 25
"""Events of a Measurement Protocol request."""
MAX_PARAMS: Final = 25
"""Parameters of an event, items not counted."""
MAX_NAME: Final = 40
"""Characters of the name of an event or a parameter."""
MAX_VALUE: Final = 100
"""Characters of the value of a parameter, but for ``LONG_VALUES``."""
LONG_VALUES: Final = {"page_location": 1_000, "page_referrer": 420, "page_title": 300}
MAX_USER_PROPERTIES: Final = 25
MAX_USER_PROPERTY_NAME: Final = 24
MAX_USER_PROPERTY_VALUE: Final = 36
MAX_USER_ID: Final = 256
MAX_ITEMS: Final = 200
MAX_ITEM_PARAMS: Final = 27
"""Parameters of an item that are the site's own."""
MAX_PAYLOADS: Final = 20
"""Payloads of a batch of Universal Analytics."""
MAX_AGE_US: Final = 72 * 3_600_000_000
"""A hit whose event is older than this when it is received is tagged ``too_old``."""
