"""The layers over a small archive: a day and a half of one shop, the first day sealed."""

import dagster as dg
import polars as pl
import pytest

from assets.hours import hours_since, key_of
from assets.layers import layers
from assets.settings import ReplaySettings
from assets.stores import Stores
from stores.archive.raw import RawArchive
from stores.lineages import LineageRegister
from stores.live_audits import AuditNotes
from stores.pointers import PointerStore
from stores.publication import Publisher
from tallymark.conservation import Conservation
from tallymark.reports.serving import slot_starts
from tallymark.slots import HOUR_US, SESSION_ALIGNMENT_US
from tests.beam_pipelines.worlds import World, request_blocks
from tests.strategies import MIDNIGHT_US

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
L = SESSION_ALIGNMENT_US
START = MIDNIGHT_US + 2 * L
"""The range that is replayed begins here; the hours of two L around it depend on it."""


class Laboratory:
    """An archive, and Dagster's assets over it."""

    def __init__(self, folder, instance) -> None:
        self.world = World(folder)
        self.instance = instance
        self.measurement_id = self.world.property()
        blocks = request_blocks([self.measurement_id], requests=1_500)
        RawArchive(self.world.objects).write(blocks)
        settings = self.world.settings()
        self.stores = Stores(
            archive_url=settings.archive_url,
            wide_rows_url=settings.wide_rows_url,
            rules_path=settings.rules_path,
        )

    def materialize(self, *names, first=START, end=START + L, **settings):
        return dg.materialize(
            layers(hours_since(MIDNIGHT_US)),
            selection=list(names),
            resources={"stores": self.stores, "replay_settings": ReplaySettings(**settings)},
            instance=self.instance,
            raise_on_error=False,
            tags={
                "dagster/asset_partition_range_start": key_of(first),
                "dagster/asset_partition_range_end": key_of(end - HOUR_US),
            },
        )

    def told(self, name) -> dict:
        """The newest metadata of each materialised hour of an asset."""
        found = self.instance.fetch_materializations(dg.AssetKey(name), limit=1_000).records
        events = [record.asset_materialization for record in reversed(found)]
        return {
            event.partition: {key: entry.value for key, entry in event.metadata.items()}
            for event in events
        }

    def serve_half_of(self, candidate, *, as_lineage):
        """Let a live lineage serve, whose cells are those of a candidate's earlier hours."""
        cells = self.world.rows.read([(b"0", b"~")])
        mine = cells.filter(pl.col("row_key").bin.contains(f"#{candidate}#".encode()))
        earlier = mine.filter(pl.Series(slot_starts(mine) < START))
        keys = [
            key.replace(f"#{candidate}#".encode(), f"#{as_lineage}#".encode())
            for key in earlier["row_key"]
        ]
        self.world.rows.write(earlier.with_columns(row_key=pl.Series(keys, dtype=pl.Binary)))
        publisher = Publisher(self.world.rows, lambda: 1, who="test")
        assert publisher.live_lineage(shards=1).name == as_lineage

    def lineages(self):
        return LineageRegister(self.world.rows, lambda: 0).all()

    def serving(self, hour):
        return PointerStore(self.world.rows).held().document.pointers.lineage_at(hour)


