"""Streams and replays whose rules come from the configuration service instead of a file."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from beam_pipelines import workers
from beam_pipelines.places import Places
from beam_pipelines.replay_request import Replay, ReplayRequest
from stores.rules_cache.port import RulesUnavailableError
from tallymark.properties import properties_frame
from tests.stores.rules_cache.feed_server import (
    FeedServer,
    key_file,
    measurement_id,
    serving,
    shop,
)

HOUR_US = 3_600_000_000


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with serving() as running:
        with running.writing() as database:
            for number in range(1_200):
                database.save(shop(number, session_gap_seconds=3_600 if number == 1_100 else 1_800))
        yield running


@pytest.fixture
def url(server: FeedServer, tmp_path: Path) -> str:
    return f"{server.url}?key={key_file(tmp_path)}&copies="


@pytest.fixture
def request_of(url: str, tmp_path: Path) -> ReplayRequest:
    return ReplayRequest(
        lineage="gen-1", start_us=0, end_us=4 * HOUR_US, clock_us=100 * HOUR_US, rules_path=url,
        archive_url=f"file:{tmp_path}/archive", wide_rows_url=f"sqlite:{tmp_path}/rows.sqlite",
    )  # fmt: skip


def test_a_replay_of_some_looks_up_those_alone(server: FeedServer, request_of: ReplayRequest):
    asked = replace(request_of, measurement_ids=(measurement_id(7), measurement_id(3)))
    replay = Replay(asked)
    assert replay.property_ids == (shop(3).property_id, shop(7).property_id)
    assert replay.request.measurement_ids == (measurement_id(3), measurement_id(7))
    paths = [path for path, _ in server.asked]
    assert "/v1/properties:page" not in paths
    with pytest.raises(ValueError, match="got G-NOBODY0001"):
        Replay(replace(request_of, measurement_ids=("G-NOBODY0001",)))


def test_a_replay_of_all_passes_over_their_pages(request_of: ReplayRequest):
    replay = Replay(request_of)
    assert replay.property_ids is None
    short = Replay(replace(request_of, measurement_ids=(measurement_id(1),)))
    assert replay.plan.window.start_us <= short.plan.window.start_us
    assert replay._session_gap_seconds == 3_600


def test_a_replay_does_not_begin_without_the_service(
    server: FeedServer, request_of: ReplayRequest, caplog: pytest.LogCaptureFixture
):
    server.stop()
    with caplog.at_level(logging.CRITICAL), pytest.raises(RulesUnavailableError):
        Replay(request_of)


def test_places_name_and_list_properties_of_the_service(url: str, tmp_path: Path):
    places = Places(archive_url="", wide_rows_url="", rules_path=url)
    assert places.property_named(measurement_id(5)) == shop(5)
    assert places.property_named(str(shop(6).property_id)) == shop(6)
    assert sum(1 for _ in places.properties()) == 1_200
    with pytest.raises(ValueError, match=r"got 'tea'; there are 100000000 .* and more"):
        places.property_named("tea")


def test_workers_follow_one_service_once(url: str):
    rules = workers.rules(url)
    assert workers.rules(url) is rules
    assert rules.frame([measurement_id(9)]).equals(properties_frame([shop(9)]))
    rules.close()
