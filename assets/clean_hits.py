"""The second layer: received hours decoded, enriched and put to the rules, in a lineage."""

from typing import Any

import dagster as dg

from assets.runs import compute, generation_of, report_beyond
from assets.settings import ReplaySettings
from assets.stores import Stores
from stores.archive.clean import CleanManifest


def clean_hits(hours: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The asset over received hours; a run decodes all that the hours it asks for depend on."""

    @dg.asset(
        deps=["raw_hits"],
        partitions_def=hours,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="history",
        kinds={"beam", "parquet"},
        description=(
            "Hits by the hour in which they were **received**, under the hour in which they "
            "happened: decoded from the raw archive, enriched, put to the rules, in the lineage "
            "of the run. Excluded, late and too old hits are there too, tagged. A run decodes "
            "every received hour that the sessions of its hours depend on."
        ),
    )
    def clean_hits(
        context: dg.AssetExecutionContext, stores: Stores, replay_settings: ReplaySettings
    ) -> None:
        generation = generation_of(context, stores, replay_settings)
        compute(context, generation, "clean_hits")
        manifests = generation.clean_manifests()
        report_beyond(context, {one.received_hour: _facts(one) for one in manifests})

    return clean_hits


def _facts(manifest: CleanManifest) -> dict[str, Any]:
    counts = manifest.conservation
    return {
        "lineage": manifest.lineage,
        "requests": counts.requests,
        "hits": counts.hits_in,
        "counted": counts.counted,
        "late": counts.late,
        "excluded": counts.excluded,
        "too old": counts.too_old,
        "dead letters": counts.dead_lettered,
        "duplicates": counts.repeated,
        "code version": manifest.code_version,
    }