@pytest.fixture
def laboratory(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Laboratory(tmp_path, instance)


REPLAY = ("clean_hits", "sessions", "rollup_candidate")


def why_failed(result) -> str:
    return "\n".join(
        event.step_failure_data.error_display_string
        for event in result.all_events
        if event.is_step_failure
    )


def test_a_range_becomes_a_candidate_and_is_published_in_a_run_of_its_own(laboratory):
    assert laboratory.materialize(*REPLAY).success
    [candidate] = laboratory.lineages().values()
    assert (candidate.name, candidate.state) == ("gen-1", "candidate")
    assert candidate.asked == ((START, START + L),)
    assert candidate.targets == ((START - 2 * L, START + 3 * L),)
    assert laboratory.serving(START) is None

    told = laboratory.told("rollup_candidate")
    assert set(told) == {key_of(hour) for hour in range(START - 2 * L, START + 3 * L, HOUR_US)}
    assert {facts["lineage"] for facts in told.values()} == {"gen-1"}
    sessions = laboratory.told("sessions")
    assert sum(facts["sessions"] for facts in sessions.values()) > 0
    clean = laboratory.told("clean_hits")
    assert all(facts["hits"] == facts["requests"] for facts in clean.values())

    assert laboratory.materialize("published_rollups").success
    assert laboratory.serving(START - 2 * L) == laboratory.serving(START + 3 * L - 1) == "gen-1"
    assert laboratory.serving(START + 3 * L) is None
    assert laboratory.lineages()["gen-1"].state == "published"


def test_a_range_that_is_not_sealed_is_refused_and_draws_no_lineage(laboratory):
    late = MIDNIGHT_US + 7 * L
    result = laboratory.materialize(*REPLAY, first=late, end=late + L)
    assert not result.success
    assert "is not sealed" in why_failed(result)
    assert laboratory.lineages() == {}


def test_sealing_extends_the_standing_lineage_block_by_block(laboratory):
    for first in (MIDNIGHT_US, MIDNIGHT_US + L):
        result = laboratory.materialize(
            *REPLAY, "published_rollups", first=first, end=first + L, is_sealing=True
        )
        assert result.success, why_failed(result)
    [standing] = laboratory.lineages().values()
    assert standing.targets == ((MIDNIGHT_US, MIDNIGHT_US + 2 * L),)
    assert laboratory.serving(MIDNIGHT_US) == laboratory.serving(START - 1) == "gen-0"


def test_what_the_standing_lineage_serves_is_not_sealed_anew(laboratory):
    first = {"first": MIDNIGHT_US, "end": MIDNIGHT_US + L, "is_sealing": True}
    assert laboratory.materialize(*REPLAY, "published_rollups", **first).success
    again = laboratory.materialize(*REPLAY, "published_rollups", **first)
    assert not again.success
    assert "gen-0 serves 4 of these hours" in why_failed(again)


@pytest.mark.parametrize("settings", [{}, {"is_sealing": True}], ids=["replay", "sealing"])
def test_hits_that_are_lost_keep_a_lineage_from_being_published(laboratory, monkeypatch, settings):
    monkeypatch.setattr(Conservation, "unexplained", property(lambda counts: counts.counted))
    result = laboratory.materialize(*REPLAY, "published_rollups", **settings)
    assert not result.success
    assert laboratory.serving(START) is None
    [lineage] = laboratory.lineages().values()
    assert lineage.state == "computing"
    assert not (lineage.targets and settings)
    [check] = [one for one in result.get_asset_check_evaluations() if not one.passed]
    assert check.check_name == "conservation"
    assert "do not add up" in check.description
    assert not laboratory.materialize("published_rollups", **settings).success
    assert laboratory.serving(START) is None


def test_a_change_beyond_its_bounds_is_published_when_it_is_acknowledged(laboratory):
    assert laboratory.materialize(*REPLAY).success
    laboratory.serve_half_of("gen-1", as_lineage="live-1")
    result = laboratory.materialize(*REPLAY, "published_rollups")
    assert not result.success
    [check] = [one for one in result.get_asset_check_evaluations() if not one.passed]
    assert check.check_name == "change_within_bounds"
    assert "acknowledge" in check.description
    assert laboratory.lineages()["gen-2"].state == "candidate"
    refused = laboratory.materialize("published_rollups")
    assert not refused.success
    assert "change_within_bounds" in why_failed(refused)
    assert laboratory.serving(START) == "live-1"
    assert laboratory.materialize("published_rollups", acknowledge=True).success
    assert laboratory.serving(START) == "gen-2"


def test_one_property_is_published_for_itself(laboratory):
    result = laboratory.materialize(
        *REPLAY, "published_rollups", property=laboratory.measurement_id
    )
    assert result.success, why_failed(result)
    [replay] = laboratory.lineages().values()
    assert replay.property_id is not None
    assert laboratory.serving(START) is None
    held = PointerStore(laboratory.world.rows).held(replay.property_id)
    assert held.document.pointers.lineage_at(START) == "gen-1"


def test_sealed_hours_that_are_not_what_was_streamed_fail_a_check_that_blocks_nothing(laboratory):
    assert laboratory.materialize(*REPLAY).success
    laboratory.serve_half_of("gen-1", as_lineage="live-1")
    hours = {"first": START - L, "end": START + L, "is_sealing": True}
    result = laboratory.materialize(*REPLAY, "published_rollups", **hours)
    assert result.success, why_failed(result)
    checks = {one.check_name: one for one in result.get_asset_check_evaluations()}
    alert = checks["agrees_with_live"]
    assert not alert.passed
    assert (alert.severity, alert.blocking) == (dg.AssetCheckSeverity.ERROR, False)
    assert "differ from live beyond late hits, e.g. " in alert.description
    assert len(alert.metadata["examples"].value) > 0
    assert laboratory.serving(START) == "gen-0"
    told = [text for note in AuditNotes(laboratory.world.rows, lambda: 1).alerts()
            for text in note.examples if "totals events" in text]  # fmt: skip
    assert told
    assert all("was 0 live" in text for text in told)
