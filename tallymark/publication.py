"""Publication: from a pointer document to the next one, each with who changed it, when and why.

The functions here decide what may be; ``stores.publication`` makes it a conditional write. Every
document that was replaced is kept, so that any of them can be served again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

from tallymark import pointer_map
from tallymark.lineages import STANDING, Lineage, Span, kind_of, merged_spans, outside
from tallymark.pointer_map import FOR_EVER, SINCE_EVER, PointerMap
from tallymark.row_keys import POINTER_HISTORY_PREFIX, SEPARATOR

Action = Literal["serve", "publish", "seal", "rollback"]
_MAY_BE_PUBLISHED: Final = ("candidate", "published", "withdrawn")


class RefusedError(Exception):
    """A publication or rollback that cannot be; what is served stays as it was."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Who changes a document, when (UTC µs) and why."""

    who: str
    at_us: int
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Change:
    """How a document came about.

    Attributes:
        action: What was done.
        signature: By whom, when and why.
        lineage: Who serves hours by it; "" for a rollback.
        spans: The hours.
        restored: Of a rollback: the version whose intervals are served again.
    """

    action: Action
    signature: Signature
    lineage: str = ""
    spans: tuple[Span, ...] = ()
    restored: int = 0


@dataclass(frozen=True, kw_only=True)
class PointerDocument:
    """The pointer map, or a property's overrides, with the change that made it.

    Attributes:
        pointers: Who serves which hours.
        sealed: Of the map: hours of the standing lineage that go to no live lineage any more,
            whatever is rolled back.
        change: How it came about.
    """

    pointers: PointerMap = field(default_factory=PointerMap)
    sealed: tuple[Span, ...] = ()
    change: Change | None = None

    @property
    def version(self) -> int:
        """Grows by one a change."""
        return self.pointers.version

    @property
    def lineages(self) -> set[str]:
        """Those that serve hours by it."""
        return {interval.lineage for interval in self.pointers.intervals}

    def encode(self) -> bytes:
        """As stored: JSON, which ``pointer_map.decode`` reads too."""
        change = asdict(self.change) if self.change else None
        return orjson.dumps({**self.pointers.to_json(), "sealed": self.sealed, "change": change})


def decode(document: bytes | None) -> PointerDocument:
    """The document in stored bytes; an empty one where nothing is stored.

    Raises:
        ValueError: when the bytes are no pointer map.
    """
    pointers = pointer_map.decode(document)
    content = orjson.loads(document) if document else {}
    change = content.get("change")
    return PointerDocument(
        pointers=pointers,
        sealed=_spans(content.get("sealed", ())),
        change=_change(change) if change else None,
    )


def history_key(property_id: int | None, version: int) -> bytes:
    """Row of a document that was replaced: of the map, or of a property's overrides."""
    scope = "all" if property_id is None else str(property_id)
    return f"{POINTER_HISTORY_PREFIX}{scope}{SEPARATOR}{version:010d}".encode()


def serving_everywhere(lineage: str, signature: Signature) -> PointerDocument:
    """The first document: one lineage serves all hours."""
    change = Change(
        action="serve", signature=signature, lineage=lineage, spans=((SINCE_EVER, FOR_EVER),)
    )
    return PointerDocument(pointers=PointerMap.serving(lineage), change=change)


def published(
    held: PointerDocument,
    lineage: Lineage,
    signature: Signature,
    *,
    spans: Sequence[Span] = (),
    property_id: int | None = None,
    over: int = 0,
) -> PointerDocument:
    """The next document, in which a candidate serves its hours; ``held`` where it does already.

    Args:
        held: The map, or the property's overrides.
        lineage: The candidate.
        signature: Who, when, why.
        spans: Some of its target hours; none means all.
        property_id: Whose overrides ``held`` are; ``None`` for the map.
        over: For overrides: the version of the map at the time.

    Raises:
        RefusedError: when it is no candidate, or not for these hours or this property.
    """
    spans = tuple(spans) or lineage.targets
    check_publishable(lineage, spans, property_id)
    if _serves_all(held.pointers, lineage.name, spans, least_stamp=over):
        return held
    stamp = None if property_id is None else over
    pointers = held.pointers.publish_all(spans, lineage.name, over=stamp)
    change = Change(action="publish", signature=signature, lineage=lineage.name, spans=spans)
    return replace(held, pointers=pointers, change=change)


def check_publishable(lineage: Lineage, spans: Sequence[Span], property_id: int | None) -> None:
    """Nothing, for a candidate that may serve these hours.

    Raises:
        RefusedError: when it is no candidate, or not for these hours or this property.
    """
    if lineage.kind == "standing":
        raise RefusedError(f"{lineage.name} is the standing lineage: its hours are sealed instead")
    if lineage.state not in _MAY_BE_PUBLISHED:
        said = {"computing": "it is still being computed", "swept": "its cells are deleted"}
        raise RefusedError(f"{lineage.name} is not a candidate: {said[lineage.state]}")
    if lineage.property_id not in (None, property_id):
        raise RefusedError(
            f"{lineage.name} holds property {lineage.property_id} alone: "
            f"expected it to be published for that, got {property_id or 'all properties'}"
        )
    missing = [part for span in spans for part in lineage.outside_targets(*span)]
    if missing or not spans:
        raise RefusedError(
            f"{lineage.name} has not computed {_hours(missing) or 'any hours'}; "
            f"its hours are {_hours(lineage.targets) or 'none'}"
        )


