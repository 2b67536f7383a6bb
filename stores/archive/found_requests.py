"""Found requests: one recorded request, looked for in the raw archive by the time in its id."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from stores.archive.port import Objects
from stores.archive.raw_hours import RAW_SCHEMA, RawHour
from tallymark.slots import HOUR_US

LOOKED_HOURS: Final = 72
"""A request that its client named may have been received so many hours after the time it told."""
AHEAD_HOURS: Final = 1
"""And so many before: a client's clock may be ahead."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What came of looking for a request.

    Attributes:
        requests: ``RAW_SCHEMA``: the request, the copy received first in front; none if it was
            not found.
        first_hour: UTC µs of the first received hour that was looked through, if need be.
        end_hour: UTC µs of the end of the last; they follow from the id and the time alone.
    """

    requests: pl.DataFrame
    first_hour: int
    end_hour: int


def find_request(objects: Objects, request_id: str, named_at: int, now_us: int) -> Search:
    """Look for a request in the received hours around the time in its id.

    Args:
        objects: The archive.
        request_id: 32 hex digits.
        named_at: UTC µs in the id: of the receipt, or as a client or a balancer told it.
        now_us: UTC µs; later hours hold nothing yet.

    Raises:
        ArchiveDamageError: when a file is missing or cannot be read.
    """
    named_hour = named_at // HOUR_US * HOUR_US
    first = max(0, named_hour - AHEAD_HOURS * HOUR_US)
    end = min(named_hour + LOOKED_HOURS * HOUR_US, now_us // HOUR_US * HOUR_US) + HOUR_US
    found = RAW_SCHEMA.to_frame()
    for hour_us in range(first, end, HOUR_US):
        found = RawHour(objects, hour_us).holding(request_id, with_others=hour_us == named_hour)
        if found.height:
            break
    return Search(requests=found, first_hour=first, end_hour=max(first, end))


def archived_through(objects: Objects, end_us: int) -> int:
    """UTC µs through which some collector is archived, by the last two received hours before
    ``end_us``; 0 where they hold nothing.
    """
    newest = [
        file.manifest.blocks.get_column("frontier").max()
        for hour_us in range(max(0, end_us - 2 * HOUR_US), end_us, HOUR_US)
        for file in RawHour(objects, hour_us).files
    ]
    return max((frontier for frontier in newest if isinstance(frontier, int)), default=0)
