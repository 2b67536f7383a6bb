"""Decoded cells: what a read of one rollup says, a whole read parsed in one pass.

Only what a report needs is parsed: the columns and sets that are asked for.
"""

import codecs
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tallymark.aggregates import OTHER
from tallymark.cells import CHUNKED, DAY_KEY_SEPARATORS, unescaped
from tallymark.rollups import Rollup
from tallymark.row_keys import SEPARATOR

_SEPARATOR: Final = SEPARATOR.encode()
_PROPERTY_PART: Final = 1
_LINEAGE_PART: Final = 4
_CHUNK_MARK: Final = -24
"""Where the last separator stands in the key of a chunk: 20 digits of the slot and 3 follow."""
_QUALIFIER: Final = np.dtype([("start", ">u8"), ("minutes", ">u2")])

_Cell = tuple[bytes, bytes, int, bytes]
"""Row key, qualifier, version, value."""


@dataclass(frozen=True)
class DecodedCells:
    """What a read of one rollup says.

    Attributes:
        numbers: ``row`` (UInt32, over the whole read), ``property_id``, ``lineage``,
            ``slot_start`` (UTC µs), ``slot_minutes``, keys (String), sums (Int64).
        sets: ``row``, ``measure`` (Enum), ``hash`` (UInt64).
        has_other_row: Whether some rows were folded into one whose keys are all ``(other)``, but
            for the key within which they count.
        weights: Of measures whose members do not count one each: what each member counts, which
            is then named by its place in here.
    """

    numbers: pl.DataFrame
    sets: pl.DataFrame
    has_other_row: bool = False
    weights: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)


def base_key(row_key: bytes) -> bytes:
    """The row of a cell, from its own key or that of one of its chunks."""
    return row_key[:_CHUNK_MARK] if _is_of_chunk(row_key) else row_key


def _is_of_chunk(key: bytes) -> bool:
    return key[_CHUNK_MARK] == _SEPARATOR[0] and key.count(_SEPARATOR) > DAY_KEY_SEPARATORS


class ChunksChangedError(Exception):
    """A flush replaced a chunked cell between the reads of its parts; read again."""


def decode(
    rollup: Rollup,
    cells: pl.DataFrame,
    *,
    with_sets: bool = True,
    only: Collection[str] | None = None,
) -> DecodedCells:
    """The rows of the cells of one rollup, in one pass.

    Args:
        rollup: Of all the cells.
        cells: A cell frame in any order.
        with_sets: Whether sets are decoded at all.
        only: Names of the keys, sums and sets that are wanted; the numbers then have these,
            ``row`` and ``slot_start``. ``None`` wants everything.

    Raises:
        ValueError: when a cell was written under another schema number.
        ChunksChangedError: when the chunks of a cell are not all of its version.
    """
    numbers, sets = _whole_cells(cells)
    numbers.sort()
    bodies = _bodies(rollup, [value for *_, value in numbers])
    counts = np.array([body.count(b"\n") + 1 if body else 0 for body in bodies], dtype=np.int64)
    text = b"\n".join([body for body in bodies if body])
    columns = _place_columns(numbers, counts, has_all=only is None)
    frame = pl.DataFrame(columns).hstack(_parsed(rollup, text, only))
    return DecodedCells(
        numbers=frame,
        sets=_decode_sets(rollup, *_held_sets(numbers, counts, sets if with_sets else []), only),
        has_other_row=_has_other_row(rollup, text),
    )


def _held_sets(
    numbers: Sequence[_Cell], counts: npt.NDArray[np.int64], sets: Sequence[_Cell]
) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """Values of sets whose numbers were read too, and the first row of each."""
    if not sets:
        return [], np.zeros(0, np.int64)
    first_row = (np.cumsum(counts) - counts).tolist()
    first_rows = {
        (key, qualifier): row for (key, qualifier, *_), row in zip(numbers, first_row, strict=True)
    }
    held = [
        (value, first_rows[key, qualifier])
        for key, qualifier, _, value in sets
        if (key, qualifier) in first_rows
    ]
    return [value for value, _ in held], np.array([row for _, row in held], dtype=np.int64)


def _whole_cells(cells: pl.DataFrame) -> tuple[list[_Cell], list[_Cell]]:
    """The cells of numbers and those of sets, chunks joined."""
    chunks: dict[tuple[bytes, str], tuple[int, bytes]] = {}
    found: dict[str, list[_Cell]] = {"n": [], "u": []}
    for key, family, qualifier, version, value in zip(*_lists(cells), strict=True):
        if _is_of_chunk(key):
            chunks[key, family] = version, value
        else:
            found[family].append((key, qualifier, version, value))
    for family, whole in found.items():
        for index, (key, qualifier, version, value) in enumerate(whole):
            if value.startswith(CHUNKED):
                joined = _joined(key + _SEPARATOR + qualifier.hex().encode(), value, chunks, family)
                if any(part_version != version for part_version, _ in joined):
                    raise ChunksChangedError(key.decode())
                whole[index] = key, qualifier, version, b"".join(part for _, part in joined)
    return found["n"], found["u"]


def _lists(cells: pl.DataFrame) -> list[list[Any]]:
    names = ("row_key", "family", "qualifier", "version", "value")
    return [cells.get_column(name).to_list() for name in names]


