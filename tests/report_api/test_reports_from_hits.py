"""Reports from single hits over streamed and sealed days say what those from cells say."""

import json
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from flask.testing import FlaskClient

from report_api.app import create_app
from report_api.hit_limits import HitLimits
from report_api.hit_reader import HitReader
from report_api.reader import ReportReader
from stores.archive.raw import RawArchive
from stores.rules_cache.file import FileRulesCache
from tallymark.reports import answer, parse_request, plan_of_hits, response_document
from tallymark.slots import DAY_US, HOUR_US, MINUTE_US
from tests.beam_pipelines.test_live_audit import Streamed
from tests.property_files import create_property
from tests.strategies import MIDNIGHT_US
from tests.tallymark.report_cells import asks, values

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NOW_US = MIDNIGHT_US + 3 * DAY_US - HOUR_US
DATES = {
    "all days": ("3daysAgo", "today"),
    "a sealed day": ("2023-11-15", "2023-11-15"),
    "over the seal": ("2023-11-16", "2023-11-17"),
    "an open day": ("2023-11-17", "2023-11-17"),
}
COMBINATIONS = [
    ("", "sessions activeUsers totalUsers newUsers eventCount screenPageViews engagementRate"),
    ("date", "sessions activeUsers averageSessionDuration"),
    ("hour", "sessions totalUsers eventCount"),
    ("date sessionSource sessionMedium", "sessions engagedSessions activeUsers eventCount"),
    ("firstUserSource firstUserCampaignName", "sessions newUsers totalUsers"),
    ("newVsReturning date", "sessions totalUsers"),
    ("landingPage", "sessions bounceRate"),
    ("pagePath", "screenPageViews totalUsers sessions entrances exits"),
    ("eventName", "eventCount totalUsers"),
    ("browser deviceCategory", "sessions eventCount"),
]


class Shop:
    """Three days, the first two of which are sealed; a hit of the first came two days late."""

    def __init__(self, folder: Path, *, sealed: int = 2) -> None:
        self.streamed = Streamed(folder)
        for day in range(sealed):
            self.streamed.seal(day)
        world = self.streamed.world
        self.objects, self.rows = world.objects, world.rows
        self.rules = FileRulesCache(folder / "properties.json")
        (self.owner,) = self.rules.properties()
        again = create_property(
            folder / "again.json", name="Shop", random_bytes=Random(1).randbytes
        )  # of the same bytes: its keys are stored nowhere
        self.read_key = again.read_key
        received = [
            int(at)
            for hour in RawArchive(self.objects).hours()
            for frame in RawArchive(self.objects).read_hour(hour)
            for at in frame["received_at"]
        ]
        self.newest_us = max(at for at in received if at < NOW_US)
        self.reader = ReportReader(self.rows, lambda: NOW_US)  # type: ignore[arg-type]

    def hits(self, **limits: Any) -> HitReader:
        return HitReader(self.objects, self.rows, lambda: NOW_US, HitLimits(**limits))  # type: ignore[arg-type]

    def from_hits(self, request: dict[str, Any], **limits: Any) -> dict[str, Any]:
        parsed = parse_request(request, now_us=NOW_US, time_zone="Europe/Zurich", currency="USD")
        planned = plan_of_hits(parsed, self.owner.property_id)
        pointers = self.reader.pointers(self.owner.property_id)
        found = self.hits(**limits).read(planned, self.owner, pointers)
        return response_document(answer(planned, found.decoded))


@pytest.fixture(name="shop", scope="module")
def _shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.mark.parametrize("dates", DATES)
@pytest.mark.parametrize(("by", "asked"), COMBINATIONS)
def test_cells_and_hits_say_the_same(shop: Shop, dates: str, by: str, asked: str) -> None:
    first, last = DATES[dates]
    request = asks(by, asked, dateRanges=[{"startDate": first, "endDate": last}])
    told = shop.reader.report(shop.owner, request).document
    assert shop.from_hits(request) == told
    assert shop.from_hits(request, hits_together=40) == told  # a day and some clients at a time
    assert told["rows"]


BEYOND = asks("pagePath sessionSource", "eventCount sessions totalUsers") | {
    "dateRanges": [{"startDate": "3daysAgo", "endDate": "today"}]
}
"""What no rollup holds."""


def client_of(shop: Shop, **limits: Any) -> FlaskClient:
    app = create_app(
        wide_rows=shop.rows,  # type: ignore[arg-type]
        rules_cache=shop.rules,
        now_us=lambda: NOW_US,
        archive=shop.objects,
        hit_limits=HitLimits(**limits),
    )
    return app.test_client()


def ask(shop: Shop, client: FlaskClient, request: dict[str, Any]) -> Any:
    return client.post(
        f"/v1beta/properties/{shop.owner.property_id}:runReport",
        json=request,
        headers={"Authorization": f"Bearer {shop.read_key}"},
    )


