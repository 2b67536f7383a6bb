"""How long the calls of one request may take together, known to the stores that it asks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from stores.wide_rows.port import WideRowsUnavailableError

_UNTIL: ContextVar[float | None] = ContextVar("deadline", default=None)


class DeadlineExceededError(Exception):
    """The store is too slow: the time of a request is over."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let all calls of the block, in this thread, take so long together; an inner one replaces it.

    Raises:
        DeadlineExceededError: when one failed as the time was over.
    """
    until = time.monotonic() + seconds
    token = _UNTIL.set(until)
    try:
        yield
    except WideRowsUnavailableError as error:
        if time.monotonic() >= until:
            raise DeadlineExceededError(f"not answered within {seconds:g} s: {error}") from error
        raise
    finally:
        _UNTIL.reset(token)


def seconds_left(most: float) -> float:
    """How long a call may take that may take ``most`` by itself.

    Raises:
        WideRowsUnavailableError: when no time is left.
    """
    until = _UNTIL.get()
    if until is None:
        return most
    left = until - time.monotonic()
    if left <= 0:
        raise WideRowsUnavailableError("the time of the request is over")
    return min(most, left)
