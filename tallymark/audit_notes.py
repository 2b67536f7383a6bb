"""Audit notes: what of each sealed hour differed from live, until somebody has looked at it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import orjson

from tallymark.checks import EXAMPLES, CheckResult
from tallymark.divergences import (
    AGREES_WITH_LIVE,
    HOLDS,
    Divergences,
    divergence_text,
    hours_text,
)
from tallymark.replays import Span, hour_text

_TOLD_OF_AN_HOUR: Final = 5


@dataclass(frozen=True, kw_only=True)
class AuditNote:
    """What was found in a sealed hour.

    Attributes:
        hour_us: UTC µs.
        numbers: How many differ from live beyond late hits; 0: none does any more.
        properties: Of which properties.
        examples: Some of them, as people read them.
        at_us: UTC µs, when it was noted.
        acknowledged_by: Who has looked at it; "" while nobody has.
        why: What it was.
    """

    hour_us: int
    numbers: int
    properties: tuple[int, ...]
    examples: tuple[str, ...]
    at_us: int
    acknowledged_by: str = ""
    why: str = ""

    @property
    def is_alert(self) -> bool:
        """Whether somebody is to look at it."""
        return self.numbers > 0 and not self.acknowledged_by

    def acknowledged(self, who: str, why: str) -> "AuditNote":
        """The note, looked at."""
        return replace(self, acknowledged_by=who, why=why)

    def encode(self) -> bytes:
        """As stored: JSON."""
        return orjson.dumps(asdict(self))

    def to_json(self) -> dict[str, Any]:
        """For programs; the hour as people read it."""
        facts = asdict(self)
        return {"hour": hour_text(facts.pop("hour_us")), **facts}


def decode_note(value: bytes) -> AuditNote:
    """The note in bytes of ``AuditNote.encode``."""
    facts = orjson.loads(value)
    properties, examples = tuple(facts.pop("properties")), tuple(facts.pop("examples"))
    return AuditNote(properties=properties, examples=examples, **facts)


def notes_of(divergences: Divergences, at_us: int) -> list[AuditNote]:
    """A note of each hour that was held against live, ascending; of most that nothing differs."""
    wrong = divergences.counts.filter(divergences.counts["unexplained"] > 0)
    by_hour = {
        int(str(hour)): rows for (hour,), rows in wrong.partition_by("hour", as_dict=True).items()
    }
    told: dict[int, list[str]] = {}
    for row in divergences.examples.iter_rows(named=True):
        told.setdefault(row["hour"], []).append(divergence_text(row))
    hours = sorted({hour for span in divergences.spans for hour in Span(*span)})
    return [
        AuditNote(
            hour_us=hour,
            numbers=int(by_hour[hour]["unexplained"].sum()) if hour in by_hour else 0,
            properties=tuple(sorted(by_hour[hour]["property_id"])) if hour in by_hour else (),
            examples=tuple(told.get(hour, ())[:_TOLD_OF_AN_HOUR]),
            at_us=at_us,
        )
        for hour in hours
    ]


def alert_text(alerts: Sequence[AuditNote]) -> str:
    """One line for whoever looks after a stack; "" where there is nothing to be said."""
    if not alerts:
        return ""
    example = next((text for note in alerts for text in note.examples), "")
    many = len(alerts) != 1
    return (
        f"{hours_text(len(alerts))} {'differ' if many else 'differs'} from live beyond late hits"
        f"{f', e.g. {example}' if example else ''}"
    )


def standing_check(alerts: Sequence[AuditNote], latest: Divergences | None = None) -> CheckResult:
    """Whether all sealed hours say what was streamed, but for late hits.

    It fails until the last alert is acknowledged, whichever run looks.

    Args:
        alerts: Of all hours.
        latest: What was found just now, if hours were sealed.
    """
    mine = latest.check() if latest is not None else None
    if not alerts:
        reason = mine.reason if mine else f"{HOLDS}: nothing is to be looked at"
        return CheckResult(
            name=AGREES_WITH_LIVE, passed=True, reason=reason, numbers=mine.numbers if mine else {}
        )
    reason = mine.reason if mine and not mine.passed else alert_text(alerts)
    examples = tuple({"hour": hour_text(note.hour_us), "what": text}
                     for note in alerts for text in note.examples)  # fmt: skip
    return CheckResult(
        name=AGREES_WITH_LIVE,
        passed=False,
        reason=f"{reason}. tallymark audit lists all of them, and acknowledges what was looked at",
        numbers={"hours beyond late hits": len(alerts), **(mine.numbers if mine else {})},
        examples=mine.examples if mine and not mine.passed else examples[:EXAMPLES],
    )
