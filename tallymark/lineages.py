"""Lineages: what is known of each computation that wrote cells, and whose clean hits an hour has.

``gen-0`` is the standing lineage that routine sealing extends; every other replay draws a number
(``gen-N``), and so does every streaming job that reads by itself (``live-N``).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, get_args

import orjson

from tallymark.pointer_map import FOR_EVER, SINCE_EVER, PointerMap
from tallymark.slots import HOUR_US

Kind = Literal["standing", "replay", "live"]
State = Literal["computing", "candidate", "published", "withdrawn", "swept"]
"""``computing``: cells are being written. ``candidate``: it may be published. ``published``: some
hours are served from it. ``withdrawn``: it serves nothing any more and may be published again; of
a live lineage: its job has ended. ``swept``: its cells are gone, its number is not used again."""
Span = tuple[int, int]
"""Half-open UTC µs."""

STANDING: Final = "gen-0"
_NAME: Final = re.compile(r"(gen|live)-(0|[1-9][0-9]*)")
_NEXT: Final[dict[State, frozenset[State]]] = {
    "computing": frozenset({"candidate", "published", "withdrawn", "swept"}),
    "candidate": frozenset({"computing", "published", "withdrawn", "swept"}),
    "published": frozenset({"withdrawn"}),
    "withdrawn": frozenset({"computing", "published", "swept"}),
    "swept": frozenset(),
}


class LineageStateError(ValueError):
    """A lineage is in a state from which the one wanted does not follow."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """Hours of clean hits that a replay read, and the lineage whose files they are in."""

    start_us: int
    end_us: int
    lineage: str


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """One computation's output, as the register keeps it.

    Attributes:
        name: Part of the row keys, ``gen-3``.
        state: See ``State``.
        created_at: UTC µs.
        changed_at: UTC µs of the last change of this document.
        who: Who asked for it.
        why: What for, in a few words.
        asked: Event hours that its code and rules are applied to, whose clean hits it writes; a
            live lineage writes none.
        targets: Event hours that it computes and may serve, ascending, disjoint.
        property_id: The only property it computes; ``None`` computes all.
        rules: ``as-received``, ``latest`` or a version number.
        code_version: Of the code that made the decisions; of a live lineage, of the newest hours.
        earlier_code: Of a live lineage whose job went on in other code: (end UTC µs, version),
            ascending; each version decided the hours before its end that none before it has.
        inputs: Whose clean hits were read outside ``asked``, ascending; where nothing is named,
            hits were decoded from the raw archive.
        hits: How many it has decoded, rejected ones too.
        seconds: How long it took.
        shards: Of a live lineage: fixed for its life, as state is kept by shard.
        reads_whole_from: Of a live lineage: UTC µs since when it has read everything.
    """

    name: str
    state: State
    created_at: int
    changed_at: int
    who: str = ""
    why: str = ""
    asked: tuple[Span, ...] = ()
    targets: tuple[Span, ...] = ()
    property_id: int | None = None
    rules: str = "as-received"
    code_version: str = ""
    earlier_code: tuple[tuple[int, str], ...] = ()
    inputs: tuple[Input, ...] = ()
    hits: int = 0
    seconds: float = 0.0
    shards: int = 0
    reads_whole_from: int = SINCE_EVER

    def __post_init__(self) -> None:
        """Hold the fields to what they may be.

        Raises:
            ValueError: naming the field, what was expected and what came.
        """
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name: expected gen-N or live-N, got {self.name!r}")
        if self.state not in get_args(State):
            raise ValueError(f"state: expected one of {get_args(State)}, got {self.state!r}")
        for name in ("asked", "targets"):
            _check_spans(name, getattr(self, name))
        _check_spans("inputs", [(part.start_us, part.end_us) for part in self.inputs])

    @property
    def kind(self) -> Kind:
        """Standing, replay or live, as the name says."""
        return kind_of(self.name)

    @property
    def number(self) -> int:
        """N of ``gen-N`` or ``live-N``."""
        return int(self.name.partition("-")[2])

    @property
    def subscription(self) -> str:
        """A live lineage's own subscription to the hits."""
        return f"stream-{self.name}"

    def turned(self, state: State) -> "Lineage":
        """The document in another state.

        Raises:
            LineageStateError: when that state cannot follow the present one.
        """
        if state == self.state:
            return self
        if state not in _NEXT[self.state]:
            raise LineageStateError(
                f"{self.name} is {self.state}: expected a change to one of "
                f"{', '.join(sorted(_NEXT[self.state])) or 'nothing'}, got {state}"
            )
        return replace(self, state=state)

    def extended(self, spans: Iterable[Span]) -> "Lineage":
        """The document of a standing lineage that has computed ``spans`` too."""
        return replace(
            self,
            asked=merged_spans([*self.asked, *spans]),
            targets=merged_spans([*self.targets, *spans]),
        )

    def serving_from(self, start_us: int) -> "Lineage":
        """The document of a live lineage that may serve the hours from ``start_us`` on."""
        return replace(self, targets=((start_us, FOR_EVER),))

    def computed_by(self, version: str, from_us: int) -> "Lineage":
        """The document of a live lineage whose hours from ``from_us`` on (UTC µs) a version of
        the code computes; the hours before stay decided by what decided them."""
        if version == self.code_version:
            return self
        decided = [*self.earlier_code, (FOR_EVER, self.code_version)]
        kept = [one for one in decided if one[0] < from_us]
        cut = [] if from_us <= SINCE_EVER else [(from_us, decided[len(kept)][1])]
        return replace(self, code_version=version, earlier_code=(*kept, *cut))

    def code_of(self, start_us: int, end_us: int) -> list[tuple[Span, str]]:
        """The versions of the code that decided the hours [start_us, end_us), ascending."""
        found: list[tuple[Span, str]] = []
        at = start_us
        for edge, version in (*self.earlier_code, (FOR_EVER, self.code_version)):
            end = min(edge, end_us)
            if at < end:
                found.append(((at, end), version))
                at = end
        return found

    def outside_targets(self, start_us: int, end_us: int) -> list[Span]:
        """What of [start_us, end_us) it has not computed."""
        return outside(start_us, end_us, self.targets)

    def clean_lineage_at(self, hour_us: int) -> str | None:
        """Whose clean hits the cells of an hour were computed from; ``None``: from raw hits."""
        if any(start <= hour_us < end for start, end in self.asked):
            return self.name
        found = (part for part in self.inputs if part.start_us <= hour_us < part.end_us)
        return next((part.lineage for part in found), None)

    def encode(self) -> bytes:
        """As stored: JSON."""
        return orjson.dumps(asdict(self))


