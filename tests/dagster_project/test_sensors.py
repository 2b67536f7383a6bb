from dataclasses import replace

import dagster as dg
import polars as pl
import pytest

from assets.hours import key_of
from assets.stores import Stores
from dagster_project.jobs import KIND, retention, sweep
from dagster_project.sensors import (
    complete_hours,
    late_hits,
    new_code,
    retaining,
    sealing,
    sensors,
    sweeping,
)
from stores.archive.raw import RawArchive
from stores.archive.removed_hours import removed_hours
from stores.lineages import LineageRegister
from stores.wide_rows.port import CELL_SCHEMA
from tallymark.due import sealed_through
from tallymark.row_keys import announcement_key
from tallymark.slots import DAY_US, HOUR_US, SESSION_ALIGNMENT_US
from tests.beam_pipelines.worlds import World, request_blocks
from tests.strategies import MIDNIGHT_US

L = SESSION_ALIGNMENT_US


@pytest.fixture
def world(tmp_path):
    """A day and a half of one shop is archived."""
    world = World(tmp_path)
    blocks = request_blocks([world.property()], requests=1_500)
    RawArchive(world.objects).write(blocks)
    return world


@pytest.fixture
def stores(world):
    settings = world.settings()
    return Stores(
        archive_url=settings.archive_url,
        wide_rows_url=settings.wide_rows_url,
        rules_path=settings.rules_path,
    )


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def sealed(world):
    """Let the standing lineage have computed all hours."""
    register = LineageRegister(world.rows, lambda: 1)
    register.standing(targets=((MIDNIGHT_US - 20 * L, MIDNIGHT_US + 60 * L),))


def requests(sensor, stores, instance):
    context = dg.build_sensor_context(instance=instance)
    return list(sensor(context, stores))


def asked(request):
    """First and last hour of a run request."""
    return tuple(request.tags[f"dagster/asset_partition_range_{edge}"] for edge in ("start", "end"))


def test_complete_hours_are_noted_once_and_in_order(stores, instance):
    first = complete_hours(dg.build_sensor_context(instance=instance), stores)
    hours = stores.raw_archive().hours()
    noted = [event.partition for event in first.asset_events]
    assert noted == [key_of(hour) for hour in hours[: len(noted)]]
    assert len(noted) >= 20
    again = dg.build_sensor_context(instance=instance, cursor=first.cursor)
    assert complete_hours(again, stores).asset_events == []


def test_the_sealed_blocks_of_the_last_day_are_sealed_first(stores, instance):
    [request] = requests(sealing, stores, instance)
    through = sealed_through(stores.raw_archive().clock())
    first = max(MIDNIGHT_US - L, through - DAY_US)
    assert asked(request) == (key_of(first), key_of(through - HOUR_US))
    assert request.run_config["resources"]["replay_settings"]["config"] == {"is_sealing": True}


def test_what_the_standing_lineage_has_computed_is_not_sealed_again(world, stores, instance):
    register = LineageRegister(world.rows, lambda: 1)
    register.standing(targets=((MIDNIGHT_US - L, MIDNIGHT_US + 5 * L),))
    [request] = requests(sealing, stores, instance)
    assert asked(request)[0] == key_of(MIDNIGHT_US + 5 * L)
    register.update(
        "gen-0", lambda held: held.extended([(MIDNIGHT_US + 5 * L, MIDNIGHT_US + 20 * L)])
    )
    [skipped] = requests(sealing, stores, instance)
    assert isinstance(skipped, dg.SkipReason)


def test_blocks_that_failed_do_not_hold_up_the_others(world, stores, instance):
    hour = MIDNIGHT_US - 9 * DAY_US
    spool = [
        replace(block, spool_id="old", frontier=hour + number, published_at=hour)
        for number, block in enumerate(request_blocks(["G-X"], requests=0, spools=1))
    ]
    RawArchive(world.objects).write(spool)
    [first] = requests(sealing, stores, instance)
    tried = dg.DagsterRun(
        job_name="seal", status=dg.DagsterRunStatus.FAILURE,
        tags={"dagster/run_key": first.run_key},
    )  # fmt: skip
    instance.add_run(tried)
    [second] = requests(sealing, stores, instance)
    assert asked(second)[0] == key_of(hour - L) != asked(first)[0]


