"""A cache of answers that cannot be stale: an answer is kept under all that it was computed from.

Its key holds the request, the days that it means now, the rules and pointers in force and the very
cells, byte by byte. Cells are read for each answer, so a cell that was written since, a pointer
that was turned or a day that was compacted makes another key. What a hit saves is to decode,
count, sort and write, which takes most of the time.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson
import polars as pl
import xxhash

from tallymark.reports.serving import Freshness

_LARGEST_SHARE: Final = 8
"""An answer larger than an eighth of the cache is not kept."""
_OVERHEAD_BYTES: Final = 500
"""About what an entry takes besides its answer."""


@dataclass(frozen=True)
class KeptAnswer:
    """An answer as it is kept.

    Attributes:
        body: Its document.
        freshness: Its receipt, as far as cells tell it.
    """

    body: bytes
    freshness: Freshness


class AnswerCache:
    """Answers, the ones last used, of one process. Threads may share it.

    Args:
        max_bytes: What all answers may take together; 0 keeps none.
        seed: Random: what visitors send is in cells, and must not be made to have equal keys.
    """

    def __init__(self, max_bytes: int, seed: int) -> None:
        self._max_bytes = max_bytes
        self._seed = seed
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, KeptAnswer] = OrderedDict()
        self._bytes = 0
        self.hits = 0
        self.misses = 0

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        return self._max_bytes > 0

    @property
    def size_bytes(self) -> int:
        """What the answers take."""
        return self._bytes

    def key(self, facts: Any, cells: Iterable[pl.DataFrame]) -> bytes:
        """The key of an answer.

        Args:
            facts: All but the cells that it depends on, as JSON.
            cells: Frames of cells, in an order that depends on nothing else.
        """
        digest = xxhash.xxh3_128(seed=self._seed)
        digest.update(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS))
        for frame in cells:
            sizes = frame.select(
                pl.col("row_key").bin.size(),
                pl.col("qualifier").bin.size(),
                pl.col("family").str.len_bytes(),
                pl.col("value").bin.size(),
                pl.col("version").cast(pl.UInt64),
            )
            digest.update(len(frame).to_bytes(8))  # sizes tell where each value ends
            for column in sizes:
                digest.update(column.to_numpy().tobytes())
            digest.update("".join(frame.get_column("family").to_list()).encode())
            for name in ("row_key", "qualifier", "value"):
                for value in frame.get_column(name).to_list():
                    digest.update(value)
        return bytes(digest.digest())

    def get(self, key: bytes) -> KeptAnswer | None:
        """The answer of a key, if it is kept."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                self.misses += 1
                return None
            self.hits += 1
            self._kept.move_to_end(key)
            return found

    def put(self, key: bytes, document: dict[str, Any], freshness: Freshness) -> None:
        """Keep an answer, and let go of those that were not used for longest."""
        body = orjson.dumps(document)
        if len(body) + _OVERHEAD_BYTES > self._max_bytes // _LARGEST_SHARE:
            return
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = KeptAnswer(body, freshness)
            self._bytes += len(body) + _OVERHEAD_BYTES
            while self._bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest.body) + _OVERHEAD_BYTES
