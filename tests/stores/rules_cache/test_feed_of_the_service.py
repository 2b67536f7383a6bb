"""The follower of the change feed and the configuration service itself, over HTTP."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from stores.rules_cache.documents import decode_properties
from stores.rules_cache.opening import open_rules_cache
from stores.rules_cache.port import RulesCache
from tests.config_api.api import Api, running_api
from tests.stores.rules_cache.conftest import eventually


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path) as running:
        yield running


@pytest.fixture
def cache(api: Api) -> Iterator[RulesCache]:
    server = make_server("127.0.0.1", 0, api.app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.port}?key={api.folder.feed_key}"
    opened = open_rules_cache(url, role="test")
    yield opened
    opened.close()
    server.shutdown()


def test_a_worker_knows_what_is_made_and_changed_in_the_service(api: Api, cache: RulesCache):
    before = cache.valid_through()
    account = api.account()
    first = api.property(account, "Shop", time_zone="Asia/Kolkata")
    names = [api.made(f"/v1/{first}/dataStreams", {"display_name": "Site"})["measurement_id"]]
    api.property(account, "Other")

    frame = cache.frame([*names, "G-NOBODY0000"])
    assert frame["time_zone"].to_list() == ["Asia/Kolkata"]

    rules = api.ask("GET", f"/v1/{first}/rules").json
    document = {**rules["document"], "currency": "INR"}
    assert api.ask("PUT", f"/v1/{first}/rules", {"document": document}).status_code == 200
    eventually(lambda: sorted(cache.frame(names)["rules_version"]) == [1, 2])
    eventually(lambda: cache.valid_through() > before)
    published = decode_properties(api.folder.properties.read_bytes())
    assert list(cache.properties()) == published
    for owner in published:
        assert cache.by_property_id(owner.property_id) == owner
