"""A run's generation: the same for all layers of a run, of its retries, and of its backfill."""

from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

import dagster as dg

from assets.hours import hours_of, key_of
from assets.settings import ReplaySettings
from assets.stores import Stores
from beam_pipelines.generations import Generation, open_generation
from beam_pipelines.replay_process import ReplayFailedError, Report
from beam_pipelines.replay_request import IncompleteHoursError
from beam_pipelines.wishes import Stage, Wish
from tallymark.publication import RefusedError
from tallymark.replays import UnsealedError
from tallymark.slots import HOUR_US

WHO: Final = "dagster"
_TOLD_SECONDS: Final = 5.0


def generation_of(
    context: dg.AssetExecutionContext, stores: Stores, settings: ReplaySettings
) -> Generation:
    """What a run computes: its range, in the lineage that the first of its steps has drawn.

    Raises:
        dg.Failure: when the range is not sealed or not wholly archived, saying what to do.
    """
    places = stores.places()
    hours = hours_of(context)
    owner = places.property_named(settings.property) if settings.property else None
    wish = Wish(
        start_us=hours[0],
        end_us=hours[-1] + HOUR_US,
        who=WHO,
        why=" ".join(filter(None, (settings.why, f"({origin_of(context.run)})"))),
        resumes=True,
        property_id=owner.property_id if owner else None,
        rules=settings.rules,
        is_sealing=settings.is_sealing,
        only_range=settings.only_range,
        runner=settings.runner,
        runner_options=tuple(settings.runner_options),
    )
    try:
        return open_generation(places, wish)
    except (UnsealedError, IncompleteHoursError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def origin_of(run: dg.DagsterRun) -> str:
    """The backfill that a run is part of, else the run that it retries, else itself."""
    backfill = run.tags.get("dagster/backfill")
    return f"backfill {backfill}" if backfill else f"run {run.root_run_id or run.run_id}"


def compute(context: dg.AssetExecutionContext, generation: Generation, stage: Stage) -> None:
    """Run a stage in a process of its own; how far it is goes into the run's log.

    Raises:
        dg.Failure: saying what was wrong and what to do.
    """
    plan = generation.plan
    context.log.info(
        f"{generation.lineage.name}: {stage} for {len(plan.targets)} hours from "
        f"{key_of(plan.targets.start_us)} to {key_of(plan.targets.end_us)}"
    )
    try:
        generation.compute(stage, _log_of(context))
    except (UnsealedError, IncompleteHoursError, RefusedError, ReplayFailedError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _log_of(context: dg.AssetExecutionContext) -> Report:
    """Tells the beginning and the end of a stage, and how far it is in between."""
    told_at = 0.0

    def report(progress: dict[str, Any]) -> None:
        nonlocal told_at
        if progress["done"] not in (0, progress["of"]) and monotonic() - told_at < _TOLD_SECONDS:
            return
        told_at = monotonic()
        hits, seconds = progress["hits"], progress["seconds"]
        rate = f", {hits / seconds:,.0f} hits/s" if seconds else ""
        context.log.info(
            f"{progress['stage']}: {progress['done']} of {progress['of']} done, {hits:,} hits{rate}"
        )

    return report


def report_beyond(
    context: dg.AssetExecutionContext, facts: Mapping[int, Mapping[str, Any]]
) -> None:
    """Tell of each hour what was made of it, those too that the run computed beyond its range.

    Args:
        context: Of the asset that computed them.
        facts: Metadata by hour (UTC µs).
    """
    asked = set(context.partition_keys)
    for hour_us, metadata in sorted(facts.items()):
        key = key_of(hour_us)
        if key in asked:
            context.add_asset_metadata(metadata, partition_key=key)
        else:  # not as the run's own: a backfill would count more hours than it was asked for
            context.instance.report_runless_asset_event(
                dg.AssetMaterialization(context.asset_key, partition=key, metadata=dict(metadata))
            )
