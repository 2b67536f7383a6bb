"""Requests that processing fails on: found by halves and set aside, so that the rest is counted.

What fails because of what a request holds is a dead letter. What fails for another reason (no
memory, an unreadable file, rules that cannot be had, code that fails on everything) still stops
the job: going on would throw away what there is nothing wrong with.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final
from zoneinfo import ZoneInfoNotFoundError

import polars as pl

from beam_pipelines.cores import in_parallel, shares
from stores.rules_cache.port import RulesUnavailableError, UnaskedIdsError
from tallymark.dead_letters import dead_letters
from tallymark.doubts import doubtful
from tallymark.hits import HIT_SCHEMA
from tallymark.pointer_map import FOR_EVER
from tallymark.processing import Processed, process_requests
from tallymark.rules import Claimed, claimed

LOG = logging.getLogger(__name__)
MAX_FAILED: Final = 100
"""So many requests of a bundle may fail; more, and it is the code that is broken."""
MAX_FAILED_SHARE: Final = 0.01
"""A process that failed on more than ``MAX_FAILED`` requests, and this share of all, is broken."""
MIN_PART_REQUESTS: Final = 10_000
"""Fewer requests are not shared out among the cores."""
MAX_DETAIL_CHARACTERS: Final = 500
STEP: Final = "process"
REASON: Final = "failed"

PropertiesOf = Callable[[list[str]], pl.DataFrame]


class BrokenProcessingError(RuntimeError):
    """So much fails that it is not the requests' fault."""


_NOT_OF_DATA: Final = (
    MemoryError,
    OSError,
    ImportError,
    ZoneInfoNotFoundError,
    RulesUnavailableError,
)
# A panic of Polars is no Exception to Python.
_OF_DATA: Final = (Exception, pl.exceptions.PanicException)

Process = Callable[[pl.DataFrame, PropertiesOf], Processed]
_Failed = list[tuple[pl.DataFrame, BaseException]]


def without_params(
    requests: pl.DataFrame,
    properties_of: PropertiesOf,
    *,
    valid_through: int = FOR_EVER,
    doubts: list[pl.DataFrame] | None = None,
) -> Processed:
    """What streaming counts of requests.

    Hits of ids that could not be asked for become dead letters: anybody can make an id up, so
    waiting for an answer would let him stop what is counted of all others. They are counted when
    their hour is sealed, by a replay, which does wait.

    Args:
        requests: ``REQUEST_SCHEMA``.
        properties_of: Rules of the measurement ids it is given (``PROPERTY_SCHEMA``).
        valid_through: UTC µs through which it knows all versions, unless nobody cares.
        doubts: Takes what of hits may be processed with the wrong one (``doubtful``).
    """
    unasked: list[str] = []

    def known(measurement_ids: list[str]) -> pl.DataFrame:
        try:
            return properties_of(measurement_ids)
        except UnaskedIdsError as error:
            unasked.extend(error.unasked)
            return error.known

    def claim(hits: pl.DataFrame, properties: pl.DataFrame) -> Claimed:
        found = doubtful(hits, properties, valid_through, unasked)
        if doubts is not None and not found.is_empty():
            doubts.append(found)
        return claimed(hits, properties, unasked)

    return process_requests(requests, known, with_params=False, claim=claim)


def process_what_can_be(
    requests: pl.DataFrame,
    properties_of: PropertiesOf,
    process: Process = without_params,
) -> tuple[Processed, int]:
    """``process_requests``, but a request that makes it raise becomes a dead letter.

    The cores share large frames. What fails is tried again by halves: about 2·log₂(n) tries for
    each failing request.

    Args:
        requests: ``REQUEST_SCHEMA``.
        properties_of: Rules of the measurement ids it is given (``PROPERTY_SCHEMA``).
        process: ``process_requests`` with what it is to be told.

    Returns:
        What the requests come to, and how many failed.

    Raises:
        BrokenProcessingError: when more than ``MAX_FAILED`` requests fail.
        RulesUnavailableError: when ``properties_of`` raises.
    """
    parts = shares(requests, MIN_PART_REQUESTS)
    tried = in_parallel(lambda part: _tried(part, properties_of, process), parts)
    done = [processed for some, _ in tried for processed in some]
    failed = [failure for _, some in tried for failure in some]
    if len(failed) > MAX_FAILED:
        raise _too_many_failed() from failed[0][1]
    _log(failed)
    return _joined(done, failed), len(failed)


