"""The thread that follows the change feed: what it tells of is renewed, then it moves on."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from stores.clock import SPEED
from stores.rules_cache.circuit import jittered
from stores.rules_cache.feed_client import MAX_IDS, FeedClient, OutOfRangeError, ServiceGoneError
from stores.rules_cache.known_rules import KnownRules

_LOG: Final = logging.getLogger(__name__)
_LOOKUP_SECONDS: Final = 30.0
_MIN_TURN_SECONDS: Final = 0.5
"""An empty answer that was to be waited for and came sooner is no reason to ask at once."""


@dataclass(frozen=True, kw_only=True)
class FollowSettings:
    """How the service is followed.

    Attributes:
        max_properties: So many are kept in memory, those used last.
        poll_seconds: The feed is asked to wait for a change so long, up to 60; less than the delay
            of a version on the clock of versions, or what is known would lapse in between.
        patience_seconds: A caller waits for the service so long at most, while it has not been
            found to be gone.
        probe_seconds: Once it is gone, one caller after each pause waits so long at most.
        unknown_seconds: An id that does not exist is not asked for again for so long.
        first_backoff_seconds: The feed is asked again so long after it failed, then twice as long
            each time; shortened by chance, to half at most.
        longest_backoff_seconds: The pause beyond which it is not doubled.
    """

    max_properties: int = 50_000
    poll_seconds: float = 20.0 / max(1.0, SPEED)
    patience_seconds: float = 5.0
    probe_seconds: float = 1.0
    unknown_seconds: float = 10.0
    first_backoff_seconds: float = 0.5
    longest_backoff_seconds: float = 30.0


class FeedFollower:
    """Keeps ``known`` as the feed tells, in a thread of its own, until it is stopped.

    Args:
        client: Asks the service.
        known: What is kept.
        settings: How often, how long.
        on_return: Called when the service answers again.

    Attributes:
        has_heard: Set once the feed has been asked, with or without success.
        is_stopping: Set to end it.
    """

    def __init__(
        self,
        client: FeedClient[Any],
        known: KnownRules[Any, Any],
        settings: FollowSettings,
        on_return: Callable[[], None],
    ) -> None:
        self._client = client
        self._known = known
        self._settings = settings
        self._on_return = on_return
        self._gone_since: float | None = None
        self.has_heard = threading.Event()
        self.is_stopping = threading.Event()

    def start(self) -> None:
        """Begin; the thread keeps no process alive."""
        threading.Thread(target=self._run, name="rules feed", daemon=True).start()

    def _run(self) -> None:
        backoff = self._settings.first_backoff_seconds
        while not self.is_stopping.is_set():
            try:
                self._turn()
            except Exception as error:  # a thread that ends leaves rules that nobody renews
                if self.is_stopping.is_set():
                    return
                self._note_failure(error)
                self.has_heard.set()
                self.is_stopping.wait(jittered(backoff, random.random))
                backoff = min(2 * backoff, self._settings.longest_backoff_seconds)
            else:
                backoff = self._settings.first_backoff_seconds

    def _turn(self) -> None:
        """Ask once and take in what came.

        Raises:
            ServiceGoneError: when something of it could not be asked; all is told again.
        """
        known = self._known
        generation, state = known.generation, known.state
        if state is None:
            self._begin_anew("nothing is known yet")
            return
        began = time.monotonic()
        wait = self._settings.poll_seconds if self._is_well else 0.0
        try:
            answer = self._client.changes(state.position, wait)
        except OutOfRangeError as error:
            self._begin_anew(str(error))
            return
        if answer.database_id != state.database_id:
            self._begin_anew("it is another database")
            return
        stale = known.note(answer.changes, generation)
        for first in range(0, len(stale), MAX_IDS):
            self._renew(stale[first : first + MAX_IDS], generation)
        may_be_more = len(answer.changes) >= MAX_IDS
        known.commit(answer.position, None if may_be_more else answer.answered_at, generation)
        if not may_be_more:
            self._note_success()
        if wait and not answer.changes and time.monotonic() - began < _MIN_TURN_SECONDS:
            self.is_stopping.wait(_MIN_TURN_SECONDS)

    def _renew(self, property_ids: list[int], generation: int) -> None:
        answer = self._client.lookup([], property_ids, _LOOKUP_SECONDS)
        for problem in answer.broken:
            _LOG.error("a property of %s cannot be read: %s", self._client.url, problem)
        again = self._known.take_properties(property_ids, answer, generation, is_refresh=True)
        if again:
            raise ServiceGoneError(
                f"{self._client.url} told of changes that a lookup does not show, such as of "
                f"property {again[0]}"
            )

    def _begin_anew(self, why: str) -> None:
        generation, state = self._known.generation, self._known.state
        answer = self._client.lookup([], [], _LOOKUP_SECONDS)
        if state is not None:
            _LOG.warning("all rules are forgotten and asked for again: %s", why)
        self._known.begin(answer, generation)
        self._note_success()

    @property
    def _is_well(self) -> bool:
        return self._gone_since is None and self.has_heard.is_set()

    def _note_failure(self, error: Exception) -> None:
        if self._gone_since is not None:
            return
        self._gone_since = time.monotonic()
        is_expected = isinstance(error, ServiceGoneError)
        _LOG.error(
            "the changes of rules cannot be followed, going on with the last ones: %s",
            error, exc_info=None if is_expected else error,
        )  # fmt: skip

    def _note_success(self) -> None:
        if self._gone_since is not None:
            seconds = time.monotonic() - self._gone_since
            _LOG.warning("the changes of rules are followed again, after %.0f s", seconds)
            self._gone_since = None
            self._on_return()
        self.has_heard.set()
