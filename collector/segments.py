"""Segments: the files in which requests are recorded; a closed one is a block.

A spool's folder holds ``NNNNNNNNNN.block`` (closed, never written again) and one
``NNNNNNNNNN.open``, the segment being written, whose name is the next number even after the
closed ones have been shipped and unlinked. A segment is a row of records::

    u32 length of the payload | u32 CRC-32 of the payload | payload

The first is the header (spool id, number, frontier before it), the last of a closed segment the
trailer (kind, frontier, count), each ``#`` and a JSON object. Those in between are requests, a
JSON object each with the keys of ``tallymark.requests.REQUEST_SCHEMA``.
"""

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

OPEN_SUFFIX: Final = ".open"
BLOCK_SUFFIX: Final = ".block"
FRAME: Final = struct.Struct("<II")
_MARK: Final = b"#"
_STARTS: Final = (b'{"request_id":', b'#{"')


def header(spool_id: str, number: int, frontier: int) -> bytes:
    """The payload that opens a segment; ``frontier`` (UTC µs) is that of the block before it."""
    document = {"spool_id": spool_id, "number": number, "frontier": frontier}
    return _MARK + orjson.dumps(document)


def trailer(kind: str, frontier: int, requests: int) -> bytes:
    """The payload that closes a segment: what its block will say of itself."""
    document = {"kind": kind, "frontier": frontier, "requests": requests}
    return _MARK + orjson.dumps(document)


def open_path(spool: Path, number: int) -> Path:
    """Where segment ``number`` of a spool is written."""
    return spool / f"{number:010d}{OPEN_SUFFIX}"


def block_path(spool: Path, number: int) -> Path:
    """Where segment ``number`` of a spool lies once it is closed."""
    return spool / f"{number:010d}{BLOCK_SUFFIX}"


def framed(payload: bytes) -> bytes:
    """The record of a payload: length and CRC in front."""
    return FRAME.pack(len(payload), zlib.crc32(payload)) + payload


@dataclass(kw_only=True)
class Segment:
    """What a segment's file holds.

    Attributes:
        requests: The payloads of the requests, in order, good ones only.
        header: The opening record, empty if it cannot be read.
        trailer: The closing record, empty if there is none.
        good_bytes: Length of the file up to the end of its last good record.
        torn_bytes: What follows that: a record that was being written when the process died.
        is_broken: Whether something before the last good record is damaged.
    """

    requests: list[bytes] = field(default_factory=list)
    header: dict[str, Any] = field(default_factory=dict)
    trailer: dict[str, Any] = field(default_factory=dict)
    good_bytes: int = 0
    torn_bytes: int = 0
    is_broken: bool = False

    def take(self, payload: bytes) -> None:
        """Take up the next record."""
        if not payload.startswith(_MARK):
            self.requests.append(payload)
            return
        document = orjson.loads(payload[1:])
        if "kind" in document:
            self.trailer = document
        else:
            self.header = document

    def last_received_at(self) -> int | None:
        """``received_at`` (UTC µs) of the last request, ``None`` if there is none."""
        return orjson.loads(self.requests[-1])["received_at"] if self.requests else None


def read_segment(content: bytes) -> Segment:
    """Parse a segment's file, whatever happened to it.

    Zeros at the end are what was allocated and not used.
    """
    content = content.rstrip(b"\0")
    segment = Segment()
    position = 0
    while position < len(content):
        payload = _payload_at(content, position)
        if payload is None:
            found = _next_record(content, position + 1)
            if found is None:
                break
            segment.is_broken = True
            position = found
            continue
        segment.take(payload)
        position += FRAME.size + len(payload)
        segment.good_bytes = position
    segment.torn_bytes = len(content) - segment.good_bytes
    if segment.trailer:
        segment.is_broken |= segment.trailer["requests"] != len(segment.requests)
    return segment


def _payload_at(content: bytes, position: int) -> bytes | None:
    start = position + FRAME.size
    if start > len(content):
        return None
    length, crc = FRAME.unpack_from(content, position)
    payload = content[start : start + length]
    return payload if length and len(payload) == length and zlib.crc32(payload) == crc else None


def _next_record(content: bytes, position: int) -> int | None:
    """Where the next good record begins, found by how payloads begin."""
    while True:
        starts = [content.find(mark, position + FRAME.size) for mark in _STARTS]
        found = min((start for start in starts if start >= 0), default=-1)
        if found < 0:
            return None
        if _payload_at(content, found - FRAME.size) is not None:
            return found - FRAME.size
        position = found - FRAME.size + 1
