"""Dead letters: requests that could not be counted, each with the step and the reason."""

from collections.abc import Iterable
from typing import Final

import polars as pl

from tallymark.hits import DEAD_LETTER_SCHEMA
from tallymark.requests import REQUEST_SCHEMA

REASONS: Final = {
    "unknown_path": "no protocol listens at the request's path",
    "not_utf8": "the body's bytes are no UTF-8",
    "too_many_lines": "a batch has more lines than a request may",
    "too_many_events": "a Measurement Protocol request has more events than it may",
    "no_json": "the body should be JSON and is not",
    "wrong_shape": "the JSON is not an object with a list of events, each an object",
    "invalid_secret": "a Measurement Protocol request has no secret, or not its property's",
    "missing_measurement_id": "neither the query nor the line says whose hit it is",
    "missing_client_id": "nothing tells one client from another",
    "missing_event_name": "an event has no name",
    "unknown_measurement_id": "no property has the measurement id",
    "rules_unavailable": "nobody could be asked whose it is: sealing, or a replay, counts it in",
    "missing_rate": "a sale counts without its value: no rate of its currency for its day",
    "unreadable_block": "the requests of a block cannot be read, or are of other columns",
    "failed": "processing raised an error because of the request: a fault of the code",
}
"""Why requests become dead letters in processing, and what each reason means."""

SUMMARY_SCHEMA: Final = pl.Schema(
    {
        "reason": pl.String,
        "step": pl.String,
        "letters": pl.Int64,
        "first_received_at": pl.Int64,  # UTC µs
        "last_received_at": pl.Int64,
        "detail": pl.String,  # of the newest
    }
)
"""Letters of the same reason and step, together."""
REJECTION_SCHEMA: Final = pl.Schema(
    {"request_id": pl.String, "reason": pl.String, "detail": pl.String}
)
"""Why something of a request cannot be counted; several rows of one request may say the same."""


def dead_letters(rejected: pl.DataFrame, requests: pl.DataFrame, step: str) -> pl.DataFrame:
    """Dead letters (``DEAD_LETTER_SCHEMA``), one for each request and reason.

    A batch of a thousand bad lines is one letter, whose detail is that of the first line and the
    number of the others.

    Args:
        rejected: ``REJECTION_SCHEMA``.
        requests: ``REQUEST_SCHEMA``; has every request that is rejected.
        step: Where it happened.
    """
    if rejected.is_empty():
        return pl.DataFrame(schema=DEAD_LETTER_SCHEMA)
    others = pl.len() - 1
    reasons = rejected.group_by("request_id", "reason", maintain_order=True).agg(
        detail=pl.when(others > 0)
        .then(pl.format("{} (and {} more like it)", pl.col("detail").first(), others))
        .otherwise(pl.col("detail").first())
    )
    originals = (
        requests.select(list(REQUEST_SCHEMA))
        .join(reasons, on="request_id", how="semi")
        .unique("request_id", keep="first")
    )
    texts = originals.select(
        "request_id", "received_at", request=pl.struct(list(REQUEST_SCHEMA)).struct.json_encode()
    )
    letters = reasons.join(texts, on="request_id", how="inner", maintain_order="left")
    return letters.with_columns(step=pl.lit(step)).select(list(DEAD_LETTER_SCHEMA))


def summary(letters: pl.DataFrame) -> pl.DataFrame:
    """How many letters (``DEAD_LETTER_SCHEMA``) there are of what (``SUMMARY_SCHEMA``)."""
    newest = pl.col("received_at").arg_max()
    return letters.group_by("reason", "step").agg(
        pl.len().cast(pl.Int64).alias("letters"),
        pl.col("received_at").min().alias("first_received_at"),
        pl.col("received_at").max().alias("last_received_at"),
        pl.col("detail").get(newest).alias("detail"),
    ).select(list(SUMMARY_SCHEMA))  # fmt: skip


def summed(summaries: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Summaries of disjoint letters as one, most letters first."""
    newest = pl.col("last_received_at").arg_max()
    return (
        pl.concat([SUMMARY_SCHEMA.to_frame(), *summaries])
        .group_by("reason", "step")
        .agg(
            pl.col("letters").sum(),
            pl.col("first_received_at").min(),
            pl.col("last_received_at").max(),
            pl.col("detail").get(newest),
        )
        .select(list(SUMMARY_SCHEMA))
        .sort("letters", "reason", "step", descending=[True, False, False])
    )
