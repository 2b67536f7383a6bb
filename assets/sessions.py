"""The third layer: the sessions that start in an event hour."""

import dagster as dg

from assets.hours import hours_of
from assets.runs import compute, generation_of, report_beyond
from assets.settings import ReplaySettings
from assets.stores import Stores
from stores.archive.counts import Sessions
from tallymark.slots import HOUR_US, LATE_US, SESSION_ALIGNMENT_US

BEFORE_HOURS = 3 * SESSION_ALIGNMENT_US // HOUR_US
"""The earliest hit of a window: floor_L(E) − L − gap, with E within its block and gap ≤ L."""
AFTER_HOURS = (2 * SESSION_ALIGNMENT_US + LATE_US) // HOUR_US
"""The last one that is on time was received before E + 1 h + 2 L + D."""


def sessions(hours: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The asset over event hours: what starts in an hour, of the hits of its window."""
    window = dg.TimeWindowPartitionMapping(
        start_offset=-BEFORE_HOURS,
        end_offset=AFTER_HOURS,
        allow_nonexistent_upstream_partitions=True,
    )

    @dg.asset(
        deps=[dg.AssetDep("clean_hits", partition_mapping=window)],
        partitions_def=hours,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="history",
        kinds={"beam", "parquet"},
        description=(
            "Sessions by the hour in which they **start**. A session may reach eight hours back "
            "or ahead at most, so an hour depends on the clean hits of a window of some hours and "
            "on nothing else."
        ),
    )
    def sessions(
        context: dg.AssetExecutionContext, stores: Stores, replay_settings: ReplaySettings
    ) -> None:
        generation = generation_of(context, stores, replay_settings)
        compute(context, generation, "sessions")
        kept = Sessions(generation.places.objects)
        name = generation.lineage.name
        facts = {
            hour: {
                "lineage": name,
                "sessions": sum(part.sessions for part in kept.parts(name, hour)),
            }
            for hour in {*generation.plan.targets, *hours_of(context)}
        }
        report_beyond(context, facts)

    return sessions
