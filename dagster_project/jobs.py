"""Jobs: what can be launched by name, with what tags it queues."""

from dataclasses import asdict
from typing import Any, Final

import dagster as dg
from pydantic import Field

from assets.runs import WHO
from assets.stores import Stores
from tallymark.publication import RefusedError

KIND: Final = "tallymark/kind"
"""Tag by which the queue tells fresh hours from history; see ``dagster.yaml``."""
PRIORITY: Final = "dagster/priority"

REPLAY_LAYERS: Final = ("clean_hits", "sessions", "rollup_candidate")
ALL_LAYERS: Final = (*REPLAY_LAYERS, "published_rollups")


def _tags(kind: str, priority: int) -> dict[str, str]:
    return {KIND: kind, PRIORITY: str(priority)}


replay: Final = dg.define_asset_job(
    "replay",
    selection=dg.AssetSelection.assets(*REPLAY_LAYERS),
    tags=_tags("replay", 0),
    description=(
        "Compute hours again, up to a candidate and its checks; nothing that is served "
        "changes. Choose a range of hours; in the launchpad also a property, rules, a runner."
    ),
)
replay_and_publish: Final = dg.define_asset_job(
    "replay_and_publish",
    selection=dg.AssetSelection.assets(*ALL_LAYERS),
    tags=_tags("replay", 0),
    description="As `replay`, and publish the candidate if every blocking check has passed.",
)
publish: Final = dg.define_asset_job(
    "publish",
    selection=dg.AssetSelection.assets("published_rollups"),
    tags=_tags("publish", 5),
    description="Publish the newest candidate of a range of hours: one write of the pointers.",
)
seal: Final = dg.define_asset_job(
    "seal",
    selection=dg.AssetSelection.assets(*ALL_LAYERS),
    tags=_tags("sealing", 10),
    description=(
        "Extend the standing lineage gen-0 by sealed hours, which it then serves. The sensor "
        "`sealing` launches it."
    ),
)
mend: Final = dg.define_asset_job(
    "mend",
    selection=dg.AssetSelection.assets(*ALL_LAYERS),
    tags=_tags("mending", 5),
    description=(
        "Count late hits in: the hours of one property that were announced. The sensor "
        "`late_hits` launches it."
    ),
)


class Rollback(dg.Config):
    """What is rolled back."""

    property: str = Field(
        default="", description="Publications of this property alone; empty: those of all."
    )
    to_version: int = Field(
        default=0, description="An earlier version of the map; 0 takes the last publication back."
    )
    why: str = Field(default="", description="For the history.")


@dg.op
def roll_back(context: dg.OpExecutionContext, stores: Stores, config: Rollback) -> None:
    """Serve again what was served before: one write of the pointers."""
    places = stores.places()
    owner = places.property_named(config.property) if config.property else None
    try:
        document = places.publisher(WHO).rollback(
            property_id=owner.property_id if owner else None,
            to=config.to_version or None,
            why=config.why,
        )
    except RefusedError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    context.log.info(f"version {document.version} serves what was served before")


@dg.job(tags=_tags("publish", 20), description="Serve again what was served before.")
def rollback() -> None:
    """Of the map, or of one property's publications."""
    roll_back()


@dg.op
def sweep_lineages(context: dg.OpExecutionContext, stores: Stores) -> None:
    """Delete cells and files of lineages that nobody needs."""
    for name, (slots, files) in stores.places().sweeper().sweep().items():
        context.log.info(f"{name} is swept: {slots} slots, {files} files")


@dg.job(
    tags=_tags("sweeping", -5),
    description=(
        "Delete old generations and ended streams: the newest three generations stay, and all "
        "that serves, may still be read or is read from. The sensor `sweeping` launches it."
    ),
)
def sweep() -> None:
    """Nothing that is served changes."""
    sweep_lineages()


@dg.op
def take_out_due(context: dg.OpExecutionContext, stores: Stores) -> None:
    """Take out hits that are not to be kept any longer."""
    for name, count in asdict(stores.places().retention().run()).items():
        context.log.info(f"{name}: {count}")


@dg.job(
    tags=_tags("sweeping", -5),
    description=(
        "Take out hits that are older than their property's retention, or the deployment's: "
        "recorded requests, clean hits, sessions, dead letters and touches. Reports stay. The "
        "sensor `retaining` launches it once a day."
    ),
)
def retention() -> None:
    """Nothing that is served changes."""
    take_out_due()


ASSET_JOBS: Final = (replay, replay_and_publish, publish, seal, mend)


def run_config(**settings: Any) -> dict[str, Any]:
    """The configuration of a run with these ``ReplaySettings``."""
    return {"resources": {"replay_settings": {"config": settings}}}


def range_tags(first_key: str, last_key: str) -> dict[str, str]:
    """The tags that make a run compute a range of partitions at once."""
    return {
        "dagster/asset_partition_range_start": first_key,
        "dagster/asset_partition_range_end": last_key,
    }
