"""Wishes: replays as somebody asks for them, and what they will cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from tallymark.lineages import Lineage
from tallymark.rules_choice import AS_RECEIVED

Stage = Literal["clean_hits", "sessions", "rollups"]
STAGES: Final[tuple[Stage, ...]] = ("clean_hits", "sessions", "rollups")
START_SECONDS: Final = 4.0
"""What a process takes until it works."""
FIRST_GUESS_HITS_A_SECOND: Final = 50_000.0


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A replay as somebody asks for it.

    Attributes:
        start_us: UTC µs; the range is aligned outward to L.
        end_us: UTC µs.
        who: Who asks.
        why: What for.
        resumes: Whether to go on with the lineage that was drawn for the same who and why.
        property_id: This property alone; ``None`` means all.
        rules: ``as-received``, ``latest`` or the number of a version.
        is_sealing: Extend the standing lineage by this range.
        only_range: Recompute the hours of the range alone, not those that share a window with it.
        runner: Name of a Beam runner.
        runner_options: Options for it.
    """

    start_us: int
    end_us: int
    who: str
    why: str = ""
    resumes: bool = False
    property_id: int | None = None
    rules: str = AS_RECEIVED
    is_sealing: bool = False
    only_range: bool = False
    runner: str = "DirectRunner"
    runner_options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a replay will take.

    Attributes:
        target_hours: Hours that are recomputed.
        received_hours: Received hours that are read.
        requests: In all of them.
        seconds: About how long it takes.
    """

    target_hours: int
    received_hours: int
    requests: int
    seconds: float


def hits_a_second(lineages: Iterable[Lineage]) -> float:
    """How fast replays were so far that took longer than their processes take to start."""
    working = [
        (lineage.hits, lineage.seconds - len(STAGES) * START_SECONDS)
        for lineage in lineages
        if lineage.hits and lineage.seconds > 2 * len(STAGES) * START_SECONDS
    ]
    if not working:
        return FIRST_GUESS_HITS_A_SECOND
    return sum(hits for hits, _ in working) / sum(seconds for _, seconds in working)
