"""Keys of hits: what reports can be told apart by where no rollup holds it.

A key is of the ``session`` (where it came from, where it landed), of the ``hit`` itself, of its
``page``, or of an ``item`` of it. Keys that rollups have too are the same by the same name. Adding
a key is adding a row.
"""

from dataclasses import dataclass
from typing import Final, Literal

from tallymark.hits import ITEM_TEXTS
from tallymark.narrow_hits import TEXT_IDS
from tallymark.rollups import CLIENT_SETS, Rollup

Scope = Literal["session", "hit", "page", "item"]


@dataclass(frozen=True, kw_only=True)
class HitKey:
    """One key.

    Attributes:
        scope: What it is of.
        text_id: The id (of ``texts``) that stands for it while hits are grouped; "" where the
            text does itself.
        column: The column of a hit that it is where it is of the hit or its page.
    """

    scope: Scope
    text_id: str = ""
    column: str = ""


SESSION_TEXTS: Final = {
    "source_id": ("source", "medium", "campaign", "channel"),
    "first_source_id": ("first_source", "first_medium", "first_campaign", "first_channel"),
    "landing_id": ("landing_host", "landing_page"),
    "device_id": TEXT_IDS["device_id"],
}
"""The keys of sessions, by the id that stands for them."""
OF_SOURCE: Final = {"session_term": "term", "session_content": "content"}
"""Keys that the hit says which gave its session the session's own source."""
HIT_TEXTS: Final = {"event_id": TEXT_IDS["event_id"], "page_id": TEXT_IDS["page_id"]}
TEXTS: Final = SESSION_TEXTS | HIT_TEXTS
_OF_HIT: Final = {
    "country": "country", "language": "language", "screen_resolution": "screen_resolution",
    "transaction_id": "transaction_id", "hit_source": "source", "hit_medium": "medium",
    "hit_campaign": "campaign", "hit_term": "term", "hit_content": "content",
    "hit_channel": "channel",
}  # fmt: skip
_OF_PAGE: Final = ("page_query", "title", "referrer")

HIT_KEYS: Final[dict[str, HitKey]] = {
    **{
        key: HitKey(scope="session", text_id=text_id)
        for text_id, keys in SESSION_TEXTS.items()
        for key in keys
    },
    **{key: HitKey(scope="session") for key in ("new_vs_returning", *OF_SOURCE)},
    "event_name": HitKey(scope="hit", text_id="event_id", column="event_name"),
    **{key: HitKey(scope="hit", column=column) for key, column in _OF_HIT.items()},
    **{key: HitKey(scope="page", text_id="page_id", column=key) for key in HIT_TEXTS["page_id"]},
    **{key: HitKey(scope="page", column=key) for key in _OF_PAGE},
    **{key: HitKey(scope="item") for key in ITEM_TEXTS},
}
ITEM_SUMS: Final = (
    "items_purchased",  # of sales, each sale once
    "item_revenue_micros",  # price times quantity of sales less refunds, in the property's currency
    "items_viewed",
    "items_viewed_in_list",
    "items_clicked_in_list",
    "items_added_to_cart",
    "items_checked_out",
)
SESSION_SETS: Final = ("sessions", "engaged_sessions", "session_duration_ms")
"""Of hits these are no sums: a session counts once in each row that one of its hits is in."""
_EVERYTHING: Final = 2**62

HITS: Final = Rollup(
    name="hits", number=0, grain="hit",
    keys=tuple(name for name, key in HIT_KEYS.items() if key.scope != "item"), text_id="",
    sums=("events", "views", "engagement_ms", "key_events", "value_micros", "entrances", "exits",
          *ITEM_SUMS),
    uniques=(*CLIENT_SETS, *SESSION_SETS), unique_k=_EVERYTHING, max_rows=_EVERYTHING,
)  # fmt: skip
"""What hits answer, as if it were a rollup; no cell holds it. Its sets keep every member."""
ITEMS: Final = Rollup(
    name="items", number=0, grain="hit", keys=tuple(HIT_KEYS), text_id="", sums=ITEM_SUMS,
    uniques=(*CLIENT_SETS, *SESSION_SETS), unique_k=_EVERYTHING, max_rows=_EVERYTHING,
)  # fmt: skip
"""The same by item. What is of the hit would count for each of its items, so it is left out."""
