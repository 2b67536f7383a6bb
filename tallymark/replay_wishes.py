"""Wishes: replays of one property that somebody asked for, and what has become of each."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, get_args

import orjson

from tallymark.rules_choice import AS_RECEIVED

State = Literal["waiting", "running", "awaiting_review", "published", "failed"]
"""``waiting``: nobody computes it yet. ``awaiting_review``: it is computed, and what is served is
as it was: somebody is to look at its lineage and to publish it."""
OPEN: Final[tuple[State, ...]] = ("waiting", "running", "awaiting_review")
"""States that another one follows."""
MAX_REASON: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class ReplayWish:
    """A wish as it is kept.

    Attributes:
        wish_id: Ascends with the time at which it was asked for.
        property_id: Of this property alone.
        start_us: UTC µs, a full hour.
        end_us: UTC µs, a full hour.
        rules: ``as-received`` or the number of a version.
        who: Who asked.
        why: What for.
        publishes: Whether it is published without a review, if every check passes.
        asked_at: UTC µs.
        state: See ``State``.
        reason: What was wrong, or is to be looked at.
        run_id: Of the run that computes it.
        lineage: In which it was computed.
        changes: How often this was written.
    """

    wish_id: int
    property_id: int
    start_us: int
    end_us: int
    asked_at: int
    rules: str = AS_RECEIVED
    who: str = ""
    why: str = ""
    publishes: bool = False
    state: State = "waiting"
    reason: str = ""
    run_id: str = ""
    lineage: str = ""
    changes: int = 1

    @property
    def is_open(self) -> bool:
        """Whether something may still become of it."""
        return self.state in OPEN

    def queued(self, run_id: str, *, is_running: bool) -> "ReplayWish":
        """It while a run is to compute it, or does."""
        return replace(self, run_id=run_id, state="running" if is_running else "waiting")

    def computed(self, run_id: str, lineage: str, lineage_state: str, reason: str) -> "ReplayWish":
        """It after the run has ended.

        Args:
            run_id: The run.
            lineage: In which it was computed; "" where there is none.
            lineage_state: See ``tallymark.lineages.State``.
            reason: What was wrong with the run, if anything was.
        """
        state: State = "failed"
        if lineage_state == "candidate":
            state = "awaiting_review"
        elif lineage_state == "published":
            state, reason = "published", ""
        elif not reason:
            reason = f"{lineage or 'its lineage'} is {lineage_state or 'not there'}"
        return replace(
            self, run_id=run_id, lineage=lineage, state=state, reason=reason[:MAX_REASON]
        )

    def encode(self) -> bytes:
        """As stored: JSON."""
        return orjson.dumps(asdict(self))


def decode_wish(document: bytes) -> ReplayWish:
    """A wish from stored bytes.

    Raises:
        ValueError: when they are none.
    """
    try:
        content: Mapping[str, Any] = orjson.loads(document)
        known = {each.name for each in fields(ReplayWish)}
        wish = ReplayWish(**{name: value for name, value in content.items() if name in known})
    except (AttributeError, TypeError, orjson.JSONDecodeError) as error:
        raise ValueError(f"expected a wish for a replay, got {document[:200]!r}") from error
    if wish.state not in get_args(State):
        raise ValueError(f"state: expected one of {get_args(State)}, got {wish.state!r}")
    return wish