def decode(document: bytes) -> Lineage:
    """A lineage from stored bytes.

    Raises:
        ValueError: when the bytes are no lineage's document.
    """
    try:
        content: dict[str, Any] = orjson.loads(document)
        known = {each.name for each in fields(Lineage)}
        held = {name: value for name, value in content.items() if name in known}
        for name in ("asked", "targets"):
            held[name] = tuple((int(start), int(end)) for start, end in held.get(name, ()))
        earlier = held.get("earlier_code", ())
        held["earlier_code"] = tuple((int(end), str(version)) for end, version in earlier)
        held["inputs"] = tuple(Input(**part) for part in held.get("inputs", ()))
        return Lineage(**held)
    except (AttributeError, TypeError, orjson.JSONDecodeError) as error:
        raise ValueError(f"expected the document of a lineage, got {document[:200]!r}") from error


def kind_of(name: str) -> Kind:
    """The kind of lineage that a name says."""
    if name == STANDING:
        return "standing"
    return "live" if name.startswith("live-") else "replay"


def clean_sources(
    served: PointerMap, lineages: Mapping[str, Lineage], start_us: int, end_us: int
) -> list[Input]:
    """Whose clean hits to read for the hours [start_us, end_us), as they are served.

    Args:
        served: The pointer map, with a property's overrides where one property is computed.
        lineages: The register, by name.
        start_us: UTC µs, a full hour.
        end_us: UTC µs, a full hour.

    Returns:
        Ascending; hours that are left out (served live, or by nothing) are read from raw hits.
    """
    found: list[Input] = []
    for hour_us in range(start_us, end_us, HOUR_US):
        serving = served.lineage_at(hour_us)
        holder = lineages.get(serving) if serving else None
        name = holder.clean_lineage_at(hour_us) if holder else None
        if name is None:
            continue
        if found and found[-1].lineage == name and found[-1].end_us == hour_us:
            found[-1] = replace(found[-1], end_us=hour_us + HOUR_US)
        else:
            found.append(Input(start_us=hour_us, end_us=hour_us + HOUR_US, lineage=name))
    return found


def merged_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same hours in ascending spans that neither overlap nor touch."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        elif start < end:
            merged.append((start, end))
    return tuple(merged)


def outside(start_us: int, end_us: int, spans: Sequence[Span]) -> list[Span]:
    """What of [start_us, end_us) ascending disjoint ``spans`` do not hold."""
    left: list[Span] = []
    at = start_us
    for start, end in spans:
        if start > at:
            left.append((at, min(start, end_us)))
        at = max(at, end)
        if at >= end_us:
            break
    if at < end_us:
        left.append((at, end_us))
    return [(first, last) for first, last in left if first < last]


def _check_spans(name: str, spans: Sequence[Span]) -> None:
    at = SINCE_EVER
    for start, end in spans:
        if start < at or end <= start:
            raise ValueError(f"{name}: expected ascending disjoint spans, got {spans}")
        if any(edge % HOUR_US for edge in (start, end) if edge not in (SINCE_EVER, FOR_EVER)):
            raise ValueError(f"{name}: expected edges at full UTC hours, got {spans}")
        at = end
