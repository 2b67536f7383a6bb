"""Handover: hours to come pass from the live lineage that serves to an heir computed beside it.

The heir reads a subscription of its own, a day back, in the code that is to serve. When it has
caught up it is made a candidate. The job that serves sees that, writes all it holds and withdraws.
When the heir includes that too, it is published. Nobody's numbers go back, as nothing is served
from the heir before it includes what the other had written.

Every step is a conditional write of the register or the pointer map, so that whoever dies half-way
leaves a state from which the others go on: the job that serves waits for a while, then takes its
lineage up again.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from beam_pipelines.control import Control, read_control
from stores.lineages import LineageRegister
from stores.publication import Publisher
from stores.wide_rows.port import WideRows
from tallymark.lineages import Lineage, LineageStateError
from tallymark.slots import first_unsealed_hour, first_whole_hour

LOG = logging.getLogger(__name__)
WAIT_SECONDS: Final = 180.0
"""So long a job that withdrew waits for its heir to be published."""
PAUSE_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 30.0
"""An heir has caught up when it includes what the other had written so long ago at most."""


def heir_of(serving: Lineage, register: LineageRegister) -> Lineage | None:
    """The live lineage that is computed to take over from ``serving``, if there is one."""
    heirs = [
        each
        for each in register.all().values()
        if each.kind == "live"
        and each.number > serving.number
        and each.state in ("computing", "candidate", "published")
    ]
    return heirs[-1] if heirs else None


def lineage_to_go_on_with(
    publisher: Publisher,
    *,
    shards: int,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Lineage:
    """The live lineage that serves; waits while another is about to take over from it.

    Args:
        publisher: Of the store in which lineages and pointers are.
        shards: Of the first of all lineages, if it is made here.
        sleep: Lets seconds pass.
        now: Seconds of a clock.
    """
    begun = now()
    while True:
        serving = publisher.live_lineage(shards=shards)
        heir = heir_of(serving, publisher.lineages)
        if heir is None or heir.state == "computing":
            return publisher.lineages.turn(serving.name, "published")
        if heir.state == "published":  # whoever published it died before the pointers were written
            publisher.publish(heir.name, why="handover, finished")
        elif now() - begun > WAIT_SECONDS:
            LOG.warning("%s was not published in time, %s goes on", heir.name, serving.name)
            _give_up(publisher.lineages, heir)
        else:
            sleep(PAUSE_SECONDS)


def _give_up(register: LineageRegister, heir: Lineage) -> None:
    try:
        register.turn(heir.name, "withdrawn", expected=("candidate",))
    except LineageStateError as error:
        LOG.info("%s", error)  # it was published after all, which the next look sees


def must_withdraw(mine: str, register: LineageRegister) -> bool:
    """Whether an heir of the lineage ``mine`` has caught up and waits for it to withdraw."""
    heir = heir_of(register.get(mine), register)
    return heir is not None and heir.state in ("candidate", "published")


class Pursuit:
    """An heir behind a job that goes on.

    The shards of both write at moments of their own, so that there may never be one in which the
    heir includes all that the other has written: it is measured by what had been written a while
    ago.

    Args:
        wide_rows: Where both are.
        heir: The lineage that is to take over.
        serving: The lineage that serves.
        now: Seconds of a clock.
    """

    def __init__(
        self,
        wide_rows: WideRows,
        heir: Lineage,
        serving: Lineage,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wide_rows = wide_rows
        self._heir = heir
        self._serving = serving
        self._now = now
        self._aim()

    def is_close(self) -> bool:
        """Whether the heir includes what was written ``CLOSE_SECONDS`` ago, or later."""
        if not _includes(self._wide_rows, self._heir, self._aimed_at):
            return False
        if self._now() - self._aimed <= CLOSE_SECONDS:
            return True
        self._aim()
        return False

    def _aim(self) -> None:
        self._aimed = self._now()
        self._aimed_at = controls(self._wide_rows, self._serving)


def reached(wide_rows: WideRows, heir: Lineage, serving: Lineage) -> bool:
    """Whether the heir's written cells include every block that the serving lineage's do.

    Args:
        wide_rows: Where both are.
        heir: The lineage that is to take over.
        serving: The lineage that serves, whose job has ended.
    """
    return _includes(wide_rows, heir, controls(wide_rows, serving))


def _includes(wide_rows: WideRows, heir: Lineage, theirs: Iterable[Control]) -> bool:
    mine = controls(wide_rows, heir)
    return len(mine) == heir.shards and all(
        control.vector.reaches(other.vector, heir.reads_whole_from)
        for control in mine
        for other in theirs
    )


def controls(wide_rows: WideRows, lineage: Lineage) -> list[Control]:
    """The control documents of a lineage's shards, without those that nobody has written."""
    found = [read_control(wide_rows, lineage.name, shard)[0] for shard in range(lineage.shards)]
    return [control for control in found if control is not None]


def caught_up_candidate(wide_rows: WideRows, register: LineageRegister, heir: Lineage) -> Lineage:
    """Make an heir that has caught up a candidate for the hours that it is to serve.

    Those are the hours that on-time hits may still change; hours that are sealed stay as they are
    served, to be mended by replay.
    """
    clock = min(control.vector.clock for control in controls(wide_rows, heir))
    first = max(first_unsealed_hour(clock), first_whole_hour(heir.reads_whole_from))
    return register.update(heir.name, lambda held: held.serving_from(first).turned("candidate"))
