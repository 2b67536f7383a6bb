"""Spans of hours as people read them."""

from collections.abc import Iterable

from tallymark.lineages import Span
from tallymark.pointer_map import FOR_EVER, SINCE_EVER
from tallymark.replays import hour_text


def span_text(span: Span) -> str:
    """``2026-01-31T08..2026-01-31T16``, UTC; an end that is open is left out."""
    return "..".join(_edge_text(edge) for edge in span)


def spans_text(spans: Iterable[Span]) -> str:
    """All of them."""
    return ", ".join(map(span_text, spans))


def _edge_text(edge_us: int) -> str:
    return "" if edge_us in (SINCE_EVER, FOR_EVER) else hour_text(edge_us).removesuffix("Z")