def _tried(
    requests: pl.DataFrame, properties_of: PropertiesOf, process: Process
) -> tuple[list[Processed], _Failed]:
    """What can be processed, in order, and what cannot."""
    done: list[Processed] = []
    failed: _Failed = []
    waiting = [requests]
    while waiting:
        part = waiting.pop()
        try:
            done.append(process(part, _asking(properties_of)))
        except _NOT_OF_DATA:
            raise
        except _OF_DATA as error:
            if part.is_empty():
                raise
            if part.height == 1:
                failed.append((part, error))
            else:
                if part is requests:
                    LOG.warning("%d requests failed together, trying halves: %r", len(part), error)
                half = part.height // 2
                waiting += [part[half:], part[:half]]
            if len(failed) > MAX_FAILED:
                raise _too_many_failed() from error
    return done, failed


def _asking(properties_of: PropertiesOf) -> PropertiesOf:
    def ask(measurement_ids: list[str]) -> pl.DataFrame:
        try:
            return properties_of(measurement_ids)
        except RulesUnavailableError:
            raise
        except Exception as error:
            raise RulesUnavailableError(f"the rules could not be asked: {error!r}") from error

    return ask


def _too_many_failed() -> BrokenProcessingError:
    return _broken(f"more than {MAX_FAILED} requests of one bundle failed")


def _broken(what: str) -> BrokenProcessingError:
    return BrokenProcessingError(
        f"{what}: the code is broken, not the requests; stopping before all become dead letters. "
        "Nothing is lost: mend the code and start again"
    )


def _log(failed: _Failed) -> None:
    if failed:
        request, error = failed[0]
        LOG.error(
            "%d requests cannot be processed and become dead letters, step %r, reason %r; "
            "request %s, the first of them, failed with:",
            len(failed), STEP, REASON, request.item(0, "request_id"), exc_info=error,
        )  # fmt: skip


def _joined(done: list[Processed], failed: _Failed) -> Processed:
    if len(done) == 1 and not failed:
        return done[0]
    letters = [part.dead_letters for part in done]
    ids = pl.Series(
        "request_id", [request.item(0, "request_id") for request, _ in failed], pl.String
    )
    return Processed(
        hits=pl.concat([HIT_SCHEMA.to_frame(), *(part.hits for part in done)]),
        dead_letters=pl.concat([*letters, *(_letter(*failure) for failure in failed)]),
        entered=pl.concat([ids, *(part.entered for part in done)]),
        rejected=pl.concat([ids, *(part.rejected for part in done)]),
    )


def _letter(request: pl.DataFrame, error: BaseException) -> pl.DataFrame:
    message = f"expected processing to go through, got {type(error).__name__}: {error}"
    detail = message[:MAX_DETAIL_CHARACTERS].encode(errors="replace").decode()
    rejected = request.select("request_id", reason=pl.lit(REASON), detail=pl.lit(detail))
    return dead_letters(rejected, request, STEP)


class FailureTally:
    """How many requests this process took and how many it failed on; safe among threads.

    Bundles may be small: code that fails on everything shows only over many of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = 0
        self.failed = 0

    def add(self, requests: int, failed: int) -> None:
        """Count a bundle.

        Raises:
            BrokenProcessingError: when more than ``MAX_FAILED`` requests have failed since the
                process started, and more than ``MAX_FAILED_SHARE`` of all.
        """
        with self._lock:
            self.requests += requests
            self.failed += failed
            if failed and self.failed > max(MAX_FAILED, MAX_FAILED_SHARE * self.requests):
                raise _broken(f"{self.failed} of {self.requests} requests failed")
