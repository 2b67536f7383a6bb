"""What a replay is told at its launch, in one place for all layers."""

import dagster as dg
from pydantic import Field

from tallymark.checks import Bounds
from tallymark.rules_choice import AS_RECEIVED


class ReplaySettings(dg.ConfigurableResource["ReplaySettings"]):
    """What whoever launches a run may say; nothing has to be said.

    Dagster shows these fields, with their descriptions, in the launchpad.
    """

    property: str = Field(
        default="",
        description="Replay this property alone: its number or measurement id. Empty means all.",
    )
    rules: str = Field(
        default=AS_RECEIVED,
        description=(
            "Rules for the hits of the range: 'as-received' (those in force when a hit came), "
            "'latest', or the number of a version."
        ),
    )
    why: str = Field(default="", description="For the history of publications.")
    runner: str = Field(default="DirectRunner", description="The Beam runner that does the work.")
    runner_options: list[str] = Field(
        default_factory=list, description="Options for the runner, such as --project=…"
    )
    only_range: bool = Field(
        default=False,
        description=(
            "Recompute the hours of the range alone, not those that share a session window with "
            "it. For late hits, where the code has not changed."
        ),
    )
    is_sealing: bool = Field(
        default=False,
        description="Extend the standing lineage gen-0, as routine sealing does.",
    )
    largest_change: float = Field(
        default=Bounds().relative,
        description=(
            "How much a total of a property may change without being acknowledged; 0.2 is a fifth."
        ),
    )
    acknowledge: bool = Field(
        default=False, description="A change beyond largest_change is meant: publish it."
    )


def bounds_of(settings: ReplaySettings) -> Bounds:
    """How far a candidate may be from what is served."""
    return Bounds(relative=settings.largest_change)
