"""Superseded files: others stand for them, and readers that know them by name may still come.

Each list of them, ``retention/superseded/INSTANT.json``, is written before anything changes; what
it names is deleted a day later, unless a manifest names it again.
"""

from collections.abc import Callable, Collection
from typing import Final

import orjson
import xxhash

from stores.archive.port import Objects
from stores.archive.removed_hours import RETENTION
from tallymark.slots import DAY_US

_LISTS: Final = f"{RETENTION}superseded/"
READERS_US: Final = DAY_US
"""A replay that has begun has read its files by then."""


def note_superseded(objects: Objects, names: Collection[str], now_us: int) -> None:
    """Note that files are about to be stood for by others."""
    if names:
        content = orjson.dumps(sorted(names))
        digest = xxhash.xxh3_64_hexdigest(content)
        objects.put(f"{_LISTS}{now_us:020d}-{digest}.json", content)


def has_superseded(objects: Objects) -> bool:
    """Whether files wait for being deleted."""
    return bool(objects.names(_LISTS))


def delete_superseded(objects: Objects, now_us: int, is_named: Callable[[str], bool]) -> int:
    """Delete those that were noted a day ago; how many.

    Args:
        objects: The archive.
        now_us: UTC µs.
        is_named: Whether a manifest names a file now.
    """
    count = 0
    for name in objects.names(_LISTS):
        if int(name.removeprefix(_LISTS).partition("-")[0]) + READERS_US > now_us:
            continue
        for file in orjson.loads(objects.get(name)):
            if not is_named(file):
                objects.delete(file)
                count += 1
        objects.delete(name)
    return count