def sealed(
    held: PointerDocument, standing: Lineage, span: Span, signature: Signature
) -> PointerDocument:
    """The next map, in which the standing lineage takes sealed hours over from live lineages.

    What replays have published stays. ``held`` where there is nothing to take over.

    Raises:
        RefusedError: when it has not computed these hours.
    """
    missing = standing.outside_targets(*span)
    if missing:
        raise RefusedError(
            f"{standing.name} has not computed {_hours(missing)}: compute them first"
        )
    sealed_hours = merged_spans([*held.sealed, span])
    pointers = _with_sealed(held.pointers, sealed_hours)
    if (pointers.intervals, sealed_hours) == (held.pointers.intervals, held.sealed):
        return held
    change = Change(action="seal", signature=signature, lineage=standing.name, spans=(span,))
    pointers = replace(pointers, version=held.version + 1)
    return PointerDocument(pointers=pointers, sealed=sealed_hours, change=change)


def released(held: PointerDocument, spans: Sequence[Span], signature: Signature) -> PointerDocument:
    """The next map, in which sealed hours that hold nothing belong to no live lineage any more.

    ``held`` where there are none.
    """
    sealed_hours = merged_spans([*held.sealed, *spans])
    pointers = _with_sealed(held.pointers, sealed_hours)
    if (pointers.intervals, sealed_hours) == (held.pointers.intervals, held.sealed):
        return held
    change = Change(action="seal", signature=signature, lineage=STANDING, spans=tuple(spans))
    pointers = replace(pointers, version=held.version + 1)
    return PointerDocument(pointers=pointers, sealed=sealed_hours, change=change)


def rolled_back(
    held: PointerDocument,
    earlier: Callable[[int], PointerDocument],
    lineages: Mapping[str, Lineage],
    signature: Signature,
    *,
    to: int | None = None,
    least: int = 1,
) -> PointerDocument:
    """The next document, in which an earlier one is served again.

    Args:
        held: The map, or a property's overrides.
        earlier: The document of a version that was replaced; raises ``RefusedError`` where it is
            not kept.
        lineages: The register, by name.
        signature: Who, when, why.
        to: A version, which is then served exactly as it was. ``None`` takes the last publication
            back that still counts, so that asking again goes back further; hours that were
            sealed since stay sealed.
        least: The first version that may be served: 1 for the map, 0 (no overrides) for a
            property.

    Raises:
        RefusedError: when there is nothing to roll back, or the version cannot be served.
    """
    version = _before_last_publication(held, earlier) if to is None else to
    if not least <= version < held.version:
        raise RefusedError(
            f"nothing to roll back to: expected a version from {least} to {held.version - 1}, "
            f"got {version}"
        )
    before = earlier(version) if version else PointerDocument()
    still_sealed = before.sealed if to is not None else held.sealed
    pointers = _with_sealed(held.pointers.restore(before.pointers), still_sealed)
    _check_servable({part.lineage for part in pointers.intervals}, pointers, lineages)
    change = Change(action="rollback", signature=signature, restored=version)
    return PointerDocument(pointers=pointers, sealed=still_sealed, change=change)


def _serves_all(
    pointers: PointerMap, lineage: str, spans: Iterable[Span], *, least_stamp: int
) -> bool:
    mine = [
        (part.start_us, part.end_us)
        for part in pointers.intervals
        if part.lineage == lineage and part.published >= least_stamp
    ]
    return not any(outside(start, end, mine) for start, end in spans)


def _before_last_publication(
    held: PointerDocument, earlier: Callable[[int], PointerDocument]
) -> int:
    """The version before the publication that ``held`` still shows."""
    document = held
    while change := document.change:
        if change.action == "publish":
            return document.version - 1
        if change.action == "rollback" and change.restored:
            document = earlier(change.restored)
        elif change.action == "seal":
            document = earlier(document.version - 1)
        else:
            break
    raise RefusedError("nothing to roll back: no publication is served")


def _with_sealed(pointers: PointerMap, spans: Iterable[Span]) -> PointerMap:
    """The same version, with sealed hours taken over from live lineages."""
    version = pointers.version
    for span in spans:
        pointers = pointers.seal(*span, STANDING, gives_way=lambda name: kind_of(name) == "live")
    return replace(pointers, version=version)


def _check_servable(
    names: Iterable[str], pointers: PointerMap, lineages: Mapping[str, Lineage]
) -> None:
    gone = sorted(name for name in names if name not in lineages or lineages[name].state == "swept")
    if gone:
        raise RefusedError(f"the cells of {', '.join(gone)} are deleted: roll back to a later one")
    future = pointers.lineage_at(FOR_EVER - 1)
    if future and lineages[future].state == "withdrawn":
        raise RefusedError(
            f"hours to come would be served by {future}, whose job has ended: "
            "roll back to a version after it was replaced"
        )


def _spans(edges: Iterable[Sequence[int]]) -> tuple[Span, ...]:
    return tuple((int(start), int(end)) for start, end in edges)


def _change(content: dict[str, Any]) -> Change:
    signature = Signature(**content["signature"])
    return Change(**{**content, "spans": _spans(content["spans"]), "signature": signature})


def _hours(spans: Iterable[Span]) -> str:
    return ", ".join(f"{_hour(start)}..{_hour(end)}" for start, end in spans)


def _hour(instant_us: int) -> str:
    if abs(instant_us) >= FOR_EVER:
        return "…"
    return datetime.fromtimestamp(instant_us / 1e6, UTC).strftime("%Y-%m-%dT%H")
