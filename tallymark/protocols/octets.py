"""Octets: a column of text as one buffer of bytes, read eight at a time at any places at once.

NumPy finds, compares and cuts a million places in a buffer in the time in which an expression on
strings does a tenth of that, since no string is made before it is known to be wanted.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

WORD_BYTES: Final = 8
_PADDING: Final = "\0" * (2 * WORD_BYTES)  # a word may be read at, and one beyond, any place
_INLINE_BYTES: Final = 12
_PREFIX_BYTES: Final = 4
_REACH_BITS: Final = 30
"""A view reaches 2 ** 31 bytes of a buffer: a buffer begins at every 2 ** 30, and they overlap."""
_MASKS: Final = np.array(
    [(1 << 8 * count) - 1 for count in range(WORD_BYTES + 1)] + [0] * WORD_BYTES, dtype="<u8"
)
"""The mask of a length; of one below 0, which counts from the end, too."""

Places = NDArray[np.int64]
"""Offsets, or lengths, in bytes."""
Words = NDArray[np.uint64]
Views = NDArray[np.uint64]
"""Two words a text: its length and its first bytes; then its other bytes, or where they are."""


class Octets:
    """The bytes of a column of text without nulls, one row behind the other.

    Attributes:
        bytes: Those of all rows; some of padding follow.
        edges: Where each row begins, and where the last one ends.
    """

    def __init__(self, texts: pl.Series) -> None:
        padded = pl.concat([texts.rename(""), pl.Series([_PADDING])], rechunk=True)
        array = padded.to_arrow(compat_level=pl.CompatLevel.oldest())  # one buffer, not views
        _, edges, self._buffer = array.buffers()
        self.edges: Places = np.frombuffer(edges, np.int64)[array.offset :][: len(texts) + 1]
        self.bytes = np.frombuffer(self._buffer, np.uint8)
        # Overlapping words: one begins at each byte.
        self._words: Words = np.ndarray(
            len(self.bytes) - WORD_BYTES + 1, "<u8", self.bytes, strides=(1,)
        )

    def words(self, begins: Places, lengths: Places) -> Words:
        """The first eight bytes of each span, or all of a shorter one (then zeros).

        A length may be below 0, by eight at most: such a span has none.
        """
        words: Words = self._words[begins]
        words &= _MASKS[np.minimum(lengths, WORD_BYTES)]
        return words

    def views(self, begins: Places, lengths: Places) -> Views:
        """Arrow's string view of each span; spans hold whole characters."""
        views = np.empty((len(begins), 2), dtype="<u8")
        prefix = self.words(begins, np.minimum(lengths, _PREFIX_BYTES))
        views[:, 0] = lengths.astype(np.uint64) | prefix << np.uint64(32)
        rest = self.words(begins + _PREFIX_BYTES, lengths - _PREFIX_BYTES)
        offset, buffer = begins % (1 << _REACH_BITS), begins >> _REACH_BITS
        outside = offset.astype(np.uint64) << np.uint64(32) | buffer.astype(np.uint64)
        views[:, 1] = np.where(lengths <= _INLINE_BYTES, rest, outside)
        return views

    def texts(self, views: Views) -> pl.Series:
        """Views as text, empty where they are zero; what has more than twelve bytes is not
        copied."""
        buffers = [None, pa.py_buffer(np.ascontiguousarray(views)), *self._buffers()]
        return pl.Series(pa.Array.from_buffers(pa.string_view(), len(views), buffers))

    def _buffers(self) -> Iterator[pa.Buffer]:
        reach = 1 << _REACH_BITS
        for begin in range(0, self._buffer.size, reach):
            yield self._buffer.slice(begin, min(2 * reach - 1, self._buffer.size - begin))
