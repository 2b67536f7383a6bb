"""Hit passports: what was received, how it was understood, whether it counts, and in which cells.

The functions that stream and replay use say all of it; nothing here decides anything anew.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfoNotFoundError

import polars as pl

from tallymark.dead_letters import REASONS, REJECTION_SCHEMA, dead_letters
from tallymark.enrichment.bots import BOT
from tallymark.hits import empty_hits
from tallymark.lineages import kind_of
from tallymark.processing import process_requests
from tallymark.requests import REQUEST_SCHEMA
from tallymark.rules import OTHER_HOST, RULED

EXCLUSIONS: Final = {
    BOT: "its user agent is that of a crawler",
    OTHER_HOST: "its page is on a host that its property does not allow",
    "consent_denied": "its visitor denied consent to analytics, which its property excludes",
    "do_not_track": "its browser sends Do Not Track, which its property excludes",
    "global_privacy_control": "its browser sends Global Privacy Control, which its property "
    "excludes",
    "too_old": "it was received more than 72 hours after it happened",
}
"""Why a filter tags a hit; what is tagged is kept and not counted."""
ENRICHED: Final = (
    "source", "medium", "campaign", "term", "content", "click_id", "channel",
    "device_category", "browser", "operating_system", "country",
)  # fmt: skip
"""Columns of a hit that processing finds out or may find out, where the client does not say."""
REPEATS: Final = ("repeats_sale", "repeats_key_event")
"""What may be told of hits that count: without a value, or as no key event."""
_VERDICT: Final = ("hit_id", "received_at", "event_at", "excluded_by", "client_hash")
_NOT_OF_DATA: Final = (MemoryError, OSError, ImportError, ZoneInfoNotFoundError)


@dataclass(frozen=True, kw_only=True)
class Understood:
    """What a request comes to now.

    Attributes:
        hits: ``HIT_SCHEMA``.
        letters: ``DEAD_LETTER_SCHEMA``.
    """

    hits: pl.DataFrame
    letters: pl.DataFrame


def understood(
    request: pl.DataFrame, properties_of: Callable[[list[str]], pl.DataFrame]
) -> Understood:
    """Process one request by the installed code and the rules in force when it was received.

    Args:
        request: ``REQUEST_SCHEMA``, one row; of more, one that fails makes all of them fail.
        properties_of: ``PROPERTY_SCHEMA`` of the measurement ids it is given.
    """
    try:
        processed = process_requests(request, properties_of)
    except _NOT_OF_DATA:
        raise
    except (
        Exception,
        pl.exceptions.PanicException,
    ) as error:  # what is wrong with it is the answer
        rejected = request.select(
            "request_id", reason=pl.lit("failed"), detail=pl.lit(repr(error)[:500])
        ).cast(REJECTION_SCHEMA)
        return Understood(hits=empty_hits(), letters=dead_letters(rejected, request, "process"))
    return Understood(hits=processed.hits, letters=processed.dead_letters)


def counting(hits: pl.DataFrame) -> pl.DataFrame:
    """Those hits that no filter tagged."""
    return hits.filter(pl.col("excluded_by") == "")


def with_lateness(hits: pl.DataFrame, late_us: int) -> pl.DataFrame:
    """``hits`` with ``is_late`` added: whether live lineages leave them to a replay.

    Args:
        hits: ``HIT_SCHEMA``.
        late_us: D.
    """
    return hits.with_columns(is_late=pl.col("received_at") - pl.col("event_at") > late_us)


def request_document(request: pl.DataFrame) -> dict[str, Any]:
    """A recorded request as it is told."""
    return request.select(list(REQUEST_SCHEMA)).row(0, named=True)


def letter_documents(letters: pl.DataFrame) -> list[dict[str, Any]]:
    """Dead letters as they are told: the request is told by itself."""
    return [
        {
            "step": letter["step"],
            "reason": letter["reason"],
            "meaning": REASONS.get(letter["reason"], "a reason of other code"),
            "detail": letter["detail"],
        }
        for letter in letters.iter_rows(named=True)
    ]


def hit_document(hit: dict[str, Any], *, lineage: str | None) -> dict[str, Any]:
    """A hit as it is told, but for its session and cells.

    Args:
        hit: A row of ``with_lateness``.
        lineage: What serves the hour of the event, if anything does.
    """
    apart = {*ENRICHED, *RULED, *_VERDICT, "is_late", "has_balancer_id"}
    counts, why = verdict(hit, lineage)
    return {
        "hit_id": hit["hit_id"],
        "received_at": hit["received_at"],
        "event_at": hit["event_at"],
        "decoded": {name: value for name, value in hit.items() if name not in apart},
        "enriched": {name: hit[name] for name in ENRICHED},
        "rules": {name: hit[name] for name in RULED if name != "settings_from"},
        "client_hash": f"{hit['client_hash']:016x}",
        "excluded_by": hit["excluded_by"],
        "is_late": hit["is_late"],
        "counts": counts,
        "why": why,
        "lineage": lineage,
    }


def verdict(hit: dict[str, Any], lineage: str | None) -> tuple[bool, str]:
    """Whether a hit counts where its hour is served from, and why, as a sentence.

    Args:
        hit: A row of ``with_lateness``.
        lineage: What serves the hour of the event, if anything does.
    """
    excluded_by = hit["excluded_by"]
    if excluded_by:
        because = EXCLUSIONS.get(excluded_by, "a filter of its property applies to it")
        return False, f"it does not count, as {because} ({excluded_by})"
    if lineage is None:
        return False, "it would count, but nothing serves the hour of its event yet"
    version = f"by version {hit['rules_version']} of its property's rules"
    if not hit["is_late"]:
        return True, f"it counts, {version}"
    delay_s = (hit["received_at"] - hit["event_at"]) // 1_000_000
    late = f"received {delay_s // 3600} h {delay_s // 60 % 60} min after it happened"
    if kind_of(lineage) == "live":
        return False, (
            f"it does not count in {lineage}, as it is late ({late}); once the hour of its event "
            "is sealed, a replay counts it"
        )
    return True, f"it counts, {version}: it was late ({late}), and {lineage} is a replay"


def session_documents(sessions: pl.DataFrame | None) -> dict[str, dict[str, Any]]:
    """The session of each hit as it is told, by hit id; hits that belong to none are left out.

    Args:
        sessions: What ``hit_cells.sessions_of`` gives; ``None`` where it is not known.
    """
    if sessions is None:
        return {}
    in_one = sessions.filter(pl.col("session_start").is_not_null()).drop("begins_session", *REPEATS)
    return {session.pop("hit_id"): session for session in in_one.iter_rows(named=True)}


def repeated(sessions: pl.DataFrame | None) -> dict[str, frozenset[str]]:
    """The ids of hits that repeat something (``REPEATS``), as far as that is known.

    Args:
        sessions: As of ``session_documents``.
    """
    if sessions is None:
        return dict.fromkeys(REPEATS, frozenset())
    return {name: frozenset(sessions.filter(name).get_column("hit_id")) for name in REPEATS}
