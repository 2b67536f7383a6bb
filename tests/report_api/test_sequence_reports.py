"""Funnels, paths and retention of streamed and sealed days, by Google's client and by hand."""

import json
import socket
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from google.analytics.data_v1alpha import AlphaAnalyticsDataClient, types
from google.api_core import exceptions
from google.oauth2.credentials import Credentials

from stores.archive.raw import RawArchive
from tallymark.processing import process_requests
from tests.report_api.conftest import wait_until_ready
from tests.report_api.test_reports_from_hits import Shop, client_of, receipt

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DAYS = [{"startDate": "2023-11-15", "endDate": "2023-11-17"}]
STEPS = ("page_view", "add_to_cart", "purchase")
FUNNEL = {
    "dateRanges": DAYS,
    "funnel": {
        "steps": [
            {"name": name, "filterExpression": {"funnelEventFilter": {"eventName": name}}}
            for name in STEPS
        ]
    },
}


@pytest.fixture(name="shop", scope="module")
def _shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(name="url", scope="module")
def _url(shop: Shop) -> Iterator[str]:
    """A report API with the archive, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = shop.streamed.places
    command = [
        sys.executable, "-m", "cli.main", "serve", "reports", f"--port={port}",
        f"--wide-rows={places.wide_rows_url}", f"--archive={places.archive_url}",
        f"--rules={places.rules_path}", f"--data={shop.streamed.world.folder}",
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def hits_by_client(shop: Shop) -> dict[int, list[dict[str, Any]]]:
    """The hits that are served, walked over one by one: all but the late one of an open hour."""
    raw = RawArchive(shop.objects)
    frames = [frame for hour in raw.hours() for frame in raw.read_hour(hour)]
    hits = process_requests(pl.concat(frames), shop.rules.frame).hits
    counting = hits.filter(pl.col("excluded_by") == "").unique("hit_id").sort("event_at", "hit_id")
    clients = defaultdict(list)
    for row in counting.iter_rows(named=True):
        clients[row["client_hash"]].append(row)
    return clients


def asked(shop: Shop, method: str, body: Any, **limits: Any) -> Any:
    version = "v1alpha" if method == "runFunnelReport" else "v1"
    return client_of(shop, **limits).post(
        f"/{version}/properties/{shop.owner.property_id}:{method}",
        json=body,
        headers={"Authorization": f"Bearer {shop.read_key}"},
    )


def test_googles_client_gets_the_funnel_that_a_walk_over_hits_gives(shop: Shop, url: str) -> None:
    client = AlphaAnalyticsDataClient(
        transport="rest",
        credentials=Credentials(token=shop.read_key),
        client_options={"api_endpoint": url},
    )
    request = types.RunFunnelReportRequest.from_json(json.dumps(FUNNEL))
    request.property = f"properties/{shop.owner.property_id}"
    request.return_property_quota = True

    answer = client.run_funnel_report(request)

    expected = Counter[int]()
    for mine in hits_by_client(shop).values():
        step = 0
        for one in mine:
            if step < len(STEPS) and one["event_name"] == STEPS[step]:
                expected[step] += 1
                step += 1
    assert expected[0] > 0
    rows = {
        row.dimension_values[0].value: int(row.metric_values[0].value)
        for row in answer.funnel_table.rows
    }
    assert rows == {f"{at + 1}. {name}": expected[at] for at, name in enumerate(STEPS)}
    assert len(answer.funnel_visualization.rows) == len(STEPS)
    assert answer.property_quota.tokens_per_day.remaining > 0
    wrong = types.RunFunnelReportRequest(property=request.property)
    with pytest.raises(exceptions.BadRequest, match="funnel: expected steps"):
        client.run_funnel_report(wrong)


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("runFunnelReport", FUNNEL),
        ("runPathReport", {"dateRanges": DAYS, "node": "eventName", "steps": 4}),
        ("runRetentionReport", {"dateRanges": DAYS, "period": "day"}),
    ],
)
def test_some_clients_at_a_time_say_what_all_at_once_say(
    shop: Shop, method: str, body: dict[str, Any]
) -> None:
    whole = asked(shop, method, body)
    assert whole.status_code == 200, whole.data
    assert whole.json == asked(shop, method, body, hits_together=20).json
    told = receipt(whole)
    assert (told["computed_from"], told["lineages"]) == ("hits", ["gen-0", "live-1"])
    assert told["newest_hit_us"] == shop.newest_us


def test_paths_begin_with_a_visit_of_everybody_who_viewed_a_page(shop: Shop) -> None:
    clients = hits_by_client(shop)
    nodes = asked(shop, "runPathReport", {"dateRanges": DAYS}).json["nodes"]
    first = sum(node["visits"] for node in nodes if node["step"] == 0)
    viewing = [mine for mine in clients.values() if any(one["is_page_view"] for one in mine)]
    assert first >= len(viewing) > 0


def test_only_the_property_s_key_opens_them_and_limits_hold(shop: Shop) -> None:
    path = f"/v1alpha/properties/{shop.owner.property_id}:runFunnelReport"
    client = client_of(shop)
    assert client.post(path, json=FUNNEL).status_code == 401
    wrong = {"Authorization": "Bearer no"}
    assert client.post(path, json=FUNNEL, headers=wrong).status_code == 403
    refused = asked(shop, "runFunnelReport", FUNNEL, hits=5)
    assert refused.status_code == 400
    assert "5 may be. Ask for fewer days." in refused.json["error"]["message"]
    assert (
        asked(shop, "runPathReport", {"dateRanges": DAYS}, at_once=0, waiting=0).status_code == 429
    )
