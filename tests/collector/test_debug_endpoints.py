"""Endpoints that look at a request and record nothing."""

import json
from pathlib import Path

import pytest

from tests.collector.workers import worker_at


@pytest.mark.parametrize(
    ("path", "query", "body", "key"),
    [
        ("/debug/mp/collect", "measurement_id=G-SHOP&api_secret=x", b'{"events":[]}',
         "validationMessages"),
        ("/debug/collect", "v=1&tid=G-SHOP&cid=1&t=pageview&dh=a&dp=/", b"", "hitParsingResult"),
        ("/debug/collect", "", b"\xff\xfe", "hitParsingResult"),
    ],
)  # fmt: skip
def test_a_request_is_answered_and_not_recorded(tmp_path: Path, path, query, body, key):
    with worker_at(tmp_path) as collector:
        answer = collector.ask(path, query, body, HTTP_ORIGIN="https://shop.test")
        assert answer.status == 200
        assert json.loads(answer.body)[key]
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.test"
        assert collector.rows() == []


def test_a_body_beyond_the_limit_is_refused_in_json(tmp_path: Path):
    with worker_at(tmp_path, max_body_bytes=10) as collector:
        answer = collector.ask("/debug/mp/collect", "", b"{" * 11)
    assert answer.status == 413
    assert "10 bytes" in json.loads(answer.body)["error"]


def test_a_preflight_is_allowed(tmp_path: Path):
    with worker_at(tmp_path) as collector:
        answer = collector.ask(
            "/debug/mp/collect", REQUEST_METHOD="OPTIONS", HTTP_ORIGIN="https://shop.test"
        )
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.test"
