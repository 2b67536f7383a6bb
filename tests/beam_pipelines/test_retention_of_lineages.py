"""Retention after a replay: what lineages hold goes too, and no replay overlooks it."""

from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from beam_pipelines.places import Places
from beam_pipelines.replay import main, replay
from beam_pipelines.replay_request import Replay, RequestsGoneError
from stores.archive.clean import CleanHits
from stores.archive.counted_touches import noted_touches
from stores.archive.counts import Sessions
from stores.archive.dead_letters import DeadLetters
from stores.erasure import Erased
from stores.retention import RetentionSweep, Taken
from tallymark.erasure import client_hash_of
from tallymark.hits import empty_hits
from tallymark.retention import Retention
from tallymark.slots import DAY_US, HOUR_US
from tallymark.touch_cells import decode_touches
from tests.beam_pipelines.test_replay import block_of, server_hit
from tests.beam_pipelines.worlds import World, page_view, request_blocks
from tests.strategies import MIDNIGHT_US, MINUTE_US

pytestmark = pytest.mark.slow

HOURS = range(MIDNIGHT_US - 12 * HOUR_US, MIDNIGHT_US + 40 * HOUR_US, HOUR_US)


class Shops:
    """Two properties, whose visits of some hours are replayed, with letters of each."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.brief = self.world.property(1, retention_days=7)
        self.lasting = self.world.property(2)
        at = 90 * MINUTE_US
        broken = [
            page_view(stream, "", at + number, 9_000 + number) | {"query": f"v=2&tid={stream}"}
            for number, stream in enumerate((self.brief, self.lasting, "G-NOBODY0001"))
        ]
        late = server_hit(self.brief, 4 * HOUR_US, HOUR_US, 1)
        blocks = [block_of(one, f"more{number}") for number, one in enumerate([*broken, late])]
        self.world.archive([*request_blocks([self.brief, self.lasting], requests=120), *blocks])
        replay(self.world.replay_request())

    @property
    def places(self) -> Places:
        request = self.world.replay_request()
        return Places(
            archive_url=request.archive_url,
            wide_rows_url=request.wide_rows_url,
            rules_path=request.rules_path,
        )

    def sweep(self, now_us: int, days: int | None = None) -> Taken:
        places = self.places
        owners = list(places.properties())
        return RetentionSweep(
            places.wide_rows,
            places.objects,
            lambda: now_us,
            retention=Retention.of(owners, now_us, days),
            known_of={self.brief, self.lasting}.intersection,
            property_ids=[owner.property_id for owner in owners],
        ).run()

    def owner(self, measurement_id: str) -> int:
        return self.places.property_named(measurement_id).property_id

    def hits(self) -> pl.DataFrame:
        clean = CleanHits(self.world.objects)
        manifests = clean.manifests("gen-1", clean.received_hours("gen-1"))
        frames = []
        for manifest in manifests:
            assert sum(part.hits for part in manifest.parts) == sum(
                frame.height for part in manifest.parts for frame in clean.read(part)
            )
            frames += [frame for part in manifest.parts for frame in clean.read(part)]
        return pl.concat([empty_hits(), *frames])

    def sessions(self) -> pl.DataFrame:
        sessions = Sessions(self.world.objects)
        frames = [frame for hour in HOURS for frame in sessions.read("gen-1", hour)]
        return pl.concat(frames) if frames else pl.DataFrame({"property_id": []})

    def letters(self) -> list[str]:
        requests = DeadLetters(self.world.objects).read("gen-1").get_column("request")
        return [
            name
            for text in requests
            for name in (self.brief, self.lasting, "G-NOBODY0001")
            if name in text
        ]

    def touches(self) -> pl.DataFrame:
        cells = self.world.rows.rows.read([(b"0", b"~")])
        return decode_touches(cells.filter(pl.col("row_key").bin.contains(b"#touches#")))

    def noted(self) -> pl.DataFrame:
        """Clients' hours of which it is noted that the lineage has touches."""
        return pl.concat(noted_touches(self.world.objects, "gen-1"))

    def stored(self, text: str) -> list[str]:
        """Files of hits and sessions of the archive that hold rows of a property."""
        number = self.owner(text)
        return [
            name
            for folder in ("clean/", "sessions/")
            for name in self.world.objects.names(folder)
            if name.endswith(".parquet")
            and number in pl.read_parquet(self.world.objects.open(name))["property_id"]
        ]


@pytest.fixture
def shops(tmp_path: Path) -> Shops:
    return Shops(tmp_path)


