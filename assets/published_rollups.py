"""The last layer: which lineage serves an hour. Materialising it is one write of the pointers."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.hours import hour_of_key
from assets.rollup_candidate import KEY as CANDIDATE
from assets.runs import WHO, generation_of, report_beyond
from assets.settings import ReplaySettings, bounds_of
from assets.stores import Stores
from beam_pipelines.answering import answer_announcements
from beam_pipelines.generations import Generation
from beam_pipelines.places import Places
from beam_pipelines.reviewing import reviewed
from tallymark.due import spans_of
from tallymark.lineages import Lineage
from tallymark.publication import RefusedError
from tallymark.replays import Span


def published_rollups(hours: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The asset over event hours: what reports show."""

    @dg.asset(
        deps=["rollup_candidate"],
        partitions_def=hours,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="history",
        description=(
            "What reports **show**: the pointer map says which lineage serves an hour. "
            "Materialising an hour publishes the candidate that was last computed for it, in one "
            "conditional write; the `rollback` job serves again what was served before."
        ),
    )
    def published_rollups(
        context: dg.AssetExecutionContext, stores: Stores, replay_settings: ReplaySettings
    ) -> None:
        try:
            if replay_settings.is_sealing:
                facts = _seal(generation_of(context, stores, replay_settings))
            else:
                facts = _publish(context, stores, replay_settings)
        except RefusedError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        report_beyond(context, facts)

    return published_rollups


def _seal(generation: Generation) -> dict[int, dict[str, Any]]:
    document = generation.publish()
    facts = {"lineage": generation.lineage.name, "map version": document.version}
    return {hour: dict(facts) for hour in generation.plan.targets}


def _publish(
    context: dg.AssetExecutionContext, stores: Stores, settings: ReplaySettings
) -> dict[int, dict[str, Any]]:
    """Publish the newest candidate of each hour, with all hours that were computed with it."""
    publisher = stores.places().publisher(WHO)
    facts: dict[int, dict[str, Any]] = {}
    for name, hours in sorted(_newest_candidates(context).items()):
        asked, lineage = spans_of(hours), publisher.lineages.get(name)
        if lineage.kind == "standing":
            spans = [(one.start_us, one.end_us) for one in asked]
            documents = [publisher.seal(*span) for span in spans]
        else:
            spans = [span for span in lineage.targets if _meets(span, asked)]
            _check(stores.places(), lineage, spans, settings)
            documents = [publisher.publish(name, spans=spans, why=settings.why)]
        answer_announcements(stores.places(), lineage, spans)
        version = documents[-1].version
        context.log.info(f"{name} serves {len(spans)} spans of hours by version {version}")
        facts |= {
            hour: {"lineage": name, "map version": version}
            for span in spans
            for hour in Span(*span)
        }
    return facts


def _check(
    places: Places, lineage: Lineage, spans: Sequence[tuple[int, int]], settings: ReplaySettings
) -> None:
    """A run of its own is not held up by the checks of the run that made the candidate.

    Raises:
        RefusedError: when one fails.
    """
    review = reviewed(
        places, lineage, spans, bounds=bounds_of(settings), is_acknowledged=settings.acknowledge
    )
    if review.failed:
        raise RefusedError("\n".join(f"{check.name}: {check.reason}" for check in review.failed))


def _newest_candidates(context: dg.AssetExecutionContext) -> dict[str, list[int]]:
    """The hours of the run (UTC µs) by the lineage that their newest candidate is of.

    Raises:
        RefusedError: when an hour has none.
    """
    found: dict[str, list[int]] = {}
    for key in context.partition_keys:
        newest = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=CANDIDATE, asset_partitions=[key]), limit=1
        ).records
        event = newest[0].asset_materialization if newest else None
        if event is None:
            raise RefusedError(f"{key} has no candidate: materialise {CANDIDATE.path[-1]} first")
        found.setdefault(str(event.metadata["lineage"].value), []).append(hour_of_key(key))
    return found


def _meets(span: tuple[int, int], asked: list[Span]) -> bool:
    return any(span[0] < one.end_us and one.start_us < span[1] for one in asked)
