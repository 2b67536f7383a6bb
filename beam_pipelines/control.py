"""Control documents: which job may write a shard of a lineage, and what its cells include.

Who takes a shard up draws the next epoch by a conditional write. A flush first writes the control
document (conditional on the epoch) with the vector that its cells will include, then the cells.
So a job that was replaced can write nothing any more, and one that restarts from an older state
knows what it must have seen again before it may write.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import polars as pl

from stores.failpoints import reach
from stores.wide_rows.port import WideRows
from tallymark.cells import version_of
from tallymark.row_keys import control_key
from tallymark.vectors import Vector

QUALIFIER: Final = b"control"


class ReplacedError(Exception):
    """Another job has taken this shard up; this one must stop writing and end."""


@dataclass(frozen=True)
class Control:
    """A control document: epoch, number of the newest flush, the vector its cells include."""

    epoch: int
    flush: int
    vector: Vector

    def encode(self) -> bytes:
        """As stored."""
        document = {"epoch": self.epoch, "flush": self.flush, "vector": self.vector.to_json()}
        return orjson.dumps(document)

    @classmethod
    def decode(cls, value: bytes) -> "Control":
        """From what is stored."""
        document = orjson.loads(value)
        vector = Vector.from_json(document["vector"])
        return cls(document["epoch"], document["flush"], vector)


def read_control(
    wide_rows: WideRows, lineage: str, shard: int
) -> tuple[Control | None, bytes | None]:
    """The control document of a shard and its bytes; nothing where nobody has taken it up."""
    rows = wide_rows.read_rows([control_key(lineage, shard)], ("c",))
    value = next(
        (cell for name, cell in rows.select("qualifier", "value").iter_rows() if name == QUALIFIER),
        None,
    )
    return (None if value is None else Control.decode(value)), value


class ShardWriter:
    """Writes the cells of one shard of one lineage, fenced by its epoch."""

    def __init__(self, wide_rows: WideRows, lineage: str, shard: int, *, reads_from: int) -> None:
        self._wide_rows = wide_rows
        self.lineage = lineage
        self._key = control_key(lineage, shard)
        self._shard = shard
        self._reads_from = reads_from
        self._must_reach = Vector()
        self._stored = b""
        self._control: Control | None = None

    @property
    def is_taken_up(self) -> bool:
        """Whether this writer has drawn its epoch."""
        return self._control is not None

    @property
    def epoch(self) -> int:
        """The epoch that was drawn.

        Who writes the cells of a computation that has ended, and never the same cell twice, needs
        no more than this: whatever an earlier run still writes has a lower version.
        """
        assert self._control is not None, "a shard is taken up before it is written"
        return self._control.epoch

    def take_up(self) -> None:
        """Draw the next epoch. Retries when another job draws at the same time."""
        while self._control is None:
            held, stored = read_control(self._wide_rows, self.lineage, self._shard)
            drawn = Control(
                epoch=held.epoch + 1 if held else 1,
                flush=0,
                vector=held.vector if held else Vector(),
            )
            if self._put(drawn, expected=stored):
                self._must_reach = drawn.vector

    def may_write(self, vector: Vector) -> bool:
        """Whether a state with this vector holds all that the stored cells include."""
        if not vector.reaches(self._must_reach, self._reads_from):
            return False
        self._must_reach = Vector()  # once is for good: spools are forgotten when they are closed
        return True

    def write(self, vector: Vector, encode: Callable[[str, int], Sequence[pl.DataFrame]]) -> int:
        """One flush: the control document, then the cells that ``encode(lineage, version)`` gives.

        They come as frames, each written by itself: another writer has to wait for one at most.

        Returns:
            How many cells were written.

        Raises:
            ReplacedError: when another job has drawn a newer epoch.
        """
        assert self._control is not None, "a shard is taken up before it is written"
        following = Control(self._control.epoch, self._control.flush + 1, vector)
        frames = encode(self.lineage, version_of(following.epoch, following.flush))
        if not self._put(following, expected=self._stored):
            self._learn_what_was_stored()
            return self.write(vector, encode)
        reach("stream.control-before-cells")
        for cells in frames:
            self._wide_rows.write(cells)
        reach("stream.after-cells")
        return sum(cells.height for cells in frames)

    def _learn_what_was_stored(self) -> None:
        """Our own epoch is stored where the answer to an earlier write was lost on its way."""
        assert self._control is not None
        held, stored = read_control(self._wide_rows, self.lineage, self._shard)
        if held is None or stored is None or held.epoch != self._control.epoch:
            raise ReplacedError(f"shard {self._shard} of {self.lineage} has a newer owner")
        self._control, self._stored = held, stored

    def _put(self, control: Control, expected: bytes | None) -> bool:
        value = control.encode()
        written = self._wide_rows.compare_and_set(
            self._key,
            QUALIFIER,
            expected=expected,
            value=value,
            version=version_of(control.epoch, control.flush),
        )
        if written:
            self._control, self._stored = control, value
        return written
