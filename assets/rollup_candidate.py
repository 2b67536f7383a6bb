"""The fourth layer: cells in a lineage that nobody serves yet, and what is checked before it is."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import dagster as dg

from assets.hours import key_of
from assets.runs import compute, generation_of, report_beyond
from assets.settings import ReplaySettings
from assets.stores import Stores
from beam_pipelines.generations import Generation
from stores.archive.clean import CleanManifest
from stores.archive.counts import Sessions

KEY: Final = dg.AssetKey("rollup_candidate")
CONSERVATION: Final = dg.AssetCheckSpec(
    "conservation",
    asset=KEY,
    blocking=True,
    description=(
        "Every hit that went in is counted, excluded, too old, dead-lettered or a duplicate, to "
        "the last one, in every received hour."
    ),
)


def rollup_candidate(hours: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The asset over event hours: what would be served, and whether it adds up."""

    @dg.asset(
        deps=["sessions"],
        partitions_def=hours,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="history",
        kinds={"beam"},
        check_specs=[CONSERVATION],
        description=(
            "What reports **would** show: cells in a lineage of the run's own, beside those that "
            "are served. Look at its checks, then materialise `published_rollups` for the same "
            "hours. A lineage that failed one cannot be published. "
            "Cells of every hour that shares a session window with the range are here."
        ),
    )
    def rollup_candidate(
        context: dg.AssetExecutionContext, stores: Stores, replay_settings: ReplaySettings
    ) -> Iterator[dg.MaterializeResult[None]]:
        generation = generation_of(context, stores, replay_settings)
        compute(context, generation, "rollups")
        results = [_conservation(generation.clean_manifests())]
        generation.conclude(may_be_published=all(result.passed for result in results))
        report_beyond(context, _facts(generation))
        yield dg.MaterializeResult(check_results=results)

    return rollup_candidate


def _facts(generation: Generation) -> dict[int, dict[str, Any]]:
    lineage, plan = generation.lineage, generation.plan
    kept = Sessions(generation.places.objects)
    common = {
        "lineage": lineage.name,
        "computed from": key_of(plan.targets.start_us),
        "computed to": key_of(plan.targets.end_us),
        "seconds": lineage.seconds,
        "hits": lineage.hits,
        "hits/s": round(lineage.hits / lineage.seconds) if lineage.seconds else 0,
    }
    return {
        hour: {
            **common,
            "sessions": sum(part.sessions for part in kept.parts(lineage.name, hour)),
        }
        for hour in plan.targets
    }


def _conservation(manifests: Sequence[CleanManifest]) -> dg.AssetCheckResult:
    """Says for each received hour that does not add up what is missing or too much."""
    wrong = [one for one in manifests if one.conservation.unexplained]
    rows = [dg.TableRecord(dict(_row(one))) for one in wrong or manifests]
    hits = sum(one.conservation.hits_in for one in manifests)
    return dg.AssetCheckResult(
        check_name=CONSERVATION.name,
        passed=not wrong,
        description=(
            f"{len(wrong)} of {len(manifests)} received hours do not add up: some hits were lost "
            "or counted twice. Publish nothing of this lineage"
            if wrong
            else f"{hits:,} hits of {len(manifests)} received hours add up"
        ),
        metadata={"received hours": dg.MetadataValue.table(rows) if rows else "none"},
    )


def _row(manifest: CleanManifest) -> Iterator[tuple[str, str | int]]:
    counts = manifest.conservation
    yield "received hour", key_of(manifest.received_hour)
    yield "hits in", counts.hits_in
    yield "counted", counts.counted
    yield "excluded", counts.excluded
    yield "too old", counts.too_old
    yield "dead letters", counts.dead_lettered
    yield "duplicates", counts.repeated
    yield "of others", counts.of_others
    yield "unexplained", counts.unexplained
