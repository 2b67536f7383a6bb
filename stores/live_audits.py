"""Audits of sealed hours against live: what may explain differences, and what was found."""

from collections.abc import Callable, Iterable

import polars as pl

from stores.announcements import LATE, RULES, STALE, Announcements
from stores.wide_rows.port import CELL_SCHEMA, WideRows
from tallymark.audit_notes import AuditNote, decode_note, notes_of
from tallymark.divergences import Divergences, Explanations, LiveAudit
from tallymark.lineages import Span
from tallymark.properties import Property
from tallymark.row_keys import audit_key, audit_range
from tallymark.slots import SESSION_ALIGNMENT_US

_QUALIFIER = b"note"
_AROUND_US = 4 * SESSION_ALIGNMENT_US
"""Further away than late hits reach."""


def open_audit(wide_rows: WideRows, spans: Iterable[Span], owners: Iterable[Property]) -> LiveAudit:
    """An audit of hours that are about to be sealed, with all that was announced for them.

    Args:
        wide_rows: Where announcements are.
        spans: The hours, UTC µs.
        owners: All properties.
    """
    spans = list(spans)

    def announced(kind: str) -> set[tuple[int, int]]:
        announcements = Announcements(wide_rows, kind)
        return {
            where
            for start, end in spans
            for where in announcements.announced(start - _AROUND_US, end + _AROUND_US)
        }

    gaps = {
        owner.property_id: max(version.rules.session_gap_seconds for version in owner.versions)
        * 1_000_000
        for owner in owners
    }
    return LiveAudit(
        Explanations.of(announced(LATE), announced(STALE), gaps, misruled=announced(RULES))
    )


class AuditNotes:
    """What audits have found, a note an hour.

    Every method raises ``WideRowsUnavailableError`` when the store does not answer.

    Args:
        wide_rows: Where notes are.
        now_us: UTC µs.
    """

    def __init__(self, wide_rows: WideRows, now_us: Callable[[], int]) -> None:
        self._wide_rows = wide_rows
        self._now_us = now_us

    def all(self) -> list[AuditNote]:
        """Every hour of which something was noted, ascending."""
        return sorted((note for note, _ in self._held().values()), key=lambda note: note.hour_us)

    def alerts(self) -> list[AuditNote]:
        """The hours that somebody is to look at, ascending."""
        return [note for note in self.all() if note.is_alert]

    def note(self, divergences: Divergences) -> None:
        """Note what an audit found; hours of which nothing is to be said leave nothing."""
        found = notes_of(divergences, self._now_us())
        held = self._held()
        self._write((one for one in found if one.numbers or one.hour_us in held), held)

    def acknowledge(self, start_us: int, end_us: int, *, who: str, why: str) -> list[AuditNote]:
        """Let the alerts of hours in [start, end) be looked at; those that were alerts."""
        held = self._held()
        mine = [
            note for note, _ in held.values() if note.is_alert and start_us <= note.hour_us < end_us
        ]
        self._write((note.acknowledged(who, why) for note in mine), held)
        return sorted(mine, key=lambda note: note.hour_us)

    def _held(self) -> dict[int, tuple[AuditNote, int]]:
        cells = self._wide_rows.read([audit_range()], ("c",))
        notes = (
            (decode_note(value), version)
            for value, version in cells.select("value", "version").iter_rows()
        )
        return {note.hour_us: (note, version) for note, version in notes}

    def _write(self, notes: Iterable[AuditNote], held: dict[int, tuple[AuditNote, int]]) -> None:
        cells = [
            (audit_key(note.hour_us), "c", _QUALIFIER,
             max(self._now_us(), held[note.hour_us][1] + 1 if note.hour_us in held else 0),
             note.encode())
            for note in notes
        ]  # fmt: skip
        if cells:
            self._wide_rows.write(pl.DataFrame(cells, schema=CELL_SCHEMA, orient="row"))
