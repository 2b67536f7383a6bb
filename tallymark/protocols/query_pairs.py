"""Query strings as pairs: cut in one buffer of bytes, and made text only where somebody asks."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tallymark.protocols.known_keys import UNKNOWN, KnownKeys
from tallymark.protocols.octets import Octets, Places, Views
from tallymark.protocols.percent import percent_decoded

PAIR_SCHEMA: Final = pl.Schema({"row": pl.UInt32, "key": pl.String, "value": pl.String})
"""A pair of a query string: of which row, the decoded key, the value as it was sent."""
_AND, _IS, _PERCENT, _PLUS = b"&=%+"
NOWHERE: Final = -1
_WINDOW_BYTES: Final = 1 << 19
"""Bytes that are cut at a time: these and what is found in them stay in a processor's cache."""

_NONE: Final = (
    np.empty(0, dtype=np.uint32),
    np.empty(0, dtype=np.int16),
    np.empty((0, 2), dtype="<u8"),
    np.empty((0, 2), dtype="<u8"),
    np.empty(0, dtype=np.bool_),
)
"""The columns of ``Pairs`` without rows."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of query strings, in order.

    Attributes:
        octets: What the views look at.
        keys: What ``codes`` count.
        rows: Number of the query string.
        codes: Of the key; ``UNKNOWN`` for one that was not asked for.
        names: The key as it was sent; nowhere unless pairs with other keys were kept.
        values: The value as it was sent.
        is_plain: False where the value may have to be decoded.
    """

    octets: Octets
    keys: KnownKeys
    rows: NDArray[np.uint32]
    codes: NDArray[np.int16]
    names: Views
    values: Views
    is_plain: NDArray[np.bool_]

    def frame(self, *, without: Collection[str]) -> pl.DataFrame:
        """``PAIR_SCHEMA`` of the pairs whose key is none of ``without``, which are known keys."""
        left_out = [code for code, name in enumerate(self.keys.names) if name in without]
        kept = np.flatnonzero(~np.isin(self.codes, left_out))
        return pl.DataFrame(
            {
                "row": self.rows[kept],
                "key": percent_decoded(self.octets.texts(self.names[kept])),
                "value": self.octets.texts(self.values[kept]),
            },
            schema_overrides=PAIR_SCHEMA,
        )


def pairs_of(queries: pl.Series, keys: KnownKeys, *, others: bool = False) -> Pairs:
    """The pairs of query strings; without those that have no key.

    Args:
        queries: Query strings without ``?``, not null.
        keys: Those asked for.
        others: Whether pairs with other keys are kept.
    """
    octets = Octets(queries + "&")  # so that every pair ends in one
    marks = np.arange(0, int(octets.edges[-1]) + _WINDOW_BYTES, _WINDOW_BYTES)
    edges = np.unique(np.searchsorted(octets.edges[:-1], marks))
    windows = [
        _window(octets, keys, int(first), int(beyond), others=others)
        for first, beyond in pairwise(edges)
    ]
    return Pairs(octets, keys, *map(np.concatenate, zip(_NONE, *windows, strict=True)))


def _window(
    octets: Octets, keys: KnownKeys, first: int, beyond: int, *, others: bool
) -> tuple[NDArray[Any], ...]:
    """What ``Pairs`` says of the rows from ``first`` on, to ``beyond``."""
    start = octets.edges[first]
    text = octets.bytes[start : octets.edges[beyond]]
    marks = np.flatnonzero((text == _AND) | (text == _IS) | (text == _PERCENT) | (text == _PLUS))
    kinds = text[marks]
    lasts = np.flatnonzero(kinds == _AND)
    firsts = np.concatenate([[0], lasts[:-1] + 1])
    cutting = _cutting(kinds, firsts)
    ends = marks[lasts] + start
    cuts = marks[cutting] + start
    begins = np.concatenate([[start], ends[:-1] + 1])
    codes = keys.codes(octets, begins, cuts - begins)
    escaped = np.flatnonzero(cutting > firsts)
    if len(escaped):
        sent = octets.texts(octets.views(begins[escaped], (cuts - begins)[escaped]))
        codes[escaped] = keys.codes_of(percent_decoded(sent))
    kept = np.flatnonzero((cuts > begins) if others else (codes != UNKNOWN))
    named = kept if others else kept[:0]
    counts = np.diff(np.searchsorted(ends, octets.edges[first : beyond + 1]))
    values = np.minimum(cuts + 1, ends)[kept]  # a pair without ``=`` ends where its key does
    return (
        np.repeat(np.arange(first, beyond, dtype=np.uint32), counts)[kept],
        codes[kept],
        octets.views(begins[named], (cuts - begins)[named]),
        octets.views(values, ends[kept] - values),
        (lasts - cutting)[kept] <= 1,
    )


def _cutting(kinds: NDArray[np.uint8], firsts: Places) -> Places:
    """The mark that ends the key of each pair: the first ``=``, or the ``&`` of one without."""
    ends_key = (kinds == _AND) | (kinds == _IS)
    found = firsts.copy()
    escaped = np.flatnonzero(~ends_key[firsts])
    if len(escaped):
        ending = np.flatnonzero(ends_key)
        found[escaped] = ending[np.searchsorted(ending, firsts[escaped])]
    return found


def columns_of(
    pairs: Pairs, columns: Mapping[str, tuple[str, ...]], height: int
) -> dict[str, pl.Series]:
    """The decoded value of each column in each of ``height`` rows, "" where it was not sent.

    Args:
        pairs: Of pairs with the same key in a row the first counts.
        columns: The keys of a column, all known; the first of them that was sent counts.
        height: How many rows the pairs are of.
    """
    places = first_places(pairs, height)
    return {
        column: values_at(pairs, [places[name] for name in names]).alias(column)
        for column, names in columns.items()
    }


def first_places(pairs: Pairs, height: int) -> dict[str, Places]:
    """For each known key, which pair is the first with it in each of ``height`` rows, or
    ``NOWHERE``."""
    names = pairs.keys.names
    places = np.full(len(names) * height, NOWHERE, dtype=np.int64)
    known = np.flatnonzero(pairs.codes != UNKNOWN)[::-1]
    # Of several assignments to one place the last one stays: backwards, that is the first pair.
    places[pairs.codes[known] * np.int64(height) + pairs.rows[known]] = known
    return dict(zip(names, places.reshape(len(names), height), strict=True))


def values_at(pairs: Pairs, candidates: list[Places]) -> pl.Series:
    """The decoded values of the pairs at the first of ``candidates`` that is somewhere, else ""."""
    place = candidates[0]
    for other in candidates[1:]:
        place = np.where(place == NOWHERE, other, place)
    is_sent = place != NOWHERE
    if not is_sent.any():
        return pl.Series([""]).new_from_index(0, len(place))
    views = np.take(pairs.values, place, axis=0)
    views[~is_sent] = 0
    values = pairs.octets.texts(views)
    return values if (pairs.is_plain[place] | ~is_sent).all() else percent_decoded(values)
