"""The stored cells, read straight from the SQLite file and decoded from the documented layout.

Nothing of the project is imported: the layout is restated here, so that a change of it which would
make stored reports unreadable does not pass unseen.
"""

import sqlite3
import struct
from dataclasses import dataclass
from pathlib import Path

CHUNKED = b"\x00chunks "
DAY_KEY_PARTS = 6  # hash, property, rollup, day, lineage, sub-shard; a chunk's key has one more
_ESCAPES = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


@dataclass(frozen=True)
class Layout:
    """What a rollup's cells hold: schema number, keys, sums, and sets of the k least hashes."""

    number: int
    keys: tuple[str, ...]
    sums: tuple[str, ...]
    sets: tuple[str, ...]
    k: int = 1024


_SESSION_SUMS = (
    "events", "views", "engagement_ms", "key_events", "value_micros",
    "sessions", "engaged_sessions", "session_duration_ms",
)  # fmt: skip
_CLIENT_SETS = ("users", "active_users", "new_users")
LAYOUTS = {
    "totals": Layout(1, (), _SESSION_SUMS, _CLIENT_SETS, 4096),
    "acquisition": Layout(
        1, ("source", "medium", "campaign", "channel"), _SESSION_SUMS, _CLIENT_SETS
    ),
    "first_user": Layout(
        1,
        ("first_source", "first_medium", "first_campaign", "first_channel"),
        _SESSION_SUMS,
        _CLIENT_SETS,
    ),
    "visitors": Layout(1, ("new_vs_returning",), _SESSION_SUMS, _CLIENT_SETS, 4096),
    "landing": Layout(1, ("landing_host", "landing_page"), _SESSION_SUMS, _CLIENT_SETS),
    "technology": Layout(
        1, ("device_category", "browser", "operating_system"), _SESSION_SUMS, _CLIENT_SETS
    ),
    "pages": Layout(
        1,
        ("host", "path"),
        ("events", "views", "engagement_ms", "sessions", "entrances", "exits"),
        ("users",),
    ),
    "events": Layout(1, ("event_name",), ("events", "key_events", "value_micros"), ("users",)),
    "minutes": Layout(1, ("minute",), ("events", "views"), ("users",)),
    "custom": Layout(
        1,
        ("custom_name", "custom_value"),
        ("events", "views", "engagement_ms", "key_events", "value_micros", "sessions"),
        ("users",),
    ),
    "custom_events": Layout(
        1,
        ("custom_name", "custom_value", "event_name"),
        ("events", "key_events", "value_micros"),
        ("users",),
    ),
    "custom_amounts": Layout(
        1, ("custom_name", "event_name"), ("events", "amount_micros"), ("users",)
    ),
}

Slot = tuple[int, int, int]
"""Property id, start (UTC µs), minutes."""
Row = dict[str, int | frozenset[int]]
Rows = dict[tuple[str, ...], Row]
"""Keys of a row to its sums and sets."""
Cells = dict[str, dict[Slot, Rows]]
"""Rollup to slot to rows; cells without rows are left out."""

_Cell = tuple[bytes, str, bytes, int, bytes]


def read_cells(path: Path, lineage: str = "live-1") -> Cells:
    """All cells of one lineage.

    Raises:
        ValueError: when a value does not have the documented layout.
    """
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        stored: list[_Cell] = connection.execute(
            "SELECT row_key, family, qualifier, version, value FROM cells"
            " WHERE row_key < CAST('~' AS BLOB) ORDER BY row_key, family, qualifier"
        ).fetchall()
    finally:
        connection.close()
    mine = [cell for cell in stored if cell[0].split(b"#")[4:5] == [lineage.encode()]]
    chunks = {cell[:2]: cell for cell in mine if cell[0].count(b"#") >= DAY_KEY_PARTS}
    whole = {
        (cell[0], cell[2], cell[1]): _whole(cell, chunks)
        for cell in mine
        if cell[0].count(b"#") < DAY_KEY_PARTS
    }
    cells: Cells = {name: {} for name in LAYOUTS}
    for (key, qualifier, family), value in whole.items():
        if family != "n":
            continue
        rollup = key.split(b"#")[2].decode()
        start, minutes = struct.unpack(">QH", qualifier)
        rows = decode_cell(LAYOUTS[rollup], value, whole[key, qualifier, "u"])
        if rows:
            cells[rollup][int(key.split(b"#")[1]), start, minutes] = rows
    return cells


