import dagster as dg
import pytest

from assets.hours import hour_of_key, hours_since, key_of
from assets.raw_hits import raw_hits
from assets.stores import Stores
from tallymark.slots import HOUR_US
from tests.stores.archive.recorded_blocks import HOUR, spool

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


@pytest.fixture
def stores(tmp_path):
    return Stores(
        archive_url=f"file:{tmp_path / 'archive'}",
        wide_rows_url=f"sqlite:{tmp_path / 'wide_rows.sqlite'}",
        rules_path=str(tmp_path / "properties.json"),
    )


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def materialize(stores, instance, first_us, last_us):
    return dg.materialize(
        [raw_hits(hours_since(HOUR))],
        resources={"stores": stores},
        instance=instance,
        raise_on_error=False,
        tags={
            "dagster/asset_partition_range_start": key_of(first_us),
            "dagster/asset_partition_range_end": key_of(last_us),
        },
    )


def materializations(instance):
    records = instance.fetch_materializations(dg.AssetKey("raw_hits"), limit=9).records
    return [record.asset_materialization for record in records]


def test_every_hour_of_a_range_tells_how_much_was_received_in_it(stores, instance):
    archive = stores.raw_archive()
    archive.write(spool("one", 0, 120))
    archive.write(spool("two", 30, 121))
    assert materialize(stores, instance, HOUR, HOUR + HOUR_US).success
    told = {
        event.partition: {name: entry.value for name, entry in event.metadata.items()}
        for event in materializations(instance)
    }
    assert {key: facts["requests"] for key, facts in told.items()} == {
        "2026-01-01-00:00": 60 + 30,
        "2026-01-01-01:00": 60 + 60,
    }
    opening = 1  # of "two"; that of "one" tells of the hour before
    assert told["2026-01-01-00:00"]["blocks"] == 60 + opening + 30


def test_an_hour_of_which_blocks_may_come_fails(stores, instance):
    archive = stores.raw_archive()
    archive.write(spool("closed", 0, 120))
    archive.write(spool("open", 0, 59, closes=False))
    result = materialize(stores, instance, HOUR, HOUR)
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    told = failure.step_failure_data.error_display_string
    assert "2026-01-01-00:00 is not archived whole" in told


def test_an_hour_that_the_archive_has_not_passed_fails(stores, instance):
    assert not materialize(stores, instance, HOUR, HOUR).success


@pytest.mark.parametrize("hour_us", [HOUR, HOUR + 7 * HOUR_US, 0])
def test_a_key_names_its_hour(hour_us):
    assert hour_of_key(key_of(hour_us)) == hour_us


def test_partitions_are_utc_hours_from_the_day_of_the_first():
    hours = hours_since(HOUR + 5 * HOUR_US)
    assert hours.get_first_partition_key() == key_of(HOUR)
    assert hours.timezone == "UTC"
