"""The fourth layer: cells in a lineage that nobody serves yet, and what is checked before it is."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import dagster as dg
import polars as pl

from assets.hours import key_of
from assets.runs import compute, generation_of, report_beyond
from assets.settings import ReplaySettings, bounds_of
from assets.stores import Stores
from beam_pipelines.generations import Generation
from stores.archive.counts import Sessions
from stores.clock import utc_us
from stores.live_audits import AuditNotes
from stores.reviews import Review
from tallymark.audit_notes import standing_check
from tallymark.checks import BLOCKING, CHANGE_WITHIN_BOUNDS, CheckResult
from tallymark.differences import Differences
from tallymark.divergences import AGREES_WITH_LIVE, HOLDS
from tallymark.rollup_choice import TOTALS
from tallymark.slots import instant_us

KEY: Final = dg.AssetKey("rollup_candidate")
ROWS_TOLD: Final = 20
TEXT_TOLD: Final = 20_000
"""Characters of the differences that a check shows; ``tallymark diff`` has all."""
CHECKS: Final = [
    dg.AssetCheckSpec(name, asset=KEY, blocking=True, description=f"Holds that {holds}.")
    for name, holds in BLOCKING.items()
] + [
    dg.AssetCheckSpec(
        AGREES_WITH_LIVE,
        asset=KEY,
        blocking=False,
        description=(
            f"Holds that {HOLDS}. Found while hours are sealed; it fails until somebody has "
            "looked at all that was found (`tallymark audit`)."
        ),
    )
]


def rollup_candidate(hours: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The asset over event hours: what would be served, and whether it adds up."""

    @dg.asset(
        deps=["sessions"],
        partitions_def=hours,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="history",
        kinds={"beam"},
        check_specs=CHECKS,
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
        review = generation.review(
            bounds=bounds_of(replay_settings), is_acknowledged=replay_settings.acknowledge
        )
        generation.conclude(may_be_published=review.adds_up)
        report_beyond(context, _facts(generation, review.differences))
        agreement = _agreement(stores, review)
        if review.divergences is not None and review.divergences.unexplained_hours():
            context.log.error(agreement.reason)
        yield dg.MaterializeResult(
            check_results=[
                _result(check, review.differences, is_sealing=replay_settings.is_sealing)
                for check in (*review.checks, agreement)
            ]
        )

    return rollup_candidate


def _agreement(stores: Stores, review: Review) -> CheckResult:
    """Whether sealed hours say what was streamed: those of this run, and all before."""
    alerts = AuditNotes(stores.wide_rows(), utc_us).alerts()
    return standing_check(alerts, review.divergences)


def _facts(generation: Generation, differences: Differences) -> dict[int, dict[str, Any]]:
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
    changes = _changes(differences)
    return {
        hour: {
            **common,
            "sessions": sum(part.sessions for part in kept.parts(lineage.name, hour)),
            **changes.get(hour, {"differences": 0}),
        }
        for hour in plan.targets
    }


def _changes(differences: Differences) -> dict[int, dict[str, Any]]:
    """For each hour that differs how many metrics do, and those of the totals."""
    told = {}
    for (hour,), rows in differences.by_hour().group_by("hour"):
        assert isinstance(hour, datetime)
        totals = rows.filter(pl.col("rollup") == TOTALS.name).head(ROWS_TOLD)
        told[instant_us(hour)] = {
            "differences": rows.height,
            "changed totals": _table(totals.drop("hour", "rollup").iter_rows(named=True)),
        }
    return told


def _result(
    check: CheckResult, differences: Differences, *, is_sealing: bool
) -> dg.AssetCheckResult:
    """The outcome of a check, as Dagster shows it.

    Routine sealing serves what was counted again, however far it is from what was streamed; that
    it is far is worth a warning.
    """
    is_change = check.name == CHANGE_WITHIN_BOUNDS
    is_warning = is_change and is_sealing
    metadata: dict[str, Any] = dict(check.numbers)
    if check.examples:
        metadata["examples"] = _table(check.examples)
    if is_change:
        text = differences.text()[:TEXT_TOLD]
        metadata["differences"] = dg.MetadataValue.md(f"```\n{text}\n```")
    return dg.AssetCheckResult(
        check_name=check.name,
        passed=check.passed,
        severity=dg.AssetCheckSeverity.WARN if is_warning else dg.AssetCheckSeverity.ERROR,
        description=check.reason,
        metadata=metadata,
    )


def _table(rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue | str:
    records = [
        dg.TableRecord(
            {name: cell if isinstance(cell, (int, float)) else str(cell or "")
             for name, cell in row.items()}
        )
        for row in rows
    ]  # fmt: skip
    return dg.MetadataValue.table(records) if records else "none"
