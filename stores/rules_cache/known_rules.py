"""What a follower of the change feed knows, and the order in which it may come to know it.

Answers to lookups and answers of the feed overtake one another. Nothing is lost by three rules:

1. A lookup answered at position P shows every change up to P. It is taken unless the feed has told
   of a later change of the same property or id, or something newer is held: then it is asked
   again.
2. The feed tells of changes (``note``) before what they change is looked up, and moves on
   (``commit``) after that has been taken. Changes that are told of twice do no harm.
3. Whatever was asked before all was forgotten (``begin``) is void: it may be of another database.

So what is known is as it was at the feed's position or later, in memory and in the copy on disk.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from stores.rules_cache.feed_messages import Change, FoundProperty, LookupAnswer, Read, T
from stores.rules_cache.ids import Id, UnknownIds
from stores.rules_cache.memory import Memory, R
from stores.rules_cache.problems import InvalidPropertyError
from stores.rules_cache.rules_copy import CopyState, RulesCopy, StoredProperty, is_damage
from tallymark.rules_delay import RULES_DELAY_SECONDS

MAX_CHANGED: Final = 50_000
"""Changes of so many ids are remembered for lookups under way; older lookups are asked again."""
_LOG: Final = logging.getLogger(__name__)
A = TypeVar("A")
U = TypeVar("U", str, int)


@dataclass(frozen=True, kw_only=True)
class Known(Generic[R]):
    """What is known of the measurement ids asked for.

    Attributes:
        rows: What the memory tells of known ids.
        missing: Of these it has to be asked, again perhaps.
        unreadable: Of these something was said that nobody can read.
    """

    rows: list[R] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


class KnownRules(Generic[T, R]):
    """The memory of a follower; safe among threads, does no input or output but to the copy.

    Args:
        memory: Empty.
        copy: On disk, if there is one; closed with this.
        read: Reads what is on disk.
        unknown: Empty; others may look at it.

    Attributes:
        state: Where the feed is followed from; ``None`` before anything is known.
        generation: Ascends when all is forgotten.
    """

    def __init__(
        self,
        memory: Memory[T, R],
        copy: RulesCopy | None,
        *,
        read: Read[T],
        unknown: UnknownIds,
    ) -> None:
        self._copy = copy
        self._lock = threading.RLock()
        self._memory = memory
        self._read = read
        self._unknown = unknown
        self._changed: dict[Id, int] = {}
        self.generation = 0
        self.state: CopyState | None = self._copied(lambda kept: kept.state(), None)
        self._complete_from = self.state.position if self.state else 0
        """No change after this position is missing in ``_changed``."""

    @property
    def is_empty(self) -> bool:
        """Whether no property at all is known."""
        with self._lock:
            return not self._memory and not self._copied(lambda kept: kept.count, 0)

    def find(self, measurement_ids: Iterable[str]) -> Known[R]:
        """What is known of ids, each given once, in memory or in the copy on disk."""
        with self._lock:
            gather, left = self._memory.rows(list(measurement_ids))
            missing = [one for one in left if one not in self._unknown]
            recalled = self._recall(missing) if missing else None
        if recalled is None:
            return Known(rows=[gather()], missing=missing)
        rows, found = self._memory.those_asked(recalled, missing)
        return Known(rows=[gather(), rows], missing=[one for one in missing if one not in found])

    def owner(self, wanted: Id) -> T | None:
        """The property of an id, if it is known."""
        with self._lock:
            found = self._memory.owner(wanted)
            if found is None and self._recall([wanted]) is not None:
                found = self._memory.owner(wanted)
            return found

    def is_unknown(self, wanted: Id) -> bool:
        """Whether the id does not exist, as was said a moment ago."""
        with self._lock:
            return wanted in self._unknown

    def begin(self, answer: LookupAnswer[T], generation: int) -> None:
        """Forget all, unless that was done since ``generation``, and follow from ``answer`` on."""
        with self._lock:
            if generation == self.generation:
                self._begin(answer)

    def take(self, asked: list[str], answer: LookupAnswer[T], generation: int) -> Known[R]:
        """Take the answer in to a lookup of measurement ids.

        Args:
            asked: What was looked up.
            answer: What came.
            generation: Of this object, before the lookup began.
        """
        with self._lock:
            if generation != self.generation:
                return Known(missing=asked)
            taken = self._news_of(answer)
            self._write(taken, answer.position)
            rows, found = self._memory.those_asked(self._load(taken, answer.position), asked)
            late = {one for other in answer.properties for one in other.owner.measurement_ids}
            again, gone = self._left(asked, found, late, answer)
            if not answer.broken:
                self._unknown.add(gone)
                gone = []
        return Known(rows=[rows], missing=again, unreadable=gone)

    def take_properties(
        self,
        asked: list[int],
        answer: LookupAnswer[T],
        generation: int,
        *,
        is_refresh: bool = False,
    ) -> list[int]:
        """Take the answer in to a lookup of property ids.

        Args:
            asked: What was looked up.
            answer: What came.
            generation: Of this object, before the lookup began.
            is_refresh: Nobody asked for them; those on disk alone do not come into memory.

        Returns:
            Those that have to be asked again.
        """
        with self._lock:
            if generation != self.generation:
                return asked
            taken = self._news_of(answer)
            self._write(taken, answer.position)
            self._load(
                [one for one in taken if not is_refresh or self._holds(one.owner.property_id)],
                answer.position,
            )
            found = {one.owner.property_id for one in taken}
            late = {one.owner.property_id for one in answer.properties}
            again, gone = self._left(asked, found, late, answer)
            self._memory.drop(gone)  # what cannot be read is not known either
            self._copied(lambda kept: kept.remove(gone) if gone else None, None)
            if not answer.broken:
                self._unknown.add(gone)
        return again

    def note(self, changes: Iterable[Change], generation: int) -> list[int]:
        """Take note of changes before they are looked up.

        Returns:
            The properties among them that are known as they were before, in memory or on disk.
        """
        with self._lock:
            if generation != self.generation:
                return []
            newest: dict[int, int] = {}
            for change in changes:
                newest[change.property_id] = change.sequence
                ids: list[Id] = [change.property_id, *change.measurement_ids]
                for one in ids:
                    self._changed[one] = change.sequence
                    self._unknown.discard(one)
            if len(self._changed) > MAX_CHANGED:
                self._complete_from = max(self._changed.values())
                self._changed.clear()
            held = {one.property_id: one.as_of for one in self._stored(list(newest))}
            for one in newest:
                if (as_of := self._memory.as_of(one)) is not None:
                    held[one] = as_of
        return [one for one, as_of in held.items() if as_of < newest[one]]

    def commit(self, position: int, answered_at: int | None, generation: int) -> None:
        """Move on: what changed through ``position`` has been taken in.

        Args:
            position: Of the feed.
            answered_at: UTC µs at which there were no more changes; ``None`` if there may be.
            generation: Of this object, before the feed was asked.
        """
        with self._lock:
            if generation != self.generation or self.state is None:
                return
            valid = self.state.valid_through
            if answered_at is not None:
                valid = max(valid, _valid_through(answered_at))
            self.state = CopyState(self.state.database_id, position, valid)
            self._copied(lambda kept: kept.move(position, valid), None)

    def close(self) -> None:
        """Close the copy."""
        with self._lock:
            kept, self._copy = self._copy, None
            if kept is not None:
                kept.close()

    def _holds(self, property_id: int) -> bool:
        return self._memory.as_of(property_id) is not None

    def _begin(self, answer: LookupAnswer[T]) -> None:
        self.generation += 1
        self._memory.clear()
        self._unknown.clear()
        self._changed.clear()
        self._complete_from = answer.position
        state = CopyState(answer.database_id, answer.position, _valid_through(answer.answered_at))
        self.state = state
        self._copied(lambda kept: kept.begin(state), None)

    def _news_of(self, answer: LookupAnswer[T]) -> list[FoundProperty[T]]:
        """What of an answer is not older than what is known; another database begins all anew."""
        if self.state is None or answer.database_id != self.state.database_id:
            self._begin(answer)
        return [
            one
            for one in answer.properties
            if not self._has_changed(one.owner.property_id, answer)
            and answer.position >= (self._memory.as_of(one.owner.property_id) or 0)
        ]

    def _has_changed(self, one: Id, answer: LookupAnswer[T]) -> bool:
        """Whether it may have changed since the answer, as far as the feed has told."""
        return answer.position < max(self._changed.get(one, 0), self._complete_from)

    def _left(
        self, asked: list[U], found: set[U], late: set[U], answer: LookupAnswer[T]
    ) -> tuple[list[U], list[U]]:
        """What was asked for and is not found: what is to be asked again, and what is not there."""
        left = [one for one in asked if one not in found]
        again = [one for one in left if one in late or self._has_changed(one, answer)]
        return again, [one for one in left if one not in set(again)]

    def _load(self, taken: list[FoundProperty[T]], position: int) -> R:
        return self._put([(one, position) for one in taken])

    def _put(self, properties: list[tuple[FoundProperty[T], int]]) -> R:
        for found, _ in properties:
            self._unknown.discard(found.owner.property_id)
            for one in found.owner.measurement_ids:
                self._unknown.discard(one)
        return self._memory.put(properties)

    def _recall(self, ids: Sequence[Id]) -> R | None:
        """Load what of ``ids`` is in the copy on disk; the rows."""
        found = []
        for one in self._stored(ids):
            try:
                owner = self._read(one.document)
            except InvalidPropertyError:  # another version of the code wrote it
                continue
            found.append((FoundProperty(owner, one.document), one.as_of))
        return self._put(found) if found else None

    def _stored(self, ids: Sequence[Id]) -> list[StoredProperty]:
        names = [one for one in ids if isinstance(one, str)]
        numbers = [one for one in ids if not isinstance(one, str)]

        def find(kept: RulesCopy) -> list[StoredProperty]:
            return [
                *(kept.find(names) if names else ()),
                *(kept.find_properties(numbers) if numbers else ()),
            ]

        nothing: list[StoredProperty] = []
        return self._copied(find, nothing)

    def _write(self, taken: list[FoundProperty[T]], position: int) -> None:
        stored = [
            StoredProperty(one.owner.property_id, position, one.document, one.owner.measurement_ids)
            for one in taken
        ]
        self._copied(lambda kept: kept.write(stored, self._memory) if stored else None, None)

    def _copied(self, call: Callable[[RulesCopy], A], default: A) -> A:
        """What the copy says; ``default`` where there is none, or none any more."""
        if self._copy is None:
            return default
        try:
            return call(self._copy)
        except sqlite3.Error as error:
            _LOG.error("the copy of the rules on disk is not used any more: %s", error)
            if is_damage(error):
                self._copy.discard()
            self.close()
            return default


def _valid_through(answered_at: int) -> int:
    # A change may have been saved within the same microsecond, after the answer.
    return answered_at + RULES_DELAY_SECONDS * 1_000_000 - 1
