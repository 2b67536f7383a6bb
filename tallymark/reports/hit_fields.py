"""Fields of single hits, for reports of sequences: what a hit says of itself, as text.

They are the dimensions of the GA4 Data API whose value each hit has, and its parameters.
"""

from collections.abc import Collection
from typing import Final

import polars as pl

from tallymark.dimensions import DIMENSIONS
from tallymark.hit_keys import HIT_KEYS

PARAMETER: Final = "param:"
"""In front of the name of an event's parameter."""
_OWN: Final = (
    "eventName", "hostName", "pagePath", "unifiedPagePathScreen", "pageTitle", "pageReferrer",
    "pagePathPlusQueryString", "fullPageUrl", "country", "countryId", "languageCode",
    "screenResolution", "transactionId", "source", "medium", "sourceMedium", "campaignName",
    "defaultChannelGroup", "deviceCategory", "browser", "operatingSystem",
)  # fmt: skip
_OF_DEVICE: Final = ("device_category", "browser", "operating_system")
"""Reports take these from the session's first hit; every hit has them too."""

HIT_FIELDS: Final = {name: DIMENSIONS[name] for name in _OWN}


def columns_of(names: Collection[str]) -> list[str]:
    """The columns of hits (``HIT_SCHEMA``) that fields need."""
    found = [_column(key) for name in names if name in HIT_FIELDS for key in HIT_FIELDS[name].keys]
    found += ["params"] if any(name.startswith(PARAMETER) for name in names) else []
    return list(dict.fromkeys(found))


def with_fields(hits: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
    """``hits`` with a column (String) for each field, under the field's name.

    A parameter that was not sent is "", as one that was sent empty.
    """
    keys = {
        key: _column(key) for name in names if name in HIT_FIELDS for key in HIT_FIELDS[name].keys
    }
    named = hits.select(pl.col(column).alias(key) for key, column in keys.items())
    values = named.select(
        HIT_FIELDS[name].value().alias(name) for name in names if name in HIT_FIELDS
    )
    sent = [_parameter(name) for name in names if name.startswith(PARAMETER)]
    return hits.hstack(values).with_columns(sent)


def local_date(time_zone: str) -> pl.Expr:
    """The day of a hit in a time zone, as ``YYYYMMDD``."""
    return local_time(time_zone).dt.strftime("%Y%m%d")


def local_time(time_zone: str) -> pl.Expr:
    """When a hit happened, in a time zone."""
    moment = pl.from_epoch("event_at", time_unit="us").dt.replace_time_zone("UTC")
    return moment.dt.convert_time_zone(time_zone)


def _column(key: str) -> str:
    return key if key in _OF_DEVICE else HIT_KEYS[key].column


def _parameter(name: str) -> pl.Expr:
    key = name.removeprefix(PARAMETER)
    entry = pl.element().struct
    found = pl.col("params").list.eval(entry.field("text").filter(entry.field("key") == key))
    return found.list.first().fill_null("").alias(name)
