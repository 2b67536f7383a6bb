"""All layers, from the archive to what reports show."""

import dagster as dg

from assets.clean_hits import clean_hits
from assets.published_rollups import published_rollups
from assets.raw_hits import raw_hits
from assets.rollup_candidate import rollup_candidate
from assets.sessions import sessions


def layers(hours: dg.HourlyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets over the same hours, in the order of the flow."""
    return [
        raw_hits(hours),
        clean_hits(hours),
        sessions(hours),
        rollup_candidate(hours),
        published_rollups(hours),
    ]