def test_only_one_run_seals_at_a_time(stores, instance):
    running = dg.DagsterRun(
        job_name="seal", status=dg.DagsterRunStatus.STARTED, tags={KIND: "sealing"}
    )
    instance.add_run(running)
    [skipped] = requests(sealing, stores, instance)
    assert "under way" in skipped.skip_message
    world_is_idle = requests(late_hits, stores, instance)
    assert "no sealed hour is announced" in world_is_idle[0].skip_message


def test_an_empty_archive_asks_for_nothing(tmp_path, instance):
    world = World(tmp_path)
    settings = world.settings()
    nothing = Stores(
        archive_url=settings.archive_url,
        wide_rows_url=settings.wide_rows_url,
        rules_path=settings.rules_path,
    )
    for sensor in (sealing, late_hits):
        [skipped] = requests(sensor, nothing, instance)
        assert isinstance(skipped, dg.SkipReason)


def test_announced_hours_of_a_property_are_mended_once_they_are_sealed(world, stores, instance):
    sealed(world)
    announced = [(7, 5), (7, 6), (7, 9), (8, 8), (8, 90)]
    cells = [
        (announcement_key(MIDNIGHT_US + hour * HOUR_US, owner), "c", b"spool-1", 1, b"")
        for owner, hour in announced
    ]
    world.rows.write(pl.DataFrame(cells, schema=CELL_SCHEMA, orient="row"))
    [request] = requests(late_hits, stores, instance)
    assert asked(request) == (key_of(MIDNIGHT_US + L), key_of(MIDNIGHT_US + 3 * L - HOUR_US))
    settings = request.run_config["resources"]["replay_settings"]["config"]
    assert (settings["property"], settings["only_range"]) == ("7", True)
    turn = dg.build_sensor_context(instance=instance, cursor="7")
    [request] = list(late_hits(turn, stores))
    assert request.run_config["resources"]["replay_settings"]["config"]["property"] == "8"


def test_late_hits_of_hours_that_are_yet_to_be_sealed_wait_for_that(world, stores, instance):
    cell = (announcement_key(MIDNIGHT_US + L, 7), "c", b"spool-1", 1, b"")
    world.rows.write(pl.DataFrame([cell], schema=CELL_SCHEMA, orient="row"))
    [skipped] = requests(late_hits, stores, instance)
    assert "no sealed hour is announced" in skipped.skip_message
    sealed(world)
    assert len(requests(late_hits, stores, instance)) == 1


def test_stale_hours_are_looked_for_once_a_version_of_the_code(instance):
    first = new_code(dg.build_sensor_context(instance=instance))
    assert len(first.run_requests) == 1
    again = dg.build_sensor_context(instance=instance, cursor=first.cursor)
    assert not new_code(again).run_requests


def test_an_operator_may_turn_routine_off():
    def running(**options):
        on = dg.DefaultSensorStatus.RUNNING
        return {each.name for each in sensors(**options) if each.default_status is on}

    assert running(routine_is_on=True) - running(routine_is_on=False) == {"sealing", "late_hits"}
    assert "complete_hours" in running(routine_is_on=False)


def test_lineages_that_nobody_needs_are_swept_one_run_at_a_time(world, stores, instance):
    [skipped] = requests(sweeping, stores, instance)
    assert "is needed" in skipped.skip_message
    register = LineageRegister(world.rows, lambda: 1)
    names = [register.draw(state="candidate").name for _ in range(4)]
    assert len(requests(sweeping, stores, instance)) == 1
    result = sweep.execute_in_process(resources={"stores": stores}, instance=instance)
    assert result.success
    states = {name: each.state for name, each in register.all().items()}
    assert states == {names[0]: "swept", **dict.fromkeys(names[1:], "candidate")}
    [skipped] = requests(sweeping, stores, instance)
    assert isinstance(skipped, dg.SkipReason)


def test_what_is_due_is_taken_out_once_a_day_where_there_is_a_limit(world, stores, instance):
    [skipped] = requests(retaining, stores, instance)
    assert "for ever" in skipped.skip_message
    limited = Stores(**(stores.model_dump() | {"retention_days": 30}))
    context = dg.build_sensor_context(instance=instance)
    assert len(list(retaining(context, limited))) == 1
    [skipped] = list(retaining(context, limited))
    assert "today" in skipped.skip_message

    result = retention.execute_in_process(resources={"stores": limited}, instance=instance)

    assert result.success
    assert removed_hours(world.objects).through_us > MIDNIGHT_US + 30 * HOUR_US
