"""The compactor as a process: passes over all properties until it is told to end."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson

from report_api.compactor import DayCompactor
from report_api.reader import ReportReader, rules_at
from stores.rules_cache.port import RulesCache, RulesUnavailableError
from stores.wide_rows.port import WideRows, WideRowsUnavailableError

PAUSE_SECONDS: Final = 10.0
_NOTE_SECONDS: Final = 1.0
_LOG: Final = logging.getLogger(__name__)

_State = tuple[int, int, str]
"""Versions of the pointer map and of a property's overrides, and its time zone."""


class Compaction:
    """Passes over the properties; one of which nothing was published since is passed by.

    Args:
        wide_rows: Where cells and pointers are.
        rules_cache: Which properties there are.
        now_us: UTC µs, for the rules in force.
    """

    def __init__(
        self, wide_rows: WideRows, rules_cache: RulesCache, now_us: Callable[[], int]
    ) -> None:
        self._pointers = ReportReader(wide_rows, now_us).pointers
        self._compactor = DayCompactor(wide_rows, self._pointers, now_us)
        self._rules_cache = rules_cache
        self._now_us = now_us
        self._seen: dict[int, _State] = {}

    def run_once(self, *, is_ending: Callable[[], bool] = lambda: False) -> int:
        """One pass.

        Returns:
            How many days were made.

        Raises:
            WideRowsUnavailableError: when the store does not answer; the next pass goes on.
            RulesUnavailableError: when the properties cannot be listed, likewise.
        """
        made = 0
        for owner in self._rules_cache.properties():
            if is_ending():
                break
            pointers = self._pointers(owner.property_id)
            time_zone = rules_at(owner, self._now_us()).time_zone
            state = (pointers.map_version, pointers.overrides_version, time_zone)
            if self._seen.get(owner.property_id) != state:
                made += self._compactor.compact(owner).made
                self._seen[owner.property_id] = state
        return made


def run(*, data_dir: Path, wide_rows_url: str, rules_path: str) -> None:
    """Compact until SIGTERM or SIGINT; ``run/compactor.json`` says each second that it lives."""
    from stores.clock import utc_us  # noqa: PLC0415  loads what the process needs
    from stores.rules_cache.opening import open_rules_cache  # noqa: PLC0415
    from stores.wide_rows.opening import open_wide_rows  # noqa: PLC0415

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    wide_rows = open_wide_rows(wide_rows_url)
    rules_cache = open_rules_cache(rules_path, role="compactor")
    compaction = Compaction(wide_rows, rules_cache, utc_us)
    note = threading.Thread(
        target=_note, args=(data_dir / "run" / "compactor.json", stopping), daemon=True
    )
    note.start()
    while not stopping.is_set():
        try:
            made = compaction.run_once(is_ending=stopping.is_set)
        except WideRowsUnavailableError as error:
            _LOG.warning("the wide rows do not answer: %s", error)
        except RulesUnavailableError as error:
            _LOG.warning("the rules do not answer: %s", error)
        else:
            if made:
                _LOG.info("made the cells of %d days", made)
        stopping.wait(PAUSE_SECONDS)
    rules_cache.close()
    wide_rows.close()


def _note(path: Path, stopping: threading.Event) -> None:
    """Say each second, in a file that is replaced as a whole, that this process lives."""
    new = path.with_suffix(".new")
    while not stopping.is_set():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(orjson.dumps({"pid": os.getpid()}))
            new.replace(path)
        except OSError as error:
            _LOG.warning("%s not written: %s", path, error)
        stopping.wait(_NOTE_SECONDS)
