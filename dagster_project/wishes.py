"""Wishes: replays of a property that somebody asked for in the configuration are run and noted."""

from collections.abc import Iterator, Mapping
from typing import Final

import dagster as dg

from assets.hours import key_of
from assets.runs import origin_of
from assets.stores import Stores
from dagster_project.jobs import range_tags, replay, replay_and_publish, run_config
from stores.clock import utc_us
from stores.lineages import LineageRegister
from stores.replay_wishes import ReplayWishes
from tallymark.lineages import Lineage
from tallymark.replay_wishes import ReplayWish
from tallymark.slots import HOUR_US

WISH: Final = "tallymark/wish"
"""Tag by which the runs of a wish are found."""
MAX_TOLD: Final = 200
_WAITING: Final = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
_RUNNING: Final = (
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
_FAILURES: Final = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}


def wished_replays(
    context: dg.SensorEvaluationContext, stores: Stores
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """A run request for each wish that has none; of all others what has become of them is noted."""
    wishes = ReplayWishes(stores.wide_rows())
    found = wishes.open()[:MAX_TOLD]
    lineages = LineageRegister(stores.wide_rows(), utc_us).all() if found else {}
    asked = 0
    for wish in found:
        runs = context.instance.get_runs(dg.RunsFilter(tags={WISH: _name(wish)}), limit=1)
        if runs:
            wishes.note(wish, _noted(wish, runs[0], context.instance, lineages))
        else:
            asked += 1
            yield _request(wish)
    if not asked:
        yield dg.SkipReason(f"{len(found)} replays are under way or await a review")


def _name(wish: ReplayWish) -> str:
    return f"{wish.property_id}-{wish.wish_id}"


def _request(wish: ReplayWish) -> dg.RunRequest:
    first, last = key_of(wish.start_us), key_of(wish.end_us - HOUR_US)
    settings = {"property": str(wish.property_id), "rules": wish.rules, "why": wish.why}
    return dg.RunRequest(
        run_key=f"wish-{_name(wish)}",
        job_name=(replay_and_publish if wish.publishes else replay).name,
        run_config=run_config(**settings),
        tags={**range_tags(first, last), WISH: _name(wish)},
    )


def _noted(
    wish: ReplayWish,
    run: dg.DagsterRun,
    instance: dg.DagsterInstance,
    lineages: Mapping[str, Lineage],
) -> ReplayWish:
    """What has become of a wish by now."""
    if run.status in (*_WAITING, *_RUNNING):
        return wish.queued(run.run_id, is_running=run.status in _RUNNING)
    origin = f"({origin_of(run)})"
    mine = [one for one in lineages.values() if one.why.endswith(origin)]
    lineage = mine[-1] if mine else None
    return wish.computed(
        run.run_id,
        lineage.name if lineage else "",
        lineage.state if lineage else "",
        "" if run.status is dg.DagsterRunStatus.SUCCESS else _reason(instance, run),
    )


def _reason(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Why a run failed, in the words of what failed first."""
    for entry in instance.all_logs(run.run_id, of_type=_FAILURES):
        event = entry.dagster_event
        if event is not None and event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None and data.user_failure_data.description:
                return str(data.user_failure_data.description)
            if data.error is not None:
                return (data.error.cause or data.error).message.strip()
    return f"its run {run.run_id} ended as {run.status.value.lower()}"
