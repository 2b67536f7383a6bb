"""Properties of the configuration service: those that hits have named, kept as its feed tells.

No hit waits: what is not known is asked for by a thread, and until then nothing is known against
it. What a worker knew before it was started anew lies on disk.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from collector.known_streams import KnownOwner, KnownStream, digest_of, read_owner
from collector.stream_memory import StreamMemory, Streams
from stores.rules_cache.circuit import jittered
from stores.rules_cache.feed_client import MAX_IDS, FeedClient, OutOfRangeError, ServiceGoneError
from stores.rules_cache.feed_follower import FeedFollower, FollowSettings
from stores.rules_cache.ids import UnknownIds
from stores.rules_cache.known_rules import KnownRules
from stores.rules_cache.opening import ServicePlace, open_copy
from stores.rules_cache.rules_copy import RulesCopy
from tallymark.secret_verdicts import HASHED, VALID

MAX_WANTED: Final = 10_000
"""More ids are not asked for at a time: who makes them up fills nothing but this."""
MAX_WAITING: Final = 4
"""Of the threads that answer so many may wait, the others are there for hits."""
_SOON_SECONDS: Final = 0.5
_GATHER_SECONDS: Final = 0.01
_LOOKUP_SECONDS: Final = 5.0
_LOG: Final = logging.getLogger(__name__)


class FollowedProperties:
    """Data streams as the configuration service has them.

    Args:
        client: Closed with this.
        copy: What was known before, on disk; closed with this.
        clock: UTC µs.
        settings: How the service is followed.
    """

    def __init__(
        self,
        client: FeedClient[KnownOwner],
        copy: RulesCopy | None,
        clock: Callable[[], int],
        settings: FollowSettings,
    ) -> None:
        self._clock = clock
        self._client = client
        self._settings = settings
        self._memory = StreamMemory(settings.max_properties)
        self._streams = self._memory.streams
        self._unknown = UnknownIds(time.monotonic, settings.unknown_seconds)
        self._known: KnownRules[KnownOwner, Streams] = KnownRules(
            self._memory, copy, read=read_owner, unknown=self._unknown
        )
        self._wanted: dict[str, None] = {}
        self._unreadable = UnknownIds(time.monotonic, settings.unknown_seconds)
        self._is_wanted = threading.Event()
        self._is_back = threading.Event()
        self._told = threading.Condition()
        self._waiting = threading.Semaphore(MAX_WAITING)
        self._is_gone = False
        self._follower = FeedFollower(client, self._known, settings, self._is_back.set)
        self._follower.start()
        threading.Thread(target=self._ask_on, name="unknown ids", daemon=True).start()

    def __len__(self) -> int:
        """How many properties are held."""
        return len(self._memory)

    def refresh(self) -> None:
        """The feed tells of changes by itself."""

    def find(self, measurement_id: str) -> KnownStream | None:
        """The data stream, if it is held; else it is asked for, by and by."""
        stream = self._streams.get(measurement_id)
        if stream is not None:
            stream.used_at = self._memory.time
        elif (
            measurement_id not in self._wanted
            and len(self._wanted) < MAX_WANTED
            and measurement_id not in self._unknown
            and measurement_id not in self._unreadable
        ):
            self._wanted[measurement_id] = None
            self._is_wanted.set()
        return stream

    def find_soon(self, measurement_id: str) -> KnownStream | None:
        """The same; waited for half a second at most, while the service answers."""
        if not self._is_open(measurement_id) or not self._waiting.acquire(blocking=False):
            return self.find(measurement_id)
        try:
            with self._told:
                self._told.wait_for(lambda: not self._is_open(measurement_id), _SOON_SECONDS)
        finally:
            self._waiting.release()
        return self.find(measurement_id)

    def is_unknown(self, measurement_id: str) -> bool:
        """Whether no data stream has this id, as was said a moment ago."""
        return measurement_id in self._unknown

    def verdict(self, measurement_id: str, secret: str) -> str:
        """A secret that is not known here may have been made a moment ago: its hash is recorded."""
        digest, stream = digest_of(secret), self.find(measurement_id)
        is_valid = stream is not None and stream.accepts_secret(digest, self._clock())
        return VALID if is_valid else HASHED + digest

    def close(self) -> None:
        """Stop following; what was kept on disk stays."""
        self._follower.is_stopping.set()
        self._is_wanted.set()
        self._is_back.set()
        self._client.close()
        self._known.close()

    def _is_open(self, measurement_id: str) -> bool:
        """Whether an answer about the id is to be expected."""
        is_held = self.find(measurement_id) is not None
        return not (is_held or self._is_gone or measurement_id in self._unknown)

    def _ask_on(self) -> None:
        """Ask for what is wanted, until this is closed; in pauses that double while it fails."""
        self._follower.has_heard.wait(self._settings.patience_seconds)
        stopping, pause = self._follower.is_stopping, 0.0
        while not stopping.is_set():
            self._is_wanted.wait()
            stopping.wait(_GATHER_SECONDS)  # for others that are wanted just now
            self._is_wanted.clear()
            ids = list(self._wanted)[:MAX_IDS]
            try:
                again = self._ask(ids) if ids else []
            except Exception as error:  # a thread that ends leaves ids that nobody asks for
                if stopping.is_set():
                    return
                self._note_failure(error)
                pause = min(2 * pause or 0.1, self._settings.longest_backoff_seconds)
                self._is_back.clear()
                self._is_back.wait(jittered(pause, random.random))
                self._is_wanted.set()
                continue
            pause, self._is_gone = 0.0, False
            for one in set(ids).difference(again):
                self._wanted.pop(one, None)
            if self._wanted:
                self._is_wanted.set()
            with self._told:
                self._told.notify_all()

    def _ask(self, ids: list[str]) -> list[str]:
        """Those of the ids that have to be asked for again."""
        generation = self._known.generation
        missing = self._known.find(ids).missing  # some may be on disk
        if not missing:
            return []
        answer = self._client.lookup(missing, [], _LOOKUP_SECONDS)
        for problem in answer.broken:
            _LOG.error("a property of %s cannot be read: %s", self._client.url, problem)
        taken = self._known.take(missing, answer, generation)
        self._unreadable.add(taken.unreadable)
        return taken.missing

    def _note_failure(self, error: Exception) -> None:
        if not isinstance(error, ServiceGoneError | OutOfRangeError):
            _LOG.error("ids could not be asked for", exc_info=error)
        elif not self._is_gone:
            _LOG.error("properties cannot be looked up, going on with those known: %s", error)
        self._is_gone = True
        with self._told:
            self._told.notify_all()


def follow(place: ServicePlace, clock: Callable[[], int]) -> FollowedProperties:
    """The properties of the service at a place.

    Args:
        place: Where it is, and how much is kept.
        clock: UTC µs.
    """
    client = FeedClient(place.url, place.key_path, read_owner)
    settings = FollowSettings(max_properties=place.max_properties)
    return FollowedProperties(client, open_copy(place, "collector"), clock, settings)