def _joined(
    prefix: bytes, value: bytes, chunks: dict[tuple[bytes, str], tuple[int, bytes]], family: str
) -> list[tuple[int, bytes]]:
    """Versions and contents of the chunks that a value names; −1 for one that is missing."""
    count = int(value[len(CHUNKED) :])
    return [chunks.get((prefix + b"%03d" % index, family), (-1, b"")) for index in range(count)]


def _bodies(rollup: Rollup, values: Sequence[bytes]) -> list[bytes]:
    """The lines of each cell, without the schema number in front."""
    head = f"{rollup.number}\n".encode()
    size = len(head)
    other = {value[:size] for value in values} - {head, head[:-1]}
    if other:
        raise ValueError(f"{rollup.name}: expected schema {rollup.number}, got {min(other)!r}")
    return [value[size:] for value in values]


def _place_columns(
    numbers: Sequence[_Cell], counts: npt.NDArray[np.int64], *, has_all: bool
) -> dict[str, Any]:
    """Where rows lie: columns of row number, slot and, if all are wanted, owner and lineage."""
    record = np.frombuffer(b"".join([qualifier for _, qualifier, *_ in numbers]), _QUALIFIER)
    rows = pl.Series(np.arange(counts.sum(), dtype=np.uint32))
    starts = np.repeat(record["start"].astype(np.int64), counts)
    if not has_all:
        return {"row": rows, "slot_start": starts}
    parts = [key.split(_SEPARATOR) for key, *_ in numbers]
    owners = np.array([int(part[_PROPERTY_PART]) for part in parts], dtype=np.int64)
    lineages = pl.Series([part[_LINEAGE_PART].decode() for part in parts], dtype=pl.String)
    return {
        "row": rows,
        "property_id": np.repeat(owners, counts),
        "lineage": lineages.gather(np.repeat(np.arange(len(numbers), dtype=np.uint32), counts)),
        "slot_start": starts,
        "slot_minutes": np.repeat(record["minutes"].astype(np.int32), counts),
    }


def _parsed(rollup: Rollup, text: bytes, only: Collection[str] | None) -> pl.DataFrame:
    schema = pl.Schema(
        [(key, pl.String()) for key in rollup.keys] + [(name, pl.Int64()) for name in rollup.sums]
    )
    wanted = [name for name in schema if only is None or name in only]
    if not text or not wanted:
        return pl.DataFrame(schema={name: schema[name] for name in wanted})
    # The parser drops one byte order mark at the beginning, so that the first key may be one.
    frame = pl.read_csv(
        codecs.BOM_UTF8 + text,
        has_header=False,
        separator="\t",
        quote_char=None,
        schema=schema,
        columns=[schema.names().index(name) for name in wanted],
        eol_char="\n",
    )
    keys = [name for name in wanted if name in rollup.keys]
    if b"\\" in text:
        return frame.with_columns(unescaped(pl.col(name).fill_null("")) for name in keys)
    holed = [name for name in keys if frame.get_column(name).null_count()]
    return frame.with_columns(pl.col(name).fill_null("") for name in holed) if holed else frame


def _has_other_row(rollup: Rollup, text: bytes) -> bool:
    if rollup.within:  # the first key, whose values each have such a row
        return b"\t" + (OTHER.encode() + b"\t") * (len(rollup.keys) - 1) in text
    line = (OTHER.encode() + b"\t") * len(rollup.keys)
    return bool(line) and (text.startswith(line) or b"\n" + line in text)


def _decode_sets(
    rollup: Rollup,
    values: Sequence[bytes],
    first_rows: npt.NDArray[np.int64],
    only: Collection[str] | None,
) -> pl.DataFrame:
    """The members of the wanted sets; all values are looked through as one array of words."""
    wanted = [name for name in rollup.uniques if only is None or name in only]
    measure_names = pl.Enum(rollup.uniques)
    if not values or not wanted:
        schema = {"row": pl.UInt32(), "measure": measure_names, "hash": pl.UInt64()}
        return pl.DataFrame(schema=schema)
    buffer = b"".join(values)
    words, hashes = np.frombuffer(buffer, "<u4"), np.frombuffer(buffer, "<u8")
    sizes = np.array([len(value) // 4 for value in values])
    starts = np.cumsum(sizes) - sizes
    if (words[starts] != rollup.number).any():
        got = words[starts][words[starts] != rollup.number][0]
        raise ValueError(f"{rollup.name}: expected schema {rollup.number}, got {got}")
    rows, measures = words[starts + 1].astype(np.int64), len(rollup.uniques)
    cell_sets = rows * measures
    lengths = words[_ranges(starts + 4, cell_sets)].astype(np.int64)
    head_words = 4 + cell_sets + cell_sets % 2
    before = np.cumsum(lengths) - lengths
    first_sets = np.cumsum(cell_sets) - cell_sets
    base = (starts + head_words) // 2 - np.append(before, 0)[first_sets]
    set_starts = before + np.repeat(base, cell_sets)
    row_numbers = _ranges(first_rows, rows)
    parts = []
    for name in wanted:
        mine = slice(rollup.uniques.index(name), None, measures)
        row = np.repeat(row_numbers.astype(np.uint32), lengths[mine])
        measure = pl.Series("measure", [name], dtype=measure_names).new_from_index(0, len(row))
        members = pl.Series("hash", hashes[_ranges(set_starts[mine], lengths[mine])])
        parts.append(pl.DataFrame([pl.Series("row", row), measure, members]))
    return pl.concat(parts) if len(parts) > 1 else parts[0]


def _ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The numbers of all ranges [start, start + length), one after the other."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)
