"""Segment blocks: the block that a closed segment's file is, as it goes out on the bus."""

import io
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from collector.recovery import frontier_of
from collector.redactor import Redactor
from collector.segments import read_segment
from tallymark.blocks import Block, encode_requests
from tallymark.requests import REQUEST_SCHEMA, empty_requests

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentBlock:
    """A block that may go out, and what was taken out of it; see ``RedactedBlock``."""

    block: Block
    values: dict[str, int]
    withheld: int


def block_of_segment(path: Path, quarantine: Path, redactor: Redactor) -> SegmentBlock:
    """The block in a closed segment's file, redacted.

    A damaged file is copied to ``quarantine`` and what is good of it becomes the block. So is one
    with requests that cannot be redacted; they have no texts in the block.

    Raises:
        OSError: when the file cannot be read, or not be copied.
        BrokenRedactionError: when it cannot be redacted.
    """
    segment = read_segment(path.read_bytes())
    if segment.is_broken or segment.torn_bytes or not segment.trailer:
        copy = _quarantine(path, quarantine)
        _LOG.error(
            "%s is damaged: %d good requests are shipped, the file is kept as %s",
            path,
            len(segment.requests),
            copy,
        )
    clean = redactor.redacted_block(request_frame(segment.requests))
    if clean.withheld:
        copy = _quarantine(path, quarantine)
        _LOG.error("%d requests of %s are kept as %s", clean.withheld, path, copy)
    block = Block(
        spool_id=path.parent.name,
        number=int(path.stem),
        kind=segment.trailer.get("kind", "requests" if segment.requests else "heartbeat"),
        frontier=frontier_of(segment, path),
        requests=len(segment.requests),
        payload=encode_requests(clean.requests),
    )
    return SegmentBlock(block, clean.values, clean.withheld)


def request_frame(payloads: list[bytes]) -> pl.DataFrame:
    """The requests of a segment as a frame of ``REQUEST_SCHEMA``, parsed in one pass."""
    if not payloads:
        return empty_requests()
    return pl.read_ndjson(io.BytesIO(b"\n".join(payloads)), schema=REQUEST_SCHEMA)


def _quarantine(path: Path, quarantine: Path) -> Path:
    """Keep a copy for whoever runs the collector alone: nothing is taken out of it."""
    quarantine.mkdir(parents=True, exist_ok=True, mode=0o700)
    copy = quarantine / f"{path.parent.name}-{path.name}"
    shutil.copyfile(path, copy)
    copy.chmod(0o600)
    return copy
