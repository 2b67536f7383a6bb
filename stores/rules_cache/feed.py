"""The rules from the configuration service: its change feed is followed, nothing is loaded ahead.

A million properties exist, a worker meets some of them. What it is asked for and does not know it
looks up, many ids at a time, and keeps (``stores.rules_cache.known_rules``); a thread follows the
feed and renews what has changed. When the service is gone the last rules are gone on with.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import polars as pl

from stores.rules_cache.circuit import Circuit
from stores.rules_cache.documents import decode_property
from stores.rules_cache.feed_client import MAX_IDS, FeedClient, OutOfRangeError, ServiceGoneError
from stores.rules_cache.feed_follower import FeedFollower, FollowSettings
from stores.rules_cache.ids import UnknownIds
from stores.rules_cache.known_rules import Known, KnownRules
from stores.rules_cache.port import RulesUnavailableError, UnaskedIdsError
from stores.rules_cache.rule_memory import RuleMemory
from stores.rules_cache.rules_copy import RulesCopy
from tallymark.properties import Property

_LOG: Final = logging.getLogger(__name__)
_PAGE_SECONDS: Final = 30.0
_AGAIN_SECONDS: Final = 0.05
T = TypeVar("T")


class FeedRulesCache:
    """The port ``RulesCache`` over the configuration service; safe to share among threads.

    Args:
        client: Closed with this.
        copy: What was known before, on disk; closed with this.
        settings: How the service is followed.
    """

    def __init__(
        self,
        client: FeedClient[Property],
        copy: RulesCopy | None,
        settings: FollowSettings | None = None,
    ) -> None:
        self._settings = settings = settings or FollowSettings()
        self._client = client
        self._known = KnownRules(
            RuleMemory(settings.max_properties),
            copy,
            read=decode_property,
            unknown=UnknownIds(time.monotonic, settings.unknown_seconds),
        )
        self._circuit = Circuit(
            clock=time.monotonic,
            jitter=random.random,
            patience_seconds=settings.patience_seconds,
            probe_seconds=settings.probe_seconds,
        )
        self._asking = threading.Lock()
        self._follower = FeedFollower(client, self._known, settings, self._circuit.try_soon)
        self._follower.start()

    def by_measurement_id(self, measurement_id: str) -> Property | None:
        """The property that ``measurement_id`` belongs to.

        Raises:
            RulesUnavailableError: when it is not known here and could not be asked for.
        """
        return self._owner(measurement_id, lambda: self.frame([measurement_id]))

    def by_property_id(self, property_id: int) -> Property | None:
        """The property of this id.

        Raises:
            RulesUnavailableError: when it is not known here and could not be asked for.
        """
        return self._owner(property_id, lambda: self._look_up_property(property_id))

    def frame(self, measurement_ids: Iterable[str]) -> pl.DataFrame:
        """All versions of the properties named, as ``PROPERTY_SCHEMA``; unknown ids are left out.

        What is not known yet is asked for together, ``MAX_IDS`` at a time. A service that does not
        answer is waited for ``patience_seconds``, and as long again for the rest of an answer that
        it had begun; once it is known to be gone nobody waits.

        Raises:
            UnaskedIdsError: when some could not be asked for; it holds what is known.
            RulesUnavailableError: when nothing at all is known.
        """
        self._begin_well()
        found = self._known.find(dict.fromkeys(measurement_ids))
        if not found.missing:
            return found.rows[0] if len(found.rows) == 1 else pl.concat(found.rows)
        looked_up = self._look_up(found.missing)
        rows = pl.concat([*found.rows, *looked_up.rows])
        unasked = looked_up.missing + looked_up.unreadable
        if not unasked:
            return rows
        if self._known.is_empty:
            raise RulesUnavailableError(f"no rules are known, and {self._client.url} is gone")
        raise UnaskedIdsError(rows, unasked)

    def properties(self) -> Iterator[Property]:
        """Every property, by id, from the service itself, a page at a time.

        Raises:
            RulesUnavailableError: when it cannot be asked (any more).
        """
        after = 0
        while True:
            try:
                page = self._client.page(after, _PAGE_SECONDS)
            except (ServiceGoneError, OutOfRangeError) as error:
                raise RulesUnavailableError(f"properties cannot be listed: {error}") from error
            if page.broken:
                raise RulesUnavailableError(f"a property cannot be read: {page.broken[0]}")
            owners = [found.owner for found in page.properties if found.owner.property_id > after]
            if not owners:
                return
            yield from owners
            after = owners[-1].property_id

    def valid_through(self) -> int:
        """UTC µs through which no change can exist that this cache does not know; 0 where nothing
        is known."""
        self._begin_well()
        state = self._known.state
        return state.valid_through if state else 0

    def close(self) -> None:
        """Stop following; what was kept on disk stays."""
        self._follower.is_stopping.set()
        self._client.close()
        self._known.close()

    def _begin_well(self) -> None:
        """What was kept on disk is not used before the feed has been asked, once."""
        if not self._follower.has_heard.is_set():
            self._follower.has_heard.wait(self._settings.patience_seconds)

    def _owner(self, wanted: str | int, ask: Callable[[], object]) -> Property | None:
        self._begin_well()
        found = self._known.owner(wanted)
        if found is None and not self._known.is_unknown(wanted):
            ask()
            found = self._known.owner(wanted)
        return found

    def _look_up_property(self, property_id: int) -> None:
        def take(ids: list[int], seconds: float) -> list[int]:
            generation = self._known.generation
            answer = self._client.lookup([], ids, seconds)
            self._complain(answer.broken)
            again = self._known.take_properties(ids, answer, generation)
            return ids if answer.broken else again

        if self._in_time([property_id], take):
            raise RulesUnavailableError(f"{self._client.url} could not be asked for {property_id}")

    def _look_up(self, measurement_ids: list[str]) -> Known[pl.DataFrame]:
        got = Known[pl.DataFrame]()

        def take(ids: list[str], seconds: float) -> list[str]:
            generation = self._known.generation
            known = self._known.find(ids)  # another caller may have asked for them
            got.rows.extend(known.rows)
            if not known.missing:
                return []
            answer = self._client.lookup(known.missing, [], seconds)
            self._complain(answer.broken)
            taken = self._known.take(known.missing, answer, generation)
            got.rows.extend(taken.rows)
            got.unreadable.extend(taken.unreadable)
            return taken.missing

        got.missing.extend(self._in_time(measurement_ids, take))
        return got

    def _in_time(self, ids: list[T], take: Callable[[list[T], float], list[T]]) -> list[T]:
        """Let ``take`` ask for ids, ``MAX_IDS`` at a time, as long as there is patience; one
        caller after another, as they mostly want the same.

        Args:
            ids: All of them.
            take: Asks for some of them within so many seconds; gives those to be asked for again.

        Returns:
            Those that are left.
        """
        until = time.monotonic() + self._settings.patience_seconds
        if not self._asking.acquire(timeout=self._settings.patience_seconds):
            return ids
        try:
            seconds = self._circuit.admit()
            if not seconds:
                return ids
            left = self._persist(ids, take, min(until, time.monotonic() + seconds))
            if left:
                self._circuit.failed()
            return left
        finally:
            self._asking.release()

    def _persist(
        self, ids: list[T], take: Callable[[list[T], float], list[T]], until: float
    ) -> list[T]:
        pause = _AGAIN_SECONDS
        while ids and (seconds := until - time.monotonic()) > 0:
            try:
                again = take(ids[:MAX_IDS], seconds)
            except (ServiceGoneError, OutOfRangeError) as error:
                self._circuit.trouble = str(error)
                again = ids[:MAX_IDS]
            else:
                self._circuit.succeeded()
            ids = again + ids[MAX_IDS:]
            if again:
                pause = min(2 * pause, max(0.0, until - time.monotonic()))
                self._follower.is_stopping.wait(pause)
        return ids

    @staticmethod
    def _complain(problems: Iterable[str]) -> None:
        for problem in problems:
            _LOG.error("a property cannot be read, its hits cannot be counted: %s", problem)