Stored = dict[tuple[bytes, str, bytes], bytes]
"""Values by row key, family and qualifier."""


def stored_cells(path: Path, lineage: str) -> Stored:
    """The cells of a lineage as they are stored, those of touches too, under names that leave the
    lineage out; chunks apart from the slots they belong to."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        rows = connection.execute(
            "SELECT row_key, family, qualifier, value FROM cells WHERE row_key < CAST('~' AS BLOB)"
        ).fetchall()
    finally:
        connection.close()
    mine, of_touches = f"#{lineage}#".encode(), f"#{lineage}".encode()
    cells = {
        (key.replace(mine, b"#*#"), family, qualifier): value
        for key, family, qualifier, value in rows
        if mine in key
    }
    touches = {
        (key, family, qualifier.removesuffix(of_touches)): value
        for key, family, qualifier, value in rows
        if b"#touches#" in key and qualifier.endswith(of_touches) and value
    }
    return cells | touches


def decode_cell(layout: Layout, numbers: bytes, sets: bytes) -> Rows:
    """The rows of one cell from its two values."""
    head, *lines = numbers.decode().split("\n")
    if head != str(layout.number):
        raise ValueError(f"expected schema {layout.number}, got {head!r}")
    members = _decode_sets(layout, sets, len(lines))
    rows: Rows = {}
    for line, row_sets in zip(lines, members, strict=True):
        fields = line.split("\t")
        if len(fields) != len(layout.keys) + len(layout.sums):
            raise ValueError(f"expected {layout.keys + layout.sums}, got {fields}")
        keys = tuple(_unescaped(field) for field in fields[: len(layout.keys)])
        sums = [int(field) for field in fields[len(layout.keys) :]]
        if keys in rows:
            raise ValueError(f"two rows with the keys {keys}")
        rows[keys] = {**dict(zip(layout.sums, sums, strict=True)), **row_sets}
    return rows


def _decode_sets(layout: Layout, value: bytes, rows: int) -> list[Row]:
    number, count, sets = struct.unpack_from("<III", value)
    if (number, count, sets) != (layout.number, rows, len(layout.sets)):
        raise ValueError(f"expected {(layout.number, rows, len(layout.sets))}, got {value[:12]!r}")
    lengths = struct.unpack_from(f"<{rows * sets}I", value, 16)
    at = 16 + 4 * len(lengths)
    at += -at % 8
    members = []
    for length in lengths:
        hashes = struct.unpack_from(f"<{length}Q", value, at)
        if list(hashes) != sorted(set(hashes)):
            raise ValueError("the hashes of a set are expected once each and ascending")
        members.append(frozenset(hashes))
        at += 8 * length
    if at != len(value):
        raise ValueError(f"expected {at} bytes of sets, got {len(value)}")
    return [
        dict(zip(layout.sets, members[row * sets : (row + 1) * sets], strict=True))
        for row in range(rows)
    ]


def _unescaped(field: str) -> str:
    parts = iter(field)
    return "".join(_ESCAPES[next(parts)] if char == "\\" else char for char in parts)


def _whole(cell: _Cell, chunks: dict[tuple[bytes, str], _Cell]) -> bytes:
    key, family, qualifier, version, value = cell
    if not value.startswith(CHUNKED):
        return value
    parts = []
    for index in range(int(value[len(CHUNKED) :])):
        chunk = chunks[key + b"#" + qualifier.hex().encode() + b"%03d" % index, family]
        if chunk[3] != version:
            raise ValueError(f"chunk {index} of {key!r} has version {chunk[3]}, not {version}")
        parts.append(chunk[4])
    return b"".join(parts)
