"""What workers know of properties: enough to judge a secret, never from an old file."""

import hashlib
import json
from pathlib import Path

import orjson
import pytest

from collector.known_properties import KnownProperties
from tests.collector.workers import worker_at, write_properties


def test_a_secret_of_a_property_made_a_moment_ago_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "properties.json"
    path.write_text('{"properties": []}')
    known = KnownProperties(path)
    digest = hashlib.sha256(b"secret").hexdigest()
    entry = {"measurement_id": "G-NEW0000001", "api_secret_hash": digest}
    path.write_text(json.dumps({"properties": [entry]}))
    assert known.accepts_secret("G-NEW0000001", "secret")
    assert not known.accepts_secret("G-NEW0000001", "another")


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
    known = KnownProperties(path)
    document = orjson.loads(path.read_bytes())
    document["properties"][0] |= {"measurement_id": "G-NEW", "versions": versions}
    path.write_bytes(orjson.dumps(document))
    known.refresh()
    assert known.knows("G-SHOP")
    assert not known.knows("G-NEW")
