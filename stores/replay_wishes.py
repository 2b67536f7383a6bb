"""Wishes for replays in wide rows: who configures writes them, who computes notes the state."""

from dataclasses import replace

from stores.wide_rows.port import WideRows
from tallymark.replay_wishes import ReplayWish, decode_wish
from tallymark.row_keys import wish_key, wish_range

_QUALIFIER = b"wish"


class ReplayWishes:
    """The wishes in one store of wide rows. Processes may share it.

    Every method raises ``WideRowsUnavailableError`` when the store does not answer.

    Args:
        wide_rows: Where they are.
    """

    def __init__(self, wide_rows: WideRows) -> None:
        self._wide_rows = wide_rows

    def ask(self, wish: ReplayWish) -> ReplayWish:
        """Write a wish down; one of the same id is there already when this is repeated."""
        if self._put(wish, expected=None):
            return wish
        return self.get(wish.property_id, wish.wish_id) or wish

    def get(self, property_id: int, wish_id: int) -> ReplayWish | None:
        """One wish of a property."""
        rows = self._wide_rows.read_rows([wish_key(property_id, wish_id)], ("c",))
        return next((decode_wish(value) for value in rows["value"]), None)

    def of_property(self, property_id: int) -> list[ReplayWish]:
        """Those of a property, the newest first."""
        rows = self._wide_rows.read([wish_range(property_id)], ("c",))
        return [decode_wish(value) for value in reversed(rows["value"].to_list())]

    def open(self) -> list[ReplayWish]:
        """Those of which something may still become, in the order in which they were asked for."""
        rows = self._wide_rows.read([wish_range()], ("c",))
        found = (decode_wish(value) for value in rows["value"])
        return sorted((wish for wish in found if wish.is_open), key=lambda wish: wish.wish_id)

    def note(self, held: ReplayWish, wanted: ReplayWish) -> bool:
        """Put ``wanted`` in the place of ``held``; whether nobody else was quicker."""
        if wanted == held:
            return True
        return self._put(replace(wanted, changes=held.changes + 1), expected=held.encode())

    def _put(self, wish: ReplayWish, *, expected: bytes | None) -> bool:
        return self._wide_rows.compare_and_set(
            wish_key(wish.property_id, wish.wish_id),
            _QUALIFIER,
            expected=expected,
            value=wish.encode(),
            version=wish.changes,
        )