def test_all_that_a_lineage_holds_of_due_hits_goes_and_nothing_of_others(shops: Shops) -> None:
    brief, lasting = shops.owner(shops.brief), shops.owner(shops.lasting)
    hits, sessions, touches = shops.hits(), shops.sessions(), shops.touches()
    cells = {name: value for name, value in shops.world.cells("gen-1").items()
             if b"#touches#" not in name[0]}  # fmt: skip
    now_us = MIDNIGHT_US + 10 * DAY_US

    assert set(shops.noted()["property_id"]) == {brief, lasting}

    taken = shops.sweep(now_us)

    others = pl.col("property_id") == lasting
    assert shops.hits().equals(hits.filter(others))
    assert shops.sessions().equals(sessions.filter(others))
    assert shops.touches().equals(touches.filter(others))
    assert set(shops.noted()["property_id"]) == {lasting}
    assert sorted(shops.letters()) == sorted([shops.lasting, "G-NOBODY0001"])
    assert taken.hits == hits.filter(pl.col("property_id") == brief).height > 50
    assert cells == {name: value for name, value in shops.world.cells("gen-1").items()
                     if b"#touches#" not in name[0]}  # fmt: skip
    shops.sweep(now_us + DAY_US)
    assert shops.stored(shops.brief) == []
    assert shops.hits().equals(hits.filter(others))


def test_a_replay_of_hours_whose_requests_are_gone_is_refused(shops: Shops) -> None:
    shops.sweep(MIDNIGHT_US + 10 * DAY_US)

    everything = shops.world.replay_request("gen-2")
    with pytest.raises(RequestsGoneError, match=f"kept, .* are not: .*those of {shops.brief}"):
        replay(everything)
    with pytest.raises(RequestsGoneError):
        replay(shops.world.replay_request("gen-2", measurement_ids=(shops.brief,)))
    replay(shops.world.replay_request("gen-3", measurement_ids=(shops.lasting,)))
    assert not any(b"#gen-2#" in key for key, _, _ in shops.world.cells("gen-2"))


def test_hours_that_the_deployment_does_not_keep_go_whole(shops: Shops) -> None:
    now_us = MIDNIGHT_US + 300 * DAY_US

    shops.sweep(now_us, days=100)

    assert (shops.hits().height, shops.sessions().height, shops.touches().height) == (0, 0, 0)
    assert shops.letters() == []
    with pytest.raises(RequestsGoneError, match="all requests"):
        _ = Replay(shops.world.replay_request("gen-2")).received_hours
    shops.sweep(now_us + DAY_US, days=100)
    left = [name for folder in ("raw/", "clean/", "sessions/", "retention/")
            for name in shops.world.objects.names(folder) if name.endswith(".parquet")]  # fmt: skip
    assert left == []


def test_a_client_is_erased_and_nobody_else(shops: Shops) -> None:
    owner = shops.owner(shops.brief)
    hits, sessions, touches = shops.hits(), shops.sessions(), shops.touches()
    is_one = (pl.col("property_id") == owner) & (pl.col("client_hash") == client_hash_of("3.1"))
    erasure = shops.places.erasure(shops.brief, "3.1")
    found = sum(map(len, erasure.found().values()))

    erased = erasure.run()

    assert erased.requests == erased.hits == found == hits.filter(is_one).height > 1
    assert shops.hits().equals(hits.filter(~is_one))
    assert shops.sessions().equals(sessions.filter(~is_one))
    assert shops.touches().equals(touches.filter(~is_one))
    assert shops.noted().filter(is_one).is_empty()
    assert erasure.run() == Erased()
    replay(shops.world.replay_request("gen-2"))
    clean = CleanHits(shops.world.objects)
    again = clean.manifests("gen-2", clean.received_hours("gen-2"))
    assert sum(one.conservation.counted for one in again) == hits.filter(~is_one).height


def test_the_command_says_that_requests_are_gone(shops: Shops) -> None:
    shops.sweep(MIDNIGHT_US + 10 * DAY_US)
    request = shops.world.replay_request("gen-2")

    result = CliRunner().invoke(
        main,
        ["--lineage", "gen-2", "--from", "2023-11-15T00", "--to", "2023-11-15T04",
         "--archive", request.archive_url, "--wide-rows", request.wide_rows_url,
         "--rules-file", request.rules_path],
    )  # fmt: skip

    assert result.exit_code == 9
    assert '"outcome": "gone"' in result.output
