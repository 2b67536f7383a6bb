"""Processing: requests to hits, step by step; what streaming and replay both do to every block."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import polars as pl

from tallymark.channels import with_channels
from tallymark.dead_letters import dead_letters
from tallymark.enrichment import with_bots, with_devices, with_sources
from tallymark.hits import request_id_of
from tallymark.protocols import decode
from tallymark.rules import Claimed, claimed, judged, rewritten, with_proved
from tallymark.rules.parameters import with_params_asked_for
from tallymark.rules.privacy import with_privacy

ENRICHMENTS: Final[tuple[Callable[[pl.DataFrame], pl.DataFrame], ...]] = (
    with_sources,
    with_channels,
    with_devices,
    with_bots,
)
"""What is found out about hits, in this order."""


@dataclass(frozen=True)
class Processed:
    """What requests come to.

    Attributes:
        hits: ``HIT_SCHEMA``, in the order of the requests.
        dead_letters: ``DEAD_LETTER_SCHEMA``; a request may have hits and dead letters, and a hit
            that counts a letter that says what of it does not.
        entered: The request id of each hit that the requests hold or rules create, rejected ones
            included, taken when they are decoded or created, so that what comes out can be held
            against it.
        rejected: The request id of each of them that became, or is part of, a dead letter.
    """

    hits: pl.DataFrame
    dead_letters: pl.DataFrame
    entered: pl.Series
    rejected: pl.Series


def process_requests(
    requests: pl.DataFrame,
    properties_of: Callable[[list[str]], pl.DataFrame],
    *,
    with_params: bool = True,
    claim: Callable[[pl.DataFrame, pl.DataFrame], Claimed] = claimed,
) -> Processed:
    """Decode requests, put the rules to the hits and find out about them.

    Args:
        requests: ``REQUEST_SCHEMA``, perhaps with other columns, which are not kept.
        properties_of: ``PROPERTY_SCHEMA`` of the measurement ids it is given, without those that
            nobody knows.
        with_params: Whether items, parameters and user properties are wanted; else they are
            empty, which is a good deal faster, but of hits whose rules ask for them.
        claim: Says which version of whose rules each hit is processed with; a replay may choose
            others than those in force.
    """
    decoded = decode(requests, with_params=with_params)
    measurement_ids = decoded.hits.get_column("measurement_id").unique().sort().to_list()
    properties = properties_of(measurement_ids)
    owned = with_proved(claim(decoded.hits, properties), requests, properties)
    hits = owned.hits if with_params else with_params_asked_for(owned.hits, requests)
    changed = rewritten(with_privacy(hits))
    ruled = judged(enrich(changed), properties)
    refused = pl.concat([owned.rejected, ruled.doubted])
    letters = [decoded.dead_letters, dead_letters(refused, requests, "rules")]
    return Processed(
        hits=ruled.hits,
        dead_letters=pl.concat(letters),
        entered=pl.concat(
            [
                _request_ids(decoded.hits),
                _request_ids(changed.filter("is_created")),
                decoded.rejected,
            ]
        ),
        rejected=pl.concat([decoded.rejected, owned.rejected.get_column("request_id")]),
    )


def _request_ids(hits: pl.DataFrame) -> pl.Series:
    return hits.select(request_id=request_id_of(pl.col("hit_id"))).to_series()


def enrich(hits: pl.DataFrame) -> pl.DataFrame:
    """Rewritten hits with all that ``ENRICHMENTS`` add."""
    for enrichment in ENRICHMENTS:
        hits = enrichment(hits)
    return hits
