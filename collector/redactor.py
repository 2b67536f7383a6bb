"""The redactor: takes personal data out of a block's requests, even where single ones fail."""

import logging
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import polars as pl

from tallymark.personal_data import PRESETS, Redacted, in_own_bytes, redacted, without_texts

MAX_WITHHELD: Final = 20
"""When more requests of a block cannot be gone over it is not theirs: the code is broken."""
_LOG = logging.getLogger(__name__)
# A panic of Polars is no Exception to Python.
_OF_DATA: Final = (Exception, pl.exceptions.PanicException)
_NOT_OF_DATA: Final = (MemoryError, OSError, ImportError)


class BrokenRedactionError(RuntimeError):
    """The requests of a block cannot be gone over, so the block cannot go out."""


@dataclass(frozen=True)
class RedactedBlock:
    """What may leave the machine of a block.

    Attributes:
        requests: ``REQUEST_SCHEMA``, as many as there were.
        values: How many values of each kind were taken out.
        withheld: How many requests made redaction fail and have lost all their texts.
    """

    requests: pl.DataFrame
    values: dict[str, int]
    withheld: int


class Redactor:
    """Goes over requests before they are shipped. The same requests come to the same.

    Args:
        kinds: Some of ``PRESETS``; none means that requests go out as they were recorded.
        redact: As ``tallymark.personal_data.redacted``.
    """

    def __init__(
        self,
        kinds: Collection[str] = PRESETS,
        redact: Callable[[pl.DataFrame, Collection[str]], Redacted] = redacted,
    ) -> None:
        self.kinds = tuple(kind for kind in PRESETS if kind in kinds)
        self._redact = redact

    def redacted_block(self, requests: pl.DataFrame) -> RedactedBlock:
        """The requests of a block without personal data.

        What fails is tried again by halves; a request that fails by itself goes out without its
        texts, so that it is neither lost nor told.

        Raises:
            BrokenRedactionError: when more than ``MAX_WITHHELD`` fail.
        """
        parts, values, withheld = [], Counter(dict.fromkeys(self.kinds, 0)), 0
        waiting = [requests]
        while waiting:
            part = waiting.pop()
            try:
                done = self._redact(part, self.kinds) if self.kinds else Redacted(part, {})
            except _NOT_OF_DATA:
                raise
            except _OF_DATA as error:
                self._note(error, part.height)
                if part.height > 1:
                    half = part.height // 2
                    waiting += [part[half:], part[:half]]
                    continue
                withheld += 1
                if withheld > MAX_WITHHELD:
                    raise BrokenRedactionError(_broken()) from None
                done = Redacted(without_texts(part), {})
            parts.append(done.requests)
            values.update(done.values)
        whole = in_own_bytes(pl.concat(parts)) if withheld else pl.concat(parts)
        return RedactedBlock(whole, dict(values), withheld)

    @staticmethod
    def _note(error: BaseException, requests: int) -> None:
        """Say what kind of error it was; its text may hold what is not to be told."""
        if requests == 1:
            _LOG.error(
                "a request cannot be redacted (%s): it is shipped without its texts",
                type(error).__name__,
            )


def _broken() -> str:
    return (
        f"more than {MAX_WITHHELD} requests of the block cannot be redacted: the code is broken, "
        "not the requests. Nothing is lost and nothing goes out: mend the code and start again"
    )
