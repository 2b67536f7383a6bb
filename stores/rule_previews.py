"""Previews of draft rules over recorded history, sampled by client where the history is large."""

import zlib
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from stores.archive.port import Objects
from stores.archive.raw_hours import RAW_SCHEMA, RawHour
from tallymark.distinct import mapped
from tallymark.previews import preview
from tallymark.properties import Property
from tallymark.replays import Span, hour_text
from tallymark.requests import REQUEST_SCHEMA, requests_naming
from tallymark.rule_documents import Rules

MOST_READ: Final = 2_000_000
"""Recorded requests of all properties that one preview reads at most."""
MOST_PREVIEWED: Final = 100_000
"""Requests of the property that one preview processes at most; of more, those of some clients."""
_SHARES: Final = 1_000
_CLIENT: Final = r"(?:^|&)cid=([^&]*)"
_CLIENT_IN_JSON: Final = r'"client_id"\s*:\s*"([^"]*)"'


class TooLargeError(Exception):
    """A range that holds more than a preview reads; says what to do instead."""


@dataclass(frozen=True)
class RulePreviews:
    """Previews over one archive.

    Args:
        objects: The archive.
        most_read: See ``MOST_READ``.
        most_previewed: See ``MOST_PREVIEWED``.
    """

    objects: Objects
    most_read: int = MOST_READ
    most_previewed: int = MOST_PREVIEWED

    def preview(self, owner: Property, draft: Rules, hours: Span) -> dict[str, Any]:
        """What the reports of a property would have shown under a draft, as a JSON document.

        Args:
            owner: The property.
            draft: In place of all its versions.
            hours: Received hours.

        Raises:
            TooLargeError: when the hours hold more than is read.
            ArchiveDamageError: when a file is missing or cannot be read.
        """
        every = [RawHour(self.objects, hour_us) for hour_us in hours]
        held = sum(hour.requests for hour in every)
        if held > self.most_read:
            raise TooLargeError(
                f"{hour_text(hours.start_us)} to {hour_text(hours.end_us)} hold {held:,} requests, "
                f"of all properties, {self.most_read:,} can be read for a preview: choose fewer "
                "hours, or replay the property alone (tallymark replay --property)"
            )
        found, share = self._requests(every, owner)
        seen = preview(found.select(list(REQUEST_SCHEMA)), owner, draft)
        return {
            "from": hour_text(hours.start_us),
            "to": hour_text(hours.end_us),
            "requests_read": held,
            "sampled": share < _SHARES,
            "share_of_clients": share / _SHARES,
            **seen.document(),
        }

    def _requests(self, hours: list[RawHour], owner: Property) -> tuple[pl.DataFrame, int]:
        """Requests that may be the property's, and of how many in a thousand clients.

        Whenever they are more than are previewed, half of the clients are left out.
        """
        kept, share = RAW_SCHEMA.to_frame(), _SHARES
        for hour in hours:
            for part in hour.slices():
                named = requests_naming(hour.read(part).requests, owner.measurement_ids)
                kept = pl.concat([kept, _of_share(named, share)])
                while kept.height > self.most_previewed:
                    share //= 2
                    kept = _of_share(kept, share)
        return kept.unique("request_id", keep="first", maintain_order=True), share


def _of_share(requests: pl.DataFrame, share: int) -> pl.DataFrame:
    """The requests of ``share`` in a thousand clients, the same ones for every smaller share."""
    if share >= _SHARES:
        return requests
    client = pl.coalesce(
        pl.col("query").str.extract(_CLIENT),
        pl.col("body").str.extract(_CLIENT),
        pl.col("body").str.extract(_CLIENT_IN_JSON),
        "visitor_hash",
    )
    places = mapped(requests.select(client).to_series(), _places)
    return requests.filter(places < share)


def _places(clients: pl.Series) -> pl.Series:
    """0 to 999, alike for one client wherever it is asked."""
    return pl.Series([zlib.crc32(text.encode()) % _SHARES for text in clients], dtype=pl.Int64)
