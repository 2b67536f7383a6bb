"""Endpoints: what each call does, a module a noun, and the table of all of them."""

from typing import Final

from config_api.calls import Call
from config_api.endpoints import accounts, audit, feed, keys, members, properties, replays, rules

CALLS: Final[tuple[Call, ...]] = (
    *accounts.CALLS,
    *properties.CALLS,
    *rules.CALLS,
    *replays.CALLS,
    *keys.CALLS,
    *members.CALLS,
    *audit.CALLS,
    *feed.CALLS,
)
