"""Allocators: how soon what holds frames gives memory back, told before Polars is loaded.

A page that was given back costs four microseconds to have again, and frames of many megabytes come
and go with every bundle.
"""

import os
from typing import Final

SPARING: Final = {
    "_RJEM_MALLOC_CONF": "narenas:2,dirty_decay_ms:500,muzzy_decay_ms:0",
    "MIMALLOC_PURGE_DELAY": "0",
}
"""Polars and Arrow give memory back soon: a seventh less at the peak of a replay."""
KEEPING: Final = {"_RJEM_MALLOC_CONF": "narenas:2,dirty_decay_ms:10000,muzzy_decay_ms:10000"}
"""Polars keeps for ten seconds what the next bundle wants: a third less time in the kernel."""


def keep() -> None:
    """Let this process keep memory, unless its environment says otherwise; before Polars loads."""
    for name, value in KEEPING.items():
        os.environ.setdefault(name, value)
