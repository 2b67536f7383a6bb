"""Secrets that the collector did not know: held against the keys of the property that is named."""

import polars as pl

from tallymark.dead_letters import REJECTION_SCHEMA
from tallymark.hits import request_id_of
from tallymark.rules.claims import Claimed
from tallymark.secret_verdicts import HASHED


def with_proved(owned: Claimed, requests: pl.DataFrame, properties: pl.DataFrame) -> Claimed:
    """``owned`` without the hits of Measurement Protocol requests whose secret is not that of a
    key of their data stream which was in force when they were received; the order is kept.

    Args:
        owned: Hits and whose they are.
        requests: ``REQUEST_SCHEMA``; where the hits come from.
        properties: ``PROPERTY_SCHEMA``.
    """
    verdict = pl.col("secret_verdict")
    is_asked = (pl.col("path") == "/mp/collect") & verdict.str.starts_with(HASHED)
    asked = requests.filter(is_asked).select(
        "request_id", "received_at", hash=verdict.str.strip_prefix(HASHED)
    )
    if asked.is_empty():
        return owned
    request_id = request_id_of(pl.col("hit_id"))
    sent = (
        owned.hits.select("measurement_id", request_id=request_id)
        .unique()
        .join(asked, on="request_id")
    )
    expires_at = pl.col("expires_at")
    proved = sent.join(_keys(properties), on=["measurement_id", "hash"]).filter(
        expires_at.is_null() | (pl.col("received_at") < expires_at)
    )
    refused = sent.join(proved, on="request_id", how="anti").get_column("request_id")
    is_refused = request_id.is_in(refused.implode())
    rejected = owned.hits.filter(is_refused).select(
        request_id=request_id,
        reason=pl.lit("invalid_secret"),
        detail=pl.lit("expected the property's api_secret, got another"),
    )
    return Claimed(
        hits=owned.hits.filter(~is_refused),
        rejected=pl.concat([owned.rejected, rejected.cast(REJECTION_SCHEMA)]),
    )


def _keys(properties: pl.DataFrame) -> pl.DataFrame:
    """``measurement_id``, ``hash``, ``expires_at``."""
    streams = properties.unique("measurement_id", keep="last")
    keys = streams.select("measurement_id", "api_secrets").explode("api_secrets")
    return keys.drop_nulls("api_secrets").unnest("api_secrets")
