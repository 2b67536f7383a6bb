"""What workers know of properties: enough to judge a secret, never from an old file."""

import json
from pathlib import Path

import orjson
import pytest

from collector.properties_file import PropertiesFile
from tallymark.properties import secret_hash
from tests.collector.workers import worker_at, write_properties

NOW = 1_700_000_000_000_000


def write_secrets(path: Path, *secrets: dict[str, object]) -> None:
    stream = {"measurement_id": "G-NEW0000001", "api_secrets": secrets}
    path.write_text(json.dumps({"properties": [{"data_streams": [stream]}]}))


def test_a_secret_of_a_property_made_a_moment_ago_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "properties.json"
    path.write_text('{"properties": []}')
    known = PropertiesFile(path, lambda: NOW)
    digest = secret_hash("secret")
    write_secrets(path, {"hash": digest, "expires_at": None})
    assert known.verdict("G-NEW0000001", "secret") == "valid"
    assert known.verdict("G-NEW0000001", "another") == "invalid"


def test_an_old_secret_is_accepted_beside_the_new_one_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "properties.json"
    now = [NOW]
    write_secrets(
        path,
        {"hash": secret_hash("old"), "expires_at": NOW + 60},
        {"hash": secret_hash("new"), "expires_at": None},
    )
    known = PropertiesFile(path, lambda: now[0])
    for after, old_opens in ((0, True), (59, True), (60, False)):
        now[0] = NOW + after
        assert (known.verdict("G-NEW0000001", "old") == "valid") is old_opens
        assert known.verdict("G-NEW0000001", "new") == "valid"


def test_the_hosts_of_a_stream_come_before_those_of_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "properties.json"
    app = {"measurement_id": "G-APP", "allowed_hosts": ["app.test"], "api_secrets": []}
    site = {"measurement_id": "G-SITE", "allowed_hosts": [], "api_secrets": []}
    owner = {"data_streams": [app, site], "versions": [{"allowed_hosts": ["shop.test"]}]}
    path.write_text(json.dumps({"properties": [owner]}))
    known = PropertiesFile(path, lambda: NOW)
    assert len(known) == 1
    for name, page, allowed in (
        ("G-APP", "https://app.test", True),
        ("G-APP", "https://shop.test", False),
        ("G-SITE", "https://shop.test", True),
        ("G-SITE", "https://app.test", False),
    ):
        stream = known.find(name)
        assert stream is not None
        assert stream.allows_page_of(page, "") is allowed


BROWSERS = {
    "an allowed origin": ("https://shop.test", "", True),
    "a subdomain, in capitals, with a port": ("https://WWW.Shop.Test:8443", "", True),
    "another origin": ("https://evil.test", "https://shop.test/", False),
    "one that only ends alike": ("https://myshop.test", "", False),
    "a referrer, where there is no origin": ("", "https://evil.test/page", False),
    "an origin that is kept secret": ("null", "https://shop.test/page", True),
    "nothing is known": ("", "", True),
    "what is no address": ("http://[", "::", True),
}


@pytest.mark.parametrize(("origin", "referer", "allowed"), BROWSERS.values(), ids=BROWSERS)
def test_the_peek_tells_of_pages_whose_host_is_not_allowed(
    tmp_path: Path, origin: str, referer: str, allowed: bool
):
    with worker_at(tmp_path) as collector:
        write_properties(tmp_path, allowed_hosts=["example.org", "shop.test"])
        collector.worker.known.refresh()
        answer = collector.ask("/g/collect", "tid=G-SHOP", HTTP_ORIGIN=origin, HTTP_REFERER=referer)
        assert len(collector.rows()) == 1
    assert answer.status == 204
    assert answer.headers.get("X-Tallymark-Reason", "") == ("" if allowed else "host_not_allowed")


@pytest.mark.parametrize("versions", [[7], {"a": 1}, 7, [{"allowed_hosts": 7}]])
def test_rules_that_cannot_be_read_leave_the_last_ones(tmp_path: Path, versions: object):
    write_properties(tmp_path)
    path = tmp_path / "rules" / "properties.json"
    known = PropertiesFile(path, lambda: NOW)
    document = orjson.loads(path.read_bytes())
    document["properties"][0]["data_streams"][0]["measurement_id"] = "G-NEW"
    document["properties"][0]["versions"] = versions
    path.write_bytes(orjson.dumps(document))
    known.refresh()
    assert known.find("G-SHOP") is not None
    assert known.is_unknown("G-NEW")
