"""JSON events: what the Measurement Protocol's documents say, gathered into columns.

The one place where hits are gone through one by one, since JSON with any keys has no columns yet.
Only references to values are taken then; what they say is worked out a column at a time.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat
from typing import Any, Final

import polars as pl

from tallymark.enrichment.user_agents import named_device_text
from tallymark.hits import ITEM, ITEM_NUMBERS, ITEM_TEXTS
from tallymark.protocol_limits import (
    MAX_ITEM_PARAMS,
    MAX_ITEMS,
    MAX_NAME,
    MAX_PARAMS,
    MAX_USER_PROPERTIES,
    MAX_USER_PROPERTY_NAME,
    MAX_USER_PROPERTY_VALUE,
    MAX_VALUE,
)
from tallymark.protocols.consent import consent_of_document
from tallymark.protocols.events import EVENT_SCHEMA
from tallymark.protocols.ga4_params import (
    item_params,
    params_of_items,
    with_lists,
    without_params,
)
from tallymark.protocols.json_values import (
    amounts_of,
    json_of,
    numbers_of,
    text_of,
    texts_of,
    time_us_of,
)
from tallymark.protocols.numbers import MAX_ENGAGEMENT_MS

Document = dict[str, Any]

_SCALARS: Final = {
    name: dtype for name, dtype in EVENT_SCHEMA.items() if not isinstance(dtype, pl.List)
}
_PLACE: Final = ("request_row", "hit_index", "measurement_id", "sent_at")
_CLIENT: Final = (
    "client_id", "user_id", "language", "screen_resolution", "country", "country_from",
    "user_agent", "consent",
)  # fmt: skip
_TEXTS: Final = {
    "location": "page_location", "title": "page_title", "referrer": "page_referrer",
    "client_session_id": "session_id", "currency": "currency", "transaction_id": "transaction_id",
}  # fmt: skip
_NUMBERS: Final = {"engagement_ms": "engagement_time_msec", "value_micros": "value"}
_PARAMS: Final = (*_TEXTS.values(), *_NUMBERS.values())
_CONSUMED: Final = frozenset(_PARAMS) - {"currency", "transaction_id", "value"} | {"items"}
"""Parameters that are columns of a hit and nothing else."""
_ITEM_FIELDS: Final = {name: name.removesuffix("_micros") for name in (*ITEM_TEXTS, *ITEM_NUMBERS)}
_ITEM_NAMES: Final = frozenset(_ITEM_FIELDS.values())
_COUNTRY: Final = re.compile("[A-Z]{2}")


@dataclass(frozen=True)
class JsonEvents:
    """Events as they come, each a row of ``frame``.

    Args:
        with_params: Whether items, parameters and user properties are wanted; else they are empty.
    """

    with_params: bool
    _places: list[tuple[object, ...]] = field(default_factory=list)
    _clients: list[tuple[object, ...]] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _sent: list[tuple[object, ...]] = field(default_factory=list)
    _items: list[tuple[object, ...]] = field(default_factory=list)
    _item_params: list[tuple[int, str, object]] = field(default_factory=list)
    _params: list[tuple[int, str, object]] = field(default_factory=list)
    _user_properties: list[tuple[int, str, object]] = field(default_factory=list)

    def take(self, request_row: int, measurement_id: str, document: Document) -> list[str]:
        """Take up the events of a request; returns what is wrong with each that is none."""
        client = _client(document)
        refused = []
        for index, event in enumerate(document["events"]):
            if not isinstance(event, dict):
                found = type(event).__name__
                refused.append(f"event {index}: expected an object, got {found}")
                continue
            sent_at = time_us_of(event.get("timestamp_micros"))
            if sent_at is None:
                sent_at = time_us_of(document.get("timestamp_micros"))
            name, params = event.get("name"), event.get("params")
            params = params if isinstance(params, dict) else {}
            if self.with_params:
                self._take_lists(len(self._places), params, document)
            self._places.append((request_row, index, measurement_id, sent_at))
            self._clients.append(client)
            self._names.append(name if isinstance(name, str) else "")
            self._sent.append(tuple(map(params.get, _PARAMS)))
        return refused

    def _take_lists(self, row: int, params: Document, document: Document) -> None:
        """As many as there may be, in their order, without those whose names are too long."""
        sent = (
            (row, name, value)
            for name, value in params.items()
            if value is not None and name not in _CONSUMED and len(name) <= MAX_NAME
        )
        self._params.extend(islice(sent, MAX_PARAMS))
        properties = document.get("user_properties")
        if isinstance(properties, dict):
            held = (
                (row, name, value)
                for name, holder in properties.items()
                if isinstance(holder, dict) and (value := holder.get("value")) is not None
                if len(name) <= MAX_USER_PROPERTY_NAME
            )
            self._user_properties.extend(islice(held, MAX_USER_PROPERTIES))
        items = params.get("items")
        if isinstance(items, list):
            for item in items[:MAX_ITEMS]:
                if isinstance(item, dict):
                    self._take_item(row, item)

    def _take_item(self, row: int, item: Document) -> None:
        place = len(self._items)
        self._items.append((row, *map(item.get, _ITEM_FIELDS.values())))
        own = (
            (place, name, value)
            for name, value in item.items()
            if name not in _ITEM_NAMES and value is not None and 0 < len(name) <= MAX_NAME
        )
        self._item_params.extend(islice(own, MAX_ITEM_PARAMS))

    def frame(self) -> pl.DataFrame:
        """All that has come: ``EVENT_SCHEMA``."""
        known = self._known()
        events = pl.DataFrame(known, {name: _SCALARS[name] for name in known}).with_columns(
            pl.lit(False if dtype == pl.Boolean else "", dtype).alias(name)
            for name, dtype in _SCALARS.items()
            if name not in known
        )
        if not self.with_params:
            return without_params(events)
        return with_lists(
            events,
            params=_entries(self._params, MAX_VALUE),
            user_properties=_entries(self._user_properties, MAX_USER_PROPERTY_VALUE),
            items=_item_entries(self._items, self._item_params),
        )

    def _known(self) -> dict[str, Sequence[object] | pl.Series]:
        sent = _columns(self._sent, _PARAMS)
        texts = {name: texts_of(sent[key]) for name, key in _TEXTS.items()}
        numbers = {name: amounts_of(sent[key]).fill_null(0) for name, key in _NUMBERS.items()}
        engagement_ms = numbers["engagement_ms"] // 1_000_000
        return {
            **_columns(self._places, _PLACE),
            **{name: texts_of(column) for name, column in _columns(self._clients, _CLIENT).items()},
            **texts,
            "event_name": self._names,
            "opens_session": texts["client_session_id"] != "",
            "engagement_ms": engagement_ms.clip(0, MAX_ENGAGEMENT_MS),
            "value_micros": numbers["value_micros"],
        }


def _columns(rows: Sequence[tuple[object, ...]], names: Iterable[str]) -> dict[str, Sequence[Any]]:
    """Rows as columns, of which there are some where there are no rows too."""
    return dict(zip(names, zip(*rows, strict=True) if rows else repeat(()), strict=False))


def _client(document: Document) -> tuple[object, ...]:
    """What a server says of its client, of whose device and place nobody else knows."""
    device, place = document.get("device"), document.get("user_location")
    language = screen_resolution = country = user_agent = ""
    if isinstance(place, dict):
        named = text_of(place.get("country_id")).upper()
        country = named if _COUNTRY.fullmatch(named) else ""
    if isinstance(device, dict):
        language = text_of(device.get("language")).lower()
        screen_resolution = text_of(device.get("screen_resolution"))
        user_agent = named_device_text(
            *(text_of(device.get(name)) for name in ("browser", "operating_system", "category"))
        )
    ids = document.get("client_id"), document.get("user_id")
    origin, consent = "sender" if country else "", consent_of_document(document)
    return (*ids, language, screen_resolution, country, origin, user_agent, consent)


def _entries(pairs: Sequence[tuple[int, str, object]], max_value: int) -> pl.DataFrame:
    """``entries`` (``PARAM``) of each ``row``, texts cut to so many characters."""
    sent = _columns(pairs, ("row", "key", "value"))
    known = {
        "key": pl.Series(sent["key"], dtype=pl.String),
        "text": json_of(sent["value"]).str.head(max_value),
        "micros": numbers_of(sent["value"]),
    }
    return _lists(sent["row"], pl.DataFrame(known))


def _item_entries(
    items: Sequence[tuple[object, ...]], params: Sequence[tuple[int, str, object]]
) -> pl.DataFrame:
    """``entries`` (``ITEM``) of each ``row``; an item that tells no quantity is one."""
    sent = _columns(items, ("row", *_ITEM_FIELDS))
    known = {name: texts_of(sent[name]) for name in ITEM_TEXTS}
    for name in ITEM_NUMBERS:
        micros = amounts_of(sent[name]).fill_null(0)
        known[name] = micros if name.endswith("_micros") else micros // 1_000_000
    untold = pl.Series([value is None for value in sent["quantity"]], dtype=pl.Boolean)
    known["quantity"] = known["quantity"].set(untold, 1)
    own = _columns(params, ("row", "key", "value"))
    named = {"key": pl.Series(own["key"], dtype=pl.String), "text": texts_of(own["value"])}
    held = item_params(pl.DataFrame({"row": pl.Series(own["row"], dtype=pl.UInt32), **named}))
    known["params"] = params_of_items(held, len(items))
    return _lists(sent["row"], pl.DataFrame(known, schema=ITEM.to_schema()))


def _lists(rows: Sequence[object], entries: pl.DataFrame) -> pl.DataFrame:
    owned = entries.select(pl.Series("row", rows, dtype=pl.UInt32), entries=pl.struct(pl.all()))
    return owned.group_by("row", maintain_order=True).agg("entries")
