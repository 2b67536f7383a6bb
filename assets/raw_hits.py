"""The first layer: received hours of the raw archive, once nothing of them can be missing."""

import dagster as dg

from assets.hours import hours_of, key_of
from assets.stores import Stores


def raw_hits(hours: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The asset over received hours; materialising one says that it is complete, and how large."""

    @dg.asset(
        partitions_def=hours,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="history",
        kinds={"parquet"},
        description=(
            "Every request as it was recorded, by the hour in which it was **received**. The "
            "archiver writes it all the time; an hour is materialised when every collector's "
            "spool has been archived past its end, so that nothing of it can be missing."
        ),
    )
    def raw_hits(context: dg.AssetExecutionContext, stores: Stores) -> None:
        archive = stores.raw_archive()
        for hour_us in hours_of(context):
            key = key_of(hour_us)
            if not archive.hour_is_complete(hour_us):
                raise dg.Failure(
                    f"{key} is not archived whole: the archive, or a spool of a collector, has "
                    "not passed its end; wait for it, or retire a spool whose machine is lost"
                )
            blocks = archive.blocks(hour_us)
            context.add_asset_metadata(
                {"requests": int(blocks["requests"].sum()), "blocks": blocks.height},
                partition_key=key,
            )

    return raw_hits
