"""Rollups: the named aggregates that cells hold, as one declarative table.

Adding a rollup is adding a row. Numbers of hits lie in the slot of the hit, numbers of sessions in
the slot in which the session starts (GA4 counts a session over midnight on both days).
"""

from dataclasses import dataclass
from typing import Final, Literal

Grain = Literal["piece", "page", "event", "minute", "custom", "amount", "hit"]


@dataclass(frozen=True, kw_only=True)
class Rollup:
    """One aggregate.

    Attributes:
        name: Part of the row key.
        number: Schema number that stands in front of each of its cells; raise it when keys, sums
            or uniques change.
        grain: The state table whose rows it sums: a client's ``piece``, its ``page`` views,
            its ``event`` names, the ``minute`` it was there, its ``custom`` values, or the
            ``amount`` of a custom metric; ``hit`` where no cell holds it and reports are computed
            from hits (``hit_keys``).
        keys: Columns that tell its rows apart, all text.
        text_id: The column of the state table whose texts the keys are; "" where there is none.
        last_text_id: The column whose text the last key is, where that has one of its own.
        sums: Columns that add up, all integers.
        uniques: Columns that are sets of client hashes.
        unique_k: How many of the least hashes a set keeps.
        max_rows: Rows a cell may hold; beyond it the rows with the fewest events are folded into
            one row whose keys are ``(other)``.
        within: A key, where rows of different values of it count the same hits, so that a report
            is of one value: each has ``max_rows`` and an ``(other)`` of its own. Such a rollup has
            cells only of properties that have defined something.
    """

    name: str
    number: int
    grain: Grain
    keys: tuple[str, ...]
    text_id: str
    sums: tuple[str, ...]
    uniques: tuple[str, ...]
    unique_k: int
    max_rows: int
    last_text_id: str = ""
    within: str = ""

    @property
    def text_ids(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Columns of text ids, and the keys that each stands for."""
        if not self.text_id:
            return ()
        if not self.last_text_id:
            return ((self.text_id, self.keys),)
        return (self.text_id, self.keys[:-1]), (self.last_text_id, self.keys[-1:])


SESSION_SUMS: Final = (
    "events",  # hits that count, each event name
    "views",  # page_view and screen_view
    "engagement_ms",  # time in the foreground, as clients report it
    "key_events",
    "value_micros",  # value of purchases less refunds, in the property's currency
    "sessions",  # sessions that start in this slot
    "engaged_sessions",
    "session_duration_ms",  # wall time between a session's first and last hit
)
CLIENT_SETS: Final = ("users", "active_users", "new_users")

ROLLUPS: Final = (
    Rollup(
        name="totals", number=1, grain="piece", keys=(),
        text_id="", sums=SESSION_SUMS, uniques=CLIENT_SETS, unique_k=4096, max_rows=1,
    ),
    Rollup(
        name="acquisition", number=1, grain="piece",
        keys=("source", "medium", "campaign", "channel"),
        text_id="source_id", sums=SESSION_SUMS, uniques=CLIENT_SETS, unique_k=1024, max_rows=1000,
    ),
    Rollup(
        name="first_user", number=1, grain="piece",
        keys=("first_source", "first_medium", "first_campaign", "first_channel"),
        text_id="first_source_id",
        sums=SESSION_SUMS, uniques=CLIENT_SETS, unique_k=1024, max_rows=1000,
    ),
    Rollup(
        name="visitors", number=1, grain="piece", keys=("new_vs_returning",),
        text_id="", sums=SESSION_SUMS, uniques=CLIENT_SETS, unique_k=4096, max_rows=3,
    ),
    Rollup(
        name="landing", number=1, grain="piece", keys=("landing_host", "landing_page"),
        text_id="landing_id", sums=SESSION_SUMS, uniques=CLIENT_SETS, unique_k=1024, max_rows=1000,
    ),
    Rollup(
        name="technology", number=1, grain="piece",
        keys=("device_category", "browser", "operating_system"),
        text_id="device_id", sums=SESSION_SUMS, uniques=CLIENT_SETS, unique_k=1024, max_rows=1000,
    ),
    Rollup(
        name="pages", number=1, grain="page", keys=("host", "path"),
        # sessions: those that viewed the page; entrances and exits: those that began or ended there
        text_id="page_id",
        sums=("events", "views", "engagement_ms", "sessions", "entrances", "exits"),
        uniques=("users",), unique_k=1024, max_rows=2000,
    ),
    Rollup(
        name="events", number=1, grain="event", keys=("event_name",),
        text_id="event_id", sums=("events", "key_events", "value_micros"),
        uniques=("users",), unique_k=1024, max_rows=1000,
    ),
    Rollup(
        name="minutes", number=1, grain="minute", keys=("minute",),  # "00" to "59" of the UTC hour
        text_id="", sums=("events", "views"), uniques=("users",), unique_k=1024, max_rows=60,
    ),
    Rollup(
        name="custom", number=1, grain="custom", keys=("custom_name", "custom_value"),
        # sessions: those with an event that has the value
        text_id="custom_id",
        sums=("events", "views", "engagement_ms", "key_events", "value_micros", "sessions"),
        uniques=("users",), unique_k=1024, max_rows=500, within="custom_name",
    ),
    Rollup(
        name="custom_events", number=1, grain="custom",
        keys=("custom_name", "custom_value", "event_name"),
        text_id="custom_id", last_text_id="event_id", sums=("events", "key_events", "value_micros"),
        uniques=("users",), unique_k=1024, max_rows=1000, within="custom_name",
    ),
    Rollup(
        name="custom_amounts", number=1, grain="amount", keys=("custom_name", "event_name"),
        text_id="custom_id", last_text_id="event_id",
        sums=("events", "amount_micros"),  # events: how often the number was sent
        uniques=("users",), unique_k=1024, max_rows=200, within="custom_name",
    ),
)  # fmt: skip
BY_NAME: Final = {rollup.name: rollup for rollup in ROLLUPS}
