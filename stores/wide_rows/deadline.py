"""How long stores may take for one request, however many calls it makes.

Only time that is spent in a store counts: who computes for long between two calls does not find the
store too slow.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from stores.wide_rows.port import WideRowsUnavailableError


@dataclass
class _Time:
    """What is left of a request's time, in seconds."""

    left: float


_TIME: ContextVar[_Time | None] = ContextVar("time of the request", default=None)


class DeadlineExceededError(WideRowsUnavailableError):
    """The store is too slow: the time of a request is over."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let all calls of the block, in this thread, take so long together; an inner one replaces it.

    Raises:
        DeadlineExceededError: when one failed as the time was over.
    """
    of_request = _Time(seconds)
    token = _TIME.set(of_request)
    try:
        yield
    except WideRowsUnavailableError as error:
        if of_request.left > 0 or isinstance(error, DeadlineExceededError):
            raise
        raise DeadlineExceededError(f"not answered within {seconds:g} s: {error}") from error
    finally:
        _TIME.reset(token)


@contextmanager
def spending(most_seconds: float) -> Iterator[float]:
    """A call of a store that may take ``most_seconds`` by itself; yields what it may take now.

    Raises:
        WideRowsUnavailableError: when no time is left.
    """
    of_request = _TIME.get()
    if of_request is None:
        yield most_seconds
        return
    if of_request.left <= 0:
        raise WideRowsUnavailableError("the time of the request is over")
    began = time.monotonic()
    try:
        yield min(most_seconds, of_request.left)
    finally:
        of_request.left -= time.monotonic() - began
