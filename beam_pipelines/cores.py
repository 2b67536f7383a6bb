"""Cores: work on frames, shared out in threads.

A runner may well give a process one thread only, as the DirectRunner does. Polars and NumPy let
go of the interpreter's lock while they compute, so that parts of a large frame are worked on at
once.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import polars as pl

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def count() -> int:
    """How many cores the machine has."""
    return os.cpu_count() or 1


def shares(rows: pl.DataFrame, least: int) -> list[pl.DataFrame]:
    """A slice of ``rows`` for each core, none with fewer than ``least``: its calls would cost more
    than its rows."""
    wanted = min(count(), rows.height // least)
    if wanted < 2:
        return [rows]
    return list(rows.iter_slices(-(-rows.height // wanted)))


def in_parallel(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """``work`` on each item, in the order of the items.

    Raises:
        Exception: the first that ``work`` raised.
    """
    if len(items) < 2 or count() == 1:
        return [work(item) for item in items]
    return list(_threads().map(work, items))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=count(), thread_name_prefix="cores")
