"""Blocks processed by the rules as a worker knows them, and what it is not sure of."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from beam_pipelines.blocks import ProcessedBlocks, process_blocks
from stores.doubts import Doubts
from stores.rules_cache.port import RulesCache, RulesUnavailableError
from stores.wide_rows.port import WideRowsUnavailableError
from tallymark.blocks import Block

SETTLE_SECONDS: Final = 5.0
"""So often it is looked whether doubts, of this worker or any other, can be settled."""
_LOG: Final = logging.getLogger(__name__)


class RuledBlocks:
    """Processes blocks for a stream; safe to share among threads.

    Args:
        rules: By which.
        doubts: Takes what is processed past the time through which the rules are known.
        clock_us: UTC µs.
        now: Seconds of a clock; only for pacing.
    """

    def __init__(
        self,
        rules: RulesCache,
        doubts: Doubts,
        *,
        clock_us: Callable[[], int],
        now: Callable[[], float],
    ) -> None:
        self._rules = rules
        self._doubts = doubts
        self._clock_us = clock_us
        self._now = now
        self._settling = threading.Lock()
        self._settle_at = now()

    def process(self, blocks: Sequence[Block], shards: int) -> ProcessedBlocks:
        """``process_blocks``; doubts are noted before anything of it goes on.

        Raises:
            BrokenProcessingError: see there.
            RulesUnavailableError: when no rules at all are known.
        """
        valid_through = self._rules.valid_through()  # first: what is asked for then is as new
        done = process_blocks(blocks, self._rules.frame, shards, valid_through=valid_through)
        self._doubts.note(done.doubts)
        if self._settling.acquire(blocking=False):
            try:
                self._settle_when_due(valid_through)
            finally:
                self._settling.release()
        return done

    def _settle_when_due(self, valid_through: int) -> None:
        if self._now() < self._settle_at:
            return
        self._settle_at = self._now() + SETTLE_SECONDS
        try:
            self._doubts.settle(valid_through, self._rules.frame)
        except (WideRowsUnavailableError, RulesUnavailableError) as error:
            _LOG.warning("doubts about rules cannot be settled yet: %s", error)

    def status(self) -> dict[str, Any]:
        """What an operator wants to know; nothing while the rules are known."""
        behind = (self._clock_us() - self._rules.valid_through()) / 1e6
        return {"rules_cut_off_seconds": round(behind, 1)} if behind > 0 else {}
