"""Sensors: complete hours are noted, sealed hours computed, late hits counted in."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from assets.hours import EARLIER_US, key_of
from assets.stores import Stores
from beam_pipelines.code_version import code_version
from dagster_project.jobs import (
    KIND,
    mend,
    range_tags,
    replay,
    replay_and_publish,
    retention,
    run_config,
    seal,
    sweep,
)
from dagster_project.wishes import wished_replays
from stores.announcements import outstanding_hours
from stores.clock import utc_us
from stores.lineages import LineageRegister
from stores.pointers import PointerStore
from tallymark.due import due_blocks, due_replays, next_in_turn, sealed_through
from tallymark.lineages import STANDING, kind_of
from tallymark.pointer_map import PointerMap
from tallymark.replays import Span
from tallymark.slots import DAY_US, HOUR_US

UNFINISHED: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
AGAIN_US: Final = HOUR_US
"""What has failed is tried again in the next hour."""
HOURS_A_TICK: Final = 200


def complete_hours(context: dg.SensorEvaluationContext, stores: Stores) -> dg.SensorResult:
    """The cursor is the first hour (UTC µs) that is not noted yet."""
    archive = stores.raw_archive()
    first = int(context.cursor or 0)
    hours = [hour for hour in archive.hours() if hour >= first][:HOURS_A_TICK]
    missing = archive.incomplete(hours)
    events = []
    for hour in hours:
        if hour in missing:
            break
        blocks = archive.blocks(hour)
        facts = {"requests": int(blocks["requests"].sum()), "blocks": blocks.height}
        events.append(dg.AssetMaterialization("raw_hits", partition=key_of(hour), metadata=facts))
    noted = hours[: len(events)]
    return dg.SensorResult(asset_events=events, cursor=str(noted[-1] + HOUR_US if noted else first))


def sealing(
    context: dg.SensorEvaluationContext, stores: Stores
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run request, or why there is none."""
    if _is_busy(context, "sealing"):
        yield dg.SkipReason("a run that seals is under way")
        return
    _, through, due = _to_seal(stores)
    if not due:
        yield dg.SkipReason(f"all hours before {key_of(through)} are computed")
        return
    asked = (_request(span, "seal", run_config(is_sealing=True)) for span in due)
    untried = next((one for one in asked if not _was_tried(context, one)), None)
    yield untried or dg.SkipReason("what is due has failed; it is tried again in the next hour")


