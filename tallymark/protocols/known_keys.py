"""Known keys: which of some keys, if any, each of a million spans of bytes spells."""

from collections.abc import Sequence
from itertools import count
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tallymark.protocols.octets import WORD_BYTES, Octets, Places, Words

UNKNOWN: Final = -1
_SLOT_BITS: Final = 12
_MIXER: Final = 0x9E3779B97F4A7C15


class KnownKeys:
    """Some keys, found by their first eight bytes and their length, then compared to the last byte.

    Args:
        names: Their order gives them their codes.

    Raises:
        ValueError: when two keys have the same length and the same first eight bytes.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        spelled = [name.encode() for name in names]
        if len({(len(key), key[:WORD_BYTES]) for key in spelled}) < len(spelled):
            raise ValueError(
                f"known keys of one length: expected them to differ in their first {WORD_BYTES} "
                f"bytes, got {', '.join(self.names)}"
            )
        self._lengths: Places = np.array([len(key) for key in spelled], dtype=np.int64)
        self._width = -(-int(self._lengths.max()) // WORD_BYTES)
        padded = b"".join(key.ljust(self._width * WORD_BYTES, b"\0") for key in spelled)
        self._words: Words = np.frombuffer(padded, "<u8").reshape(-1, self._width)
        self._factor, self._slots = self._placed()

    def _placed(self) -> tuple[np.uint64, NDArray[np.int16]]:
        """A factor that gives each key a slot of its own, and the key in each slot."""
        slots = np.zeros(1 << _SLOT_BITS, dtype=np.int16)  # what is in no slot matches no key
        for turn in count(1, 2):
            factor = np.uint64(_MIXER * turn % 2**64)
            placed = _slots(self._words[:, 0], self._lengths, factor)
            if len(np.unique(placed)) == len(placed):
                slots[placed] = np.arange(len(placed))
                return factor, slots
        raise AssertionError("count() has no end")

    def codes(self, octets: Octets, begins: Places, lengths: Places) -> NDArray[np.int16]:
        """The code of the key that each span spells; else ``UNKNOWN``."""
        first = octets.words(begins, lengths)
        found = self._slots[_slots(first, lengths, self._factor)]
        is_same = (self._words[:, 0][found] == first) & (self._lengths[found] == lengths)
        for number in range(1, self._width):
            at = number * WORD_BYTES
            longer = np.flatnonzero(is_same & (lengths > at))
            word = octets.words(begins[longer] + at, lengths[longer] - at)
            is_same[longer] = self._words[:, number][found[longer]] == word
        return np.where(is_same, found, np.int16(UNKNOWN))

    def codes_of(self, texts: pl.Series) -> NDArray[np.int16]:
        """The code of the key that each text is; else ``UNKNOWN``."""
        known = pl.Series(range(len(self.names)), dtype=pl.Int16)
        return texts.replace_strict(
            pl.Series(self.names), known, default=UNKNOWN, return_dtype=pl.Int16
        ).to_numpy()


def _slots(first: Words, lengths: Places, factor: np.uint64) -> Places:
    mixed = (first ^ lengths.astype(np.uint64)) * factor
    return (mixed >> np.uint64(64 - _SLOT_BITS)).astype(np.int64)
