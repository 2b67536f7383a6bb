"""Wishes for replays, as the sensor finds them, through Dagster's own runs of the real assets."""

import dagster as dg
import pytest

from assets.hours import hours_since, key_of
from assets.layers import layers
from assets.settings import ReplaySettings
from assets.stores import Stores
from dagster_project.jobs import replay, replay_and_publish
from dagster_project.wishes import WISH, wished_replays
from stores.archive.raw import RawArchive
from stores.lineages import LineageRegister
from stores.pointers import PointerStore
from stores.publication import Publisher
from stores.replay_wishes import ReplayWishes
from tallymark.replay_wishes import ReplayWish
from tallymark.slots import DAY_US, HOUR_US, SESSION_ALIGNMENT_US
from tests.beam_pipelines.worlds import World, request_blocks
from tests.strategies import MIDNIGHT_US

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
L = SESSION_ALIGNMENT_US
START = MIDNIGHT_US + 2 * L


class Office:
    """An archive of two shops, their wishes, and Dagster."""

    def __init__(self, folder, instance) -> None:
        self.world, self.instance = World(folder), instance
        self.shops = [self.world.property(), self.world.property()]
        RawArchive(self.world.objects).write(request_blocks(self.shops, requests=1_500))
        settings = self.world.settings()
        self.stores = Stores(
            archive_url=settings.archive_url,
            wide_rows_url=settings.wide_rows_url,
            rules_path=settings.rules_path,
        )
        self.wishes = ReplayWishes(self.world.rows)
        self.ids = [self.stores.places().property_named(shop).property_id for shop in self.shops]

    def ask(self, start=START, end=START + L, **facts):
        wish = ReplayWish(
            wish_id=len(self.wishes.of_property(self.ids[0])) + 1, property_id=self.ids[0],
            start_us=start, end_us=end, asked_at=1, who="keys/1", **facts,
        )  # fmt: skip
        return self.wishes.ask(wish)

    def look(self):
        """What the sensor asks for."""
        found = list(wished_replays(dg.build_sensor_context(instance=self.instance), self.stores))
        return [one for one in found if isinstance(one, dg.RunRequest)]

    def run(self, request):
        """A run as the daemon would launch it."""
        definitions = dg.Definitions(
            assets=layers(hours_since(MIDNIGHT_US - DAY_US)),
            jobs=[replay, replay_and_publish],
            resources={
                "stores": self.stores,
                "replay_settings": ReplaySettings.configure_at_launch(),
            },
            executor=dg.in_process_executor,
        )
        job = definitions.resolve_job_def(request.job_name)
        return job.execute_in_process(
            run_config=request.run_config, tags=request.tags, instance=self.instance,
            raise_on_error=False,
        )  # fmt: skip

    def state(self, wish):
        found = self.wishes.get(wish.property_id, wish.wish_id)
        return found.state, found

    def served(self, owner, hour):
        return PointerStore(self.world.rows).pointers(self.ids[owner]).served.lineage_at(hour)


@pytest.fixture
def office(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Office(tmp_path, instance)


def overrides(office, owner):
    return PointerStore(office.world.rows).held(office.ids[owner]).document.pointers


def test_a_wish_is_computed_reviewed_and_told_when_it_is_published(office):
    wish = office.ask(why="new filter")
    [request] = office.look()
    assert request.job_name == "replay"
    assert office.run(request).success
    assert office.look() == []
    state, found = office.state(wish)
    assert (state, found.lineage, found.reason) == ("awaiting_review", "gen-1", "")
    assert found.run_id
    lineage = LineageRegister(office.world.rows, lambda: 1).get("gen-1")
    assert (lineage.property_id, lineage.why.startswith("new filter")) == (office.ids[0], True)
    assert overrides(office, 0).lineage_at(START) is None

    Publisher(office.world.rows, lambda: 1, who="test").publish("gen-1")
    assert office.look() == []
    assert office.state(wish)[0] == "published"


def test_a_wish_to_publish_changes_what_is_served_of_its_property_alone(office):
    wish = office.ask(publishes=True)
    [request] = office.look()
    assert request.job_name == "replay_and_publish"
    assert office.run(request).success
    assert office.look() == []
    assert office.state(wish)[0] == "published"
    assert overrides(office, 0).lineage_at(START) == "gen-1"
    assert overrides(office, 1).lineage_at(START) is None
    assert PointerStore(office.world.rows).held().document.pointers.lineage_at(START) != "gen-1"


def test_a_wish_for_hours_that_are_not_sealed_fails_saying_so(office):
    clock = office.stores.raw_archive().clock() // HOUR_US * HOUR_US
    wish = office.ask(start=clock - HOUR_US, end=clock)
    [request] = office.look()
    assert not office.run(request).success
    assert office.look() == []
    state, found = office.state(wish)
    assert state == "failed"
    assert "not sealed" in found.reason
    assert office.look() == []


def test_a_wish_is_told_to_wait_and_to_run_and_is_launched_once(office):
    wish = office.ask(rules="1")
    [request] = office.look()
    assert request.tags[WISH] == f"{wish.property_id}-{wish.wish_id}"
    assert request.tags["dagster/asset_partition_range_start"] == key_of(START)
    settings = request.run_config["resources"]["replay_settings"]["config"]
    assert (settings["property"], settings["rules"]) == (str(wish.property_id), "1")
    run = dg.DagsterRun(
        job_name="replay", status=dg.DagsterRunStatus.NOT_STARTED, tags={WISH: request.tags[WISH]}
    )
    office.instance.add_run(run)
    assert office.look() == []
    assert office.state(wish)[0] == "waiting"
    assert office.state(wish)[1].run_id == run.run_id
    office.instance.report_run_canceled(run)
    assert office.look() == []
    state, found = office.state(wish)
    assert (state, "canceled" in found.reason) == ("failed", True)
