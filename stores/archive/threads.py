"""Threads that wait for the store: a durable write is waiting, and several may wait at once."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

THREADS: Final = 8
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def at_once(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """``work`` on each item, in the order of the items; ``work`` itself may not call this.

    Raises:
        Exception: the first that ``work`` raised.
    """
    return list(_threads().map(work, items))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="archive")
