"""The two report services, together and each in a process of its own."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient

from tallymark.reports.services import SERVICES
from tallymark.reports.standard_reports import STANDARD_REPORTS
from tests.report_api.conftest import Server, Shop, fill, make_shop, wait_until_ready

TODAY = {"dateRanges": [{"startDate": "today", "endDate": "today"}]}


def asked(client: FlaskClient, shop: Shop, path: str, body: Any = None) -> Any:
    """Status and JSON of a call with the shop's key; with a body it is a POST."""
    call = client.get if body is None else client.post
    response = call(
        f"/v1/properties/{shop.property_id}/{path}",
        headers={"Authorization": f"Bearer {shop.read_key}"},
        **({} if body is None else {"json": body}),
    )
    return response.status_code, response.json


def test_the_reports_of_a_service_are_listed_with_requests_that_are_answered(
    client: FlaskClient, shop: Shop
) -> None:
    for service in SERVICES:
        status, told = asked(client, shop, f"{service}/reports")
        assert status == 200
        assert told["reports"] == [
            one.document() for one in STANDARD_REPORTS.values() if one.service == service
        ]
        for report in told["reports"]:
            name = report["name"]
            assert asked(client, shop, f"{service}/reports/{name}") == (200, report)
            status, answer = asked(client, shop, f"{service}/reports/{name}:run", TODAY)
            if report["computedFrom"] == "cells":
                assert (status, answer["kind"]) == (200, "analyticsData#runReport")
            else:
                assert status == 400, "there is no archive here to read hits of"


def test_a_standard_report_says_what_its_request_says(client: FlaskClient, shop: Shop) -> None:
    changes = TODAY | {"timeUnit": "hour", "limit": 1}
    status, answer = asked(client, shop, "acquisition/reports/sources:run", changes)
    assert (status, answer["rowCount"]) == (200, 2)
    values = [cell["value"] for cell in answer["rows"][0]["dimensionValues"]]
    assert values == ["2023111513", "google / organic"]


@pytest.mark.parametrize(
    ("asking", "status", "said"),
    [
        (("sales/reports", None), 404, "expected a service of acquisition, behaviour, got 'sales'"),
        (("behaviour/reports/channels", None), 404, "expected a report of engagement, pages, "),
        (("behaviour/reports/pages:run", []), 400, "expected an object"),
        (("behaviour/reports/pages:run", {"metrics": []}), 400, "metrics: expected one of "),
    ],
)
def test_what_there_is_not_is_told(
    client: FlaskClient, shop: Shop, asking: tuple[str, Any], status: int, said: str
) -> None:
    found, told = asked(client, shop, *asking)
    assert found == status
    assert said in told["error"]["message"]


def test_the_reports_of_a_property_need_its_key(client: FlaskClient, shop: Shop) -> None:
    base = f"/v1/properties/{shop.property_id}/behaviour/reports"
    for response in (
        client.get(base), client.get(f"{base}/pages"), client.post(f"{base}/pages:run", json={})
    ):  # fmt: skip
        assert response.status_code == 401
    wrong = {"Authorization": "Bearer no"}
    assert client.post(f"{base}/pages:run", json={}, headers=wrong).status_code == 403
    assert client.get("/v1/services").json == {
        "services": [
            {"name": "acquisition", "title": "User Acquisition: before the visit"},
            {"name": "behaviour", "title": "User Behaviour: during the visit"},
        ]
    }


@contextmanager
def served(shop: Shop, *options: str) -> Iterator[Server]:
    """``tallymark serve reports`` over the shop's folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "cli.main", "serve", "reports", f"--data={shop.data_dir}",
        f"--port={port}", f"--wide-rows=sqlite:{shop.store_path}", *options,
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield Server(shop, f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=20)


def over_http(server: Server, path: str, body: Any = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {server.shop.read_key}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}{path}", data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            content = answer.read()
            is_json = answer.headers.get_content_type() == "application/json"
            return answer.status, json.loads(content) if is_json else content
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_each_service_is_deployed_on_its_own_and_says_what_both_together_say(tmp_path: Any) -> None:
    shop = make_shop(tmp_path, now_us=time.time_ns() // 1000)
    fill(shop)
    with ExitStack() as stack:
        joint = stack.enter_context(served(shop))
        alone = {one: stack.enter_context(served(shop, f"--only={one}")) for one in SERVICES}
        of_shop = f"/v1/properties/{shop.property_id}"
        for report in STANDARD_REPORTS.values():
            (other,) = set(SERVICES) - {report.service}
            if report.is_of_hits:
                continue
            path = f"{of_shop}/{report.service}/reports/{report.name}:run"
            status, answer = over_http(alone[report.service], path, TODAY)
            assert (status, answer) == over_http(joint, path, TODAY)
            assert status == 200
            assert over_http(alone[other], path, TODAY)[0] == 404
        for name, server in alone.items():
            assert over_http(server, "/v1/services")[1]["services"][0]["name"] == name
            assert over_http(server, "/")[0] == 404
            assert over_http(server, "/readyz")[0] == 200
        funnel = f"/v1alpha/properties/{shop.property_id}:runFunnelReport"
        assert over_http(alone["acquisition"], funnel, {})[0] == 404
        assert (
            over_http(alone["behaviour"], funnel, {})[0] == over_http(joint, funnel, {})[0] == 501
        )
        run = f"/v1beta/properties/{shop.property_id}:runReport"
        pages = TODAY | {"dimensions": [{"name": "pagePath"}], "metrics": [{"name": "sessions"}]}
        assert over_http(alone["behaviour"], run, pages) == over_http(joint, run, pages)
        status, told = over_http(alone["acquisition"], run, pages)
        assert (status, told["error"]["message"]) == (
            400,
            "Field pagePath is of the report service behaviour; this one answers acquisition "
            "alone.",
        )
        metadata = f"/v1beta/properties/{shop.property_id}/metadata"
        names = {
            one: {each["apiName"] for each in over_http(server, metadata)[1]["dimensions"]}
            for one, server in (*alone.items(), ("both", joint))
        }
        assert names["acquisition"] | names["behaviour"] == names["both"]
        assert "pagePath" not in names["acquisition"]
        assert "sessionSource" not in names["behaviour"]
