"""Consent: what a visitor has agreed to, or objects to, as protocols and browsers say it.

It is kept as a text of marks, in this order and with a space between them:
``analytics_storage=…``, ``ad_storage=…``, ``ad_user_data=…``, ``ad_personalization=…`` (each
``granted`` or ``denied``, under the names of Google's consent mode), ``do_not_track``,
``global_privacy_control``. What nobody said is not there.
"""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from tallymark.distinct import mapped
from tallymark.hits import DO_NOT_TRACK, GLOBAL_PRIVACY_CONTROL

TYPES: Final = ("analytics_storage", "ad_storage", "ad_user_data", "ad_personalization")
"""Of consent, as Google's consent mode names them."""
PARAMETERS: Final = ("gcs", "gcd", "npa")
"""Of Google's formats for browsers that say something of it."""
_STATES: Final = ("granted", "denied")
_LETTERS: Final = {**dict.fromkeys("nrtv", "granted"), **dict.fromkeys("mpqu", "denied")}
"""Of ``gcd``: what was said by default, and what since; ``l`` is nothing."""
_GCD_PLACES: Final = {
    "ad_storage": 0, "analytics_storage": 1, "ad_user_data": 2, "ad_personalization": 3,
}  # fmt: skip
_GCS: Final = {"ad_storage": "^G1([01])", "analytics_storage": "^G1[01-]([01])"}
_BETWEEN: Final = "\n"


def with_consent(events: pl.DataFrame) -> pl.DataFrame:
    """Events of Google's formats for browsers with ``consent`` added.

    Args:
        events: Have the texts of ``PARAMETERS``, "" where they were not sent.
    """
    sent = events.select(pl.concat_str(PARAMETERS, separator=_BETWEEN)).to_series()
    return events.with_columns(mapped(sent, _said).alias("consent"))


def _said(sent: pl.Series) -> pl.Series:
    parts = pl.col("sent").str.splitn(_BETWEEN, len(PARAMETERS)).struct
    named = sent.to_frame("sent").select(
        parts.field(f"field_{place}").fill_null("").alias(name)
        for place, name in enumerate(PARAMETERS)
    )
    marks = [
        pl.when(_state(name).is_not_null()).then(pl.concat_str(pl.lit(f"{name}="), _state(name)))
        for name in TYPES
    ]
    return named.select(pl.concat_str(marks, separator=" ", ignore_nulls=True)).to_series()


def _state(name: str) -> pl.Expr:
    """As it stands (``gcs``), else as it came about (``gcd``); ``npa`` refuses one type alone."""
    letter = pl.col("gcd").str.extract("^[0-9]+" + "[a-z][0-9]+" * _GCD_PLACES[name] + "([a-z])")
    states = [letter.replace_strict(_LETTERS, default=None, return_dtype=pl.String)]
    if name in _GCS:
        digit = pl.col("gcs").str.extract(_GCS[name])
        states.insert(0, pl.when(digit == "1").then(pl.lit("granted")).when(digit == "0")
                      .then(pl.lit("denied")))  # fmt: skip
    if name == "ad_personalization":
        states.append(pl.when(pl.col("npa") == "1").then(pl.lit("denied")))
    return pl.coalesce(states)


def consent_of_document(document: Mapping[str, Any]) -> str:
    """What a Measurement Protocol document says: ``consent`` and ``non_personalized_ads``.

    Google's has ``ad_user_data`` and ``ad_personalization``; the two types of storage are taken
    too, so that a server can say what its visitor's browser would have.
    """
    said = document.get("consent")
    states = {name: said.get(name) for name in TYPES} if isinstance(said, dict) else {}
    if document.get("non_personalized_ads") is True:
        states["ad_personalization"] = states.get("ad_personalization") or "denied"
    found = {
        name: state.lower()
        for name in TYPES
        if isinstance(state := states.get(name), str) and state.lower() in _STATES
    }
    return " ".join(f"{name}={state}" for name, state in found.items())


def with_signals(said: pl.Expr, *, objects: pl.Expr, opts_out: pl.Expr) -> pl.Expr:
    """What was said, and the signals that the browser sends with every request.

    Args:
        said: ``consent`` of an event.
        objects: Whether it sends Do Not Track.
        opts_out: Whether it sends Global Privacy Control.
    """
    marks = [
        pl.when(said != "").then(said),
        pl.when(objects).then(pl.lit(DO_NOT_TRACK)),
        pl.when(opts_out).then(pl.lit(GLOBAL_PRIVACY_CONTROL)),
    ]
    return pl.concat_str(marks, separator=" ", ignore_nulls=True)
