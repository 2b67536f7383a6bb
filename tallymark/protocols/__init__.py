"""Protocols: requests to hits. A protocol is one module and one row of ``DECODERS``."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from tallymark.dead_letters import REJECTION_SCHEMA, dead_letters
from tallymark.protocols import (
    ga4_web,
    measurement_protocol,
    pixel,
    universal_analytics,
)
from tallymark.protocols.events import DECODED_SCHEMA, Decoder, hits_of, rejections
from tallymark.requests import REQUEST_SCHEMA

DECODERS: Final[dict[str, Decoder]] = {
    "/g/collect": ga4_web.decode,
    "/mp/collect": measurement_protocol.decode,
    "/p.gif": pixel.decode,
    "/collect": universal_analytics.decode,
    "/r/collect": universal_analytics.decode,
    "/j/collect": universal_analytics.decode,
    "/batch": universal_analytics.decode,
}
"""The protocol that listens at each path."""


@dataclass(frozen=True)
class Decoded:
    """What requests say.

    Attributes:
        hits: ``DECODED_SCHEMA``, in the order of the requests.
        dead_letters: ``DEAD_LETTER_SCHEMA``; a request may have hits and dead letters.
        rejected: The request id of each request, line or event that became a dead letter, which
            there is but one of for a request and reason.
    """

    hits: pl.DataFrame
    dead_letters: pl.DataFrame
    rejected: pl.Series


def decode(requests: pl.DataFrame, *, with_params: bool = True) -> Decoded:
    """The hits in requests; no request, whatever it holds, raises an error.

    Args:
        requests: ``REQUEST_SCHEMA``, perhaps with other columns, which are not kept.
        with_params: Whether items, parameters and user properties are wanted; else they are
            empty, which is a good deal faster.
    """
    rows = requests.select(list(REQUEST_SCHEMA)).with_row_index("request_row")
    events, rejected = [], [REJECTION_SCHEMA.to_frame()]
    for path, decoder in DECODERS.items():
        own = rows.filter(pl.col("path") == path)
        if own.height:
            decoded = decoder(own, with_params)
            events.append(decoded.events)
            rejected.append(decoded.rejected)
    strangers = rows.filter(~pl.col("path").is_in(list(DECODERS)))
    detail = pl.format("expected one of {}, got {}", pl.lit(", ".join(DECODERS)), "path")
    rejected.append(rejections(strangers, "unknown_path", detail))
    refused = pl.concat(rejected)
    return Decoded(
        hits=_hits(events, rows),
        dead_letters=dead_letters(refused, requests, "decode"),
        rejected=refused.get_column("request_id"),
    )


def _hits(events: list[pl.DataFrame], requests: pl.DataFrame) -> pl.DataFrame:
    if not events:
        return DECODED_SCHEMA.to_frame()
    together = events[0] if len(events) == 1 else pl.concat(events).sort("request_row", "hit_index")
    return hits_of(together, requests)
