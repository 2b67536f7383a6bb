"""The definitions that the code server loads; what they work on comes from the environment."""

import os
import warnings

import dagster as dg

from assets.hours import EARLIER_US, hours_since
from assets.layers import layers
from assets.settings import ReplaySettings
from assets.stale_hours import stale_hours
from assets.stores import Stores
from dagster_project.hosting import ARCHIVE, OFF, RETENTION_DAYS, RULES, SEALING, WIDE_ROWS
from dagster_project.jobs import ASSET_JOBS, retention, rollback, sweep
from dagster_project.sensors import sensors
from stores.clock import utc_us


@dg.definitions
def defs() -> dg.Definitions:
    """Everything, over the stores that the environment names."""
    stores = Stores(
        archive_url=os.environ[ARCHIVE],
        wide_rows_url=os.environ[WIDE_ROWS],
        rules_path=os.environ[RULES],
        retention_days=int(os.environ.get(RETENTION_DAYS, "0")),
    )
    hours = hours_since(_first_hour(stores))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # single-run backfills are what ranges need
        return dg.Definitions(
            assets=[*layers(hours), stale_hours],
            jobs=[*ASSET_JOBS, rollback, sweep, retention],
            sensors=sensors(routine_is_on=os.environ.get(SEALING) != OFF),
            resources={
                "stores": stores,
                "replay_settings": ReplaySettings.configure_at_launch(),
            },
            executor=dg.in_process_executor,
        )


def _first_hour(stores: Stores) -> int:
    """UTC µs: the earliest hour that anything archived, or yet to come, can have happened in."""
    received = stores.raw_archive().hours()
    return min([*received, utc_us()]) - EARLIER_US