def receipt(response: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(response.headers["X-Tallymark-Freshness"])
    return told


def test_what_no_rollup_holds_is_answered_from_hits_and_the_receipt_says_so(shop: Shop) -> None:
    response = ask(shop, client_of(shop), BEYOND)
    assert response.status_code == 200, response.data
    by_page = asks("pagePath", "eventCount", dateRanges=BEYOND["dateRanges"])
    expected = values(shop.reader.report(shop.owner, by_page).document["rows"])
    of_pages: dict[str, int] = {}
    for page, _, events, *_ in values(response.get_json()["rows"]):
        of_pages[page] = of_pages.get(page, 0) + int(events)
    assert of_pages == {page: int(count) for page, count in expected}
    told = receipt(response)
    assert told.pop("hits_read") >= sum(of_pages.values())
    assert told.pop("pointer_map") > 1
    assert told == {
        "computed_from": "hits",
        "newest_slot_us": shop.newest_us // HOUR_US * HOUR_US,
        "newest_hit_us": shop.newest_us,
        "frontier_us": None,  # the stream's last flush has only just been seen
        "open_hours": 25,  # of the last day, and the hour before all sealed ones
        "lineages": ["gen-0", "live-1"],
        "rules_versions": [1],
        "standard_error": 0.0,
        "is_capped": False,
        "overrides": 0,
    }


def test_the_receipt_of_cells_names_the_newest_minute(shop: Shop) -> None:
    request = asks("", "sessions", dateRanges=[{"startDate": "yesterday", "endDate": "today"}])
    told = receipt(ask(shop, client_of(shop), request))
    minute = shop.newest_us // MINUTE_US * MINUTE_US
    assert (told["computed_from"], told["newest_hit_us"]) == ("cells", minute)
    assert (told["rules_versions"], told["open_hours"], told["hits_read"]) == ([1], 24, 0)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"hours": 24}, "days would have to be read, 1 may be. Ask for fewer days."),
        ({"hits": 10}, "looked through, 10 may be. Ask for fewer days, or leave pagePath out"),
        ({"requests": 10}, "requests of hours not sealed yet would have to be looked through"),
        ({"seconds": -1.0}, "takes longer than the -1 seconds that it may"),
    ],
)
def test_a_report_beyond_the_limits_is_refused_and_told_how_to_ask_for_less(
    shop: Shop, limits: dict[str, Any], says: str
) -> None:
    response = ask(shop, client_of(shop, **limits), BEYOND)
    assert response.status_code == 400
    assert says in response.get_json()["error"]["message"]


def test_while_hits_are_read_for_others_a_report_is_to_be_asked_for_again(shop: Shop) -> None:
    response = ask(shop, client_of(shop, at_once=0, waiting=0), BEYOND)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "5")
    assert response.get_json()["error"]["status"] == "RESOURCE_EXHAUSTED"


def test_a_row_of_others_is_told_apart_from_hits_where_these_may_be_read(shop: Shop) -> None:
    asked = asks("pagePath", "eventCount", dateRanges=BEYOND["dateRanges"])
    whole = ask(shop, client_of(shop), asked).get_json()["rows"]
    folded = Folded(shop.rows)
    found = {}
    for name, limits in (("read", {}), ("too many", {"hits": 1, "requests": 1})):
        app = create_app(
            wide_rows=folded,  # type: ignore[arg-type]
            rules_cache=shop.rules,
            now_us=lambda: NOW_US,
            archive=shop.objects,
            hit_limits=HitLimits(**limits),
        )
        found[name] = ask(shop, app.test_client(), asked)
    assert found["read"].get_json()["rows"] == whole
    assert receipt(found["read"])["computed_from"] == "hits"
    assert not found["read"].get_json()["metadata"]["dataLossFromOtherRow"]
    assert found["too many"].get_json()["metadata"]["dataLossFromOtherRow"]
    assert receipt(found["too many"])["is_capped"]


class Folded:
    """Wide rows in which the page ``/cart`` of every cell has been folded into ``(other)``."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    def read(self, *arguments: Any) -> pl.DataFrame:
        cells: pl.DataFrame = self._rows.read(*arguments)
        values = [
            value.replace(b"shop.example\t/cart\t", b"(other)\t(other)\t")
            for value in cells["value"]
        ]
        return cells.with_columns(pl.Series("value", values, pl.Binary))


def test_what_is_not_kept_any_more_is_not_counted_from_what_is_left(shop: Shop) -> None:
    kept = {
        name: shop.objects.get(name)
        for name in shop.objects.names("clean/gen-0/")
        if "2023-11-15T03" in name and name.endswith("manifest.json")
    }
    assert kept
    for name in kept:
        shop.objects.delete(name)
    try:
        response = ask(shop, client_of(shop), BEYOND)
    finally:
        for name, content in kept.items():
            shop.objects.put(name, content)
    assert response.status_code == 400
    assert "are gone. Ask for later days." in response.get_json()["error"]["message"]
