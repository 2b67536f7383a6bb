"""Agreement: when archive, cells and truth are the same, or what keeps them apart."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from .cells_reader import Cells, read_cells
from .oracle import Settings, differences, expected_cells
from .stack import Simulation, Site, Stack
from .truth import Truth, truth_of

AGREES_SECONDS = 180.0
"""The archiver writes about once a minute; a flush put off and a restart come on top."""
MOST_RESTARTS = 6
"""Of one service, by far more than any test kills it."""


@dataclass(frozen=True)
class Agreement:
    """What was found to be the same in archive, cells and oracle."""

    truth: Truth
    cells: Cells


def agreement(
    stack: Stack,
    simulations: Sequence[Simulation],
    sites: list[Site],
    settings: dict[int, Settings],
    *,
    within_seconds: float = AGREES_SECONDS,
    lineage: str = "live-1",
) -> Agreement:
    """Wait until every accepted request is archived once and every number in every cell is right.

    Raises:
        AssertionError: with what differs, when that does not come to pass.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        truth = truth_of(simulations, sites, stack.data / "archive")
        expected = expected_cells(truth.hits, settings)
        found = differences(expected, read_cells(stack.cells_path, lineage))
        if not truth.problems and not found:
            return Agreement(truth, expected)
        if time.monotonic() > deadline:
            break
        _check_no_service_keeps_dying(stack)
        time.sleep(2)
    shown = truth.problems[:10] + [line[:600] for line in found]
    raise AssertionError(
        f"after {within_seconds:.0f} s {len(truth.problems)} requests are wrong in the archive"
        " and cells differ:\n" + "\n".join(shown)
    )


def _check_no_service_keeps_dying(stack: Stack) -> None:
    dying = {
        name: service["restarts"]
        for name, service in stack.services().items()
        if service["restarts"] > MOST_RESTARTS
    }
    assert not dying, f"services that keep dying: {dying}; the log ends:\n{stack.log()[-4000:]}"