def late_hits(
    context: dg.SensorEvaluationContext, stores: Stores
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run request, or why there is none."""
    if _is_busy(context, "mending"):
        yield dg.SkipReason("a run that counts late hits in is under way")
        return
    received, through, to_seal = _to_seal(stores)
    first_us = received[0] - EARLIER_US if received else through
    announced = outstanding_hours(stores.wide_rows(), first_us, through)
    served = PointerStore(stores.wide_rows()).held().document.pointers
    due = due_replays(
        (where for where in announced if not _will_be_sealed(where[1], to_seal, served)), through
    )
    if not due:
        yield dg.SkipReason("no sealed hour is announced")
        return
    first = next_in_turn(due, int(context.cursor or 0))
    context.update_cursor(str(first.property_id))
    config = run_config(
        property=str(first.property_id), only_range=True, why="late, stale or misruled"
    )
    yield _request(first.span, f"late-{first.property_id}", config)


def _to_seal(stores: Stores) -> tuple[list[int], int, list[Span]]:
    """The received hours, the end of what is sealed, and the spans that sealing has to compute."""
    archive = stores.raw_archive()
    received, through = archive.hours(), sealed_through(archive.clock())
    standing = LineageRegister(stores.wide_rows(), utc_us).all().get(STANDING)
    return received, through, due_blocks(received, through, standing.targets if standing else ())


def _will_be_sealed(hour_us: int, to_seal: list[Span], served: PointerMap) -> bool:
    """Whether sealing is yet to compute an hour, late hits and all, and to serve it."""
    lineage = served.lineage_at(hour_us)
    is_replayed = lineage is not None and kind_of(lineage) != "live"
    return not is_replayed and any(hour_us in span for span in to_seal)


def sweeping(
    context: dg.SensorEvaluationContext, stores: Stores
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run request, or why there is none."""
    if _is_busy(context, "sweeping"):
        yield dg.SkipReason("a run that sweeps is under way")
        return
    sweeper = stores.places().sweeper()
    if not (sweeper.due() or sweeper.idle()):
        yield dg.SkipReason("every lineage that is held is needed")
        return
    yield dg.RunRequest(run_key=f"sweep-{utc_us() // AGAIN_US}")


def retaining(
    context: dg.SensorEvaluationContext, stores: Stores
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run request a day, or why there is none."""
    if _is_busy(context, "sweeping"):
        yield dg.SkipReason("a run that sweeps is under way")
        return
    day = str(utc_us() // DAY_US)
    if context.cursor == day:
        yield dg.SkipReason("today it has been done")
        return
    context.update_cursor(day)
    if not stores.places().retention().is_limited:
        yield dg.SkipReason("all hits are kept for ever")
        return
    yield dg.RunRequest(run_key=f"retention-{day}")


def new_code(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """The cursor is the version of the code for which stale hours were looked for."""
    version = code_version()
    if context.cursor == version:
        return dg.SensorResult(skip_reason=f"the code is still {version}")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"stale-{version}")], cursor=version)


def _was_tried(context: dg.SensorEvaluationContext, request: dg.RunRequest) -> bool:
    """Whether a run of this key was there already: what fails does not hold up what follows."""
    wanted = dg.RunsFilter(tags={"dagster/run_key": request.run_key or ""})
    return context.instance.get_runs_count(wanted) > 0


def _is_busy(context: dg.SensorEvaluationContext, kind: str) -> bool:
    wanted = dg.RunsFilter(statuses=UNFINISHED, tags={KIND: kind})
    return context.instance.get_runs_count(wanted) > 0


def _request(span: Span, name: str, config: dict[str, Any]) -> dg.RunRequest:
    first, last = key_of(span.start_us), key_of(span.end_us - HOUR_US)
    return dg.RunRequest(
        run_key=f"{name}-{first}-{last}-{utc_us() // AGAIN_US}",
        run_config=config,
        tags=range_tags(first, last),
    )


def sensors(*, routine_is_on: bool) -> list[dg.SensorDefinition]:
    """All sensors.

    Args:
        routine_is_on: Whether sealing and mending run unless somebody stops them; otherwise they
            stand still unless somebody starts them.
    """
    on = dg.DefaultSensorStatus.RUNNING
    routine = on if routine_is_on else dg.DefaultSensorStatus.STOPPED
    return [
        dg.sensor(
            minimum_interval_seconds=60,
            default_status=on,
            description="Notes received hours as materialised once they are archived whole.",
        )(complete_hours),
        dg.sensor(
            job=seal,
            minimum_interval_seconds=60,
            default_status=routine,
            description=(
                "Extends the standing lineage by sealed hours, those of the last day first, then "
                "the oldest, one run at a time. Stop it to turn routine sealing off."
            ),
        )(sealing),
        dg.sensor(
            job=mend,
            minimum_interval_seconds=120,
            default_status=routine,
            description=(
                "Replays sealed hours of a property that late hits were announced for, that depend "
                "on touches which a publication has changed, or that a stream has processed by "
                "rules which had changed while it was cut off from them."
            ),
        )(late_hits),
        dg.sensor(
            jobs=[replay, replay_and_publish],
            minimum_interval_seconds=30,
            default_status=on,
            description=(
                "Runs the replays of a property that were asked for in the configuration, and "
                "notes what has become of them."
            ),
        )(wished_replays),
        dg.sensor(
            job=sweep,
            minimum_interval_seconds=600,
            default_status=on,
            description=(
                "Deletes generations but the newest three, and streams that have ended, once "
                "nothing is served from them and no reader may hold them."
            ),
        )(sweeping),
        dg.sensor(
            job=retention,
            minimum_interval_seconds=600,
            default_status=on,
            description="Takes out, once a day, hits that are older than they are to be kept.",
        )(retaining),
        dg.sensor(
            target=dg.AssetSelection.assets("stale_hours"),
            minimum_interval_seconds=60,
            default_status=on,
            description="Looks for stale hours when the code has changed.",
        )(new_code),
    ]
