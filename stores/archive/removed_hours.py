"""Removed hours: what the raw archive remembers of requests that retention has taken.

``raw_removed.json`` says before which instant nothing is to be read any more, and which blocks lay
in files that are gone, so that the spools which go on are known to be whole.
``retention/HOUR.json`` says of a received hour whose requests are in each of its files, and whose
are gone.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Final

import orjson

from stores.archive.hours import hour_name, hour_of
from stores.archive.port import Objects
from stores.archive.spool_runs import Run, joined

_REMOVED: Final = "raw_removed.json"
RETENTION: Final = "retention/"


@dataclass(frozen=True)
class RemovedHours:
    """What is gone whole.

    Attributes:
        hidden: Instants (UTC µs) before which hours of receipt are gone, or about to be; and
            since when nobody begins to read them any more.
        runs: Of each spool that had blocks in files that are gone, and may go on.
    """

    hidden: tuple[tuple[int, int], ...] = ()
    runs: dict[str, list[Run]] = field(default_factory=dict)

    @property
    def through_us(self) -> int:
        """Hours that begin before it (UTC µs) are not to be read."""
        return self.hidden_at(max((at_us for _, at_us in self.hidden), default=0))

    def hidden_at(self, instant_us: int) -> int:
        """The same as it was at an instant (UTC µs)."""
        return max((before for before, at_us in self.hidden if at_us <= instant_us), default=0)

    def with_runs(self, runs: dict[str, list[Run]]) -> "RemovedHours":
        """With blocks of more files; spools of which all is gone are forgotten."""
        names = self.runs.keys() | runs.keys()
        known = {one: joined([*self.runs.get(one, ()), *runs.get(one, ())]) for one in names}
        return replace(self, runs=known)


def removed_hours(objects: Objects) -> RemovedHours:
    """What was noted."""
    try:
        facts = orjson.loads(objects.get(_REMOVED))
    except FileNotFoundError:
        return RemovedHours()
    runs = {name: [Run(*one) for one in some] for name, some in facts["runs"].items()}
    hidden = tuple((before, at_us) for before, at_us in facts["hidden"])
    return RemovedHours(hidden, runs)


def note_removed(objects: Objects, removed: RemovedHours) -> None:
    """Note it; before anything is deleted."""
    runs = {
        name: [list(asdict(one).values()) for one in some] for name, some in removed.runs.items()
    }
    objects.put(_REMOVED, orjson.dumps({"hidden": removed.hidden, "runs": runs}))


@dataclass(frozen=True)
class HourNote:
    """Whose requests a received hour holds.

    Attributes:
        held: By file, how many requests of each measurement id.
        gone: Measurement ids of which requests are gone, or about to be.
    """

    held: dict[str, dict[str, int]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)

    def requests(self) -> dict[str, int]:
        """How many are held of each measurement id; a request of two counts for both."""
        found: dict[str, int] = {}
        for of_file in self.held.values():
            for name, count in of_file.items():
                found[name] = found.get(name, 0) + count
        return found


def hour_note(objects: Objects, hour_us: int) -> HourNote:
    """What was noted of a received hour; nothing where nobody has looked yet."""
    try:
        return HourNote(**orjson.loads(objects.get(_name(hour_us))))
    except FileNotFoundError:
        return HourNote()


def put_hour_note(objects: Objects, hour_us: int, note: HourNote) -> None:
    """Note it."""
    objects.put(_name(hour_us), orjson.dumps(asdict(note)))


def delete_hour_note(objects: Objects, hour_us: int) -> None:
    """Forget it: the hour is gone whole."""
    objects.delete(_name(hour_us))


def gone_streams(objects: Objects, hours: Iterable[int]) -> dict[int, set[str]]:
    """The measurement ids whose requests are gone from hours that are held otherwise."""
    noted = {
        hour_of(name.removeprefix(RETENTION).removesuffix(".json"))
        for name in objects.names(RETENTION)
        if name.count("/") == 1
    }
    gone = {hour: set(hour_note(objects, hour).gone) for hour in noted.intersection(hours)}
    return {hour: names for hour, names in gone.items() if names}


def _name(hour_us: int) -> str:
    return f"{RETENTION}{hour_name(hour_us)}.json"
