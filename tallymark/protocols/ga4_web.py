"""GA4's web format, ``/g/collect``: an event in the query string, or one a line of the body."""

from typing import Final

import polars as pl

from tallymark.enrichment.client_hints import PARAMETERS as HINT_PARAMETERS
from tallymark.protocols import consent
from tallymark.protocols.events import DecodedEvents
from tallymark.protocols.ga4_params import TRANSPORT, with_params_of, without_params
from tallymark.protocols.known_keys import KnownKeys
from tallymark.protocols.numbers import engagement_ms_of, micros_of
from tallymark.protocols.payloads import client_or_visitor, payloads_of

MAX_AGE_MS: Final = 30 * 86_400_000
"""A hit that waited longer in a browser is as old as this."""
MAX_LINES: Final = 1_000
"""Events of one request; browsers send some twenty at most."""

REFUSED: Final = ("G100", "G110", "G1-0")
"""Consent (``gcs``) by which the storage of analytics is refused, whatever is said of ads."""

COLUMNS: Final = {
    "measurement_id": ("tid",),
    "client_id": ("cid",),
    "user_id": ("uid",),
    "event_name": ("en",),
    "client_session_id": ("sid",),
    "location": ("dl",),
    "title": ("dt",),
    "referrer": ("dr",),
    "ignores_referrer": ("ir",),
    "source": ("cs",),
    "medium": ("cm",),
    "campaign": ("cn",),
    "term": ("ck", "ct"),
    "content": ("cc",),
    "engagement": ("_et",),
    "first_visit": ("_fv",),
    "value": ("epn.value", "ep.value"),
    "currency": ("cu", "ep.currency"),
    "transaction_id": ("ep.transaction_id",),
    "language": ("ul",),
    "screen_resolution": ("sr",),
    **{name: (name,) for name in HINT_PARAMETERS},
    "age_ms": ("_ta",),
    **{name: (name,) for name in consent.PARAMETERS},
}
"""The parameters that become columns; of several for one column the first that was sent counts."""

_KEYS: Final = KnownKeys([key for keys in COLUMNS.values() for key in keys])
_KEYS_BESIDE_PARAMS: Final = KnownKeys(list(dict.fromkeys([*_KEYS.names, *TRANSPORT])))


def decode(requests: pl.DataFrame, with_params: bool) -> DecodedEvents:
    """The events of requests.

    Args:
        requests: ``REQUEST_SCHEMA`` and ``request_row``.
        with_params: Whether items, parameters and user properties are wanted; else they are empty.
    """
    keys = _KEYS_BESIDE_PARAMS if with_params else _KEYS
    payloads = payloads_of(requests, keys, others=with_params, most_lines=MAX_LINES)
    events = _with_meaning(payloads.columns(COLUMNS))
    if not with_params:
        return payloads.decoded(without_params(events))
    return payloads.decoded(with_params_of(events, payloads.pairs(without=TRANSPORT)))


def _with_meaning(events: pl.DataFrame) -> pl.DataFrame:
    """What the texts of numbers and marks mean."""
    age_ms = pl.col("age_ms").str.to_integer(strict=False).clip(0, MAX_AGE_MS)
    is_refused = pl.col("gcs").is_in(REFUSED)
    is_ignored = pl.col("ignores_referrer").is_in(["1", "true"])
    return consent.with_consent(events).with_columns(
        engagement_ms_of(events.get_column("engagement")).alias("engagement_ms"),
        micros_of(events.get_column("value")).fill_null(0).alias("value_micros"),
        client_id=client_or_visitor(is_refused=is_refused),
        user_id=pl.when(is_refused).then(pl.lit("")).otherwise("user_id"),
        sent_at=pl.col("received_at") - age_ms * 1_000,
        opens_session=pl.lit(value=True),
        is_first_visit=pl.col("first_visit").str.contains("^[1-9]"),
        client_hints=_client_hints(),
        # What a site says is no source of a visit names none, as after a payment elsewhere.
        referrer=pl.when(is_ignored).then(pl.lit("")).otherwise("referrer"),
    )


def _client_hints() -> pl.Expr:
    """Those that the tag sends; else what the browser says in headers."""
    is_sent = pl.any_horizontal([pl.col(name) != "" for name in HINT_PARAMETERS])
    sent = pl.concat_str(*HINT_PARAMETERS, separator="|")
    return pl.when(is_sent).then(sent).otherwise("client_hints")
