"""Records: the script of what was meant and the log of what was sent, as JSON lines.

They are made to be counted by programs that know nothing of Tallymark: see the fields below.
"""

from typing import Any

from cli.simulator.visits import KEY_EVENTS, Hit, Visit


def script_row(visit: Visit, first_number: int) -> dict[str, Any]:
    """One visit as it is meant.

    ``requests`` are numbered as in the log. ``source``, ``medium`` and ``campaign`` are what the
    visit itself names; a direct visit of a client who came before may be attributed to what had
    brought that client. ``back_ms`` is how long before the start of the play the visit began,
    0 if it is played as it happens.
    """
    client = visit.client
    return {
        "visit": visit.number,
        "measurement_id": visit.site.measurement_id,
        "client_id": client.client_id,
        "session_number": visit.session_number,
        "source": visit.origin.source,
        "medium": visit.origin.medium,
        "campaign": visit.origin.campaign,
        "device_category": client.device.category,
        "browser": client.device.browser,
        "operating_system": client.device.operating_system,
        "screen_resolution": client.screen,
        "language": client.language,
        "country": client.country,
        "currency": visit.site.currency,
        "back_ms": visit.back_ms,
        "hits": [_hit_row(visit, hit, first_number) for hit in visit.hits],
    }


def _hit_row(visit: Visit, hit: Hit, first_number: int) -> dict[str, Any]:
    return {
        "request": first_number + hit.request,
        "event_name": hit.event_name,
        "protocol": hit.protocol,
        "host": visit.site.host if hit.path else "",
        "path": hit.path,
        "engagement_ms": hit.engagement_ms,
        "first_visit": hit.first_visit,
        "names_session": hit.names_session,
        "key_event": hit.event_name in KEY_EVENTS,
        "value": hit.value_cents / 100,
        "transaction_id": hit.transaction_id,
        "items": [
            {"item_id": article.item_id, "quantity": count, "price": article.price_cents / 100}
            for article, count in hit.articles
        ],
    }


def log_row(
    request: int,
    attempt: int,
    *,
    sent_at: int,
    offset_seconds: float,
    outcome: str,
    status: int,
) -> dict[str, Any]:
    """One sending of one request.

    ``outcome`` is ``accepted`` (2xx), ``refused`` (any other status), ``unsent`` (no connection)
    or ``unknown``: the connection broke before an answer came, so the request may or may not have
    been counted. ``status`` is 0 where no answer came, ``sent_at`` is UTC µs.
    """
    return {
        "request": request,
        "attempt": attempt,
        "sent_at": sent_at,
        "offset_seconds": round(offset_seconds, 6),
        "outcome": outcome,
        "status": status,
    }
