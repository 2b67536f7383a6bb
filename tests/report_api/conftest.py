"""A store with known cells, in this process and behind a server of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from flask.testing import FlaskClient

from report_api.app import create_app
from stores.rules_cache.file import FileRulesCache
from stores.wide_rows.port import WideRows
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark import pointer_map
from tallymark.cells import SLOT_COLUMNS, encode
from tallymark.pointer_map import PointerMap
from tallymark.rollups import BY_NAME
from tallymark.row_keys import POINTER_MAP_KEY
from tallymark.slots import HOUR_US, MINUTE_US
from tests.property_files import create_property
from tests.tallymark.report_cells import rows_of

NASTY = "/<script>alert(1)</script>"
"""A path as an attacker would send it."""

OWN_RULES: dict[str, object] = {
    "custom_dimensions": [{"parameter": "author", "scope": "event", "title": "Author"}],
    "custom_metrics": [{"parameter": "wait", "scope": "event", "unit": "seconds"}],
    "channel_groups": [
        {
            "name": "own",
            "title": "Ours",
            "channels": [{"name": "Search", "when": {"field": "medium", "is": "organic"}}],
        }
    ],
}
"""What the property of the server has defined for its reports."""


@dataclass(frozen=True)
class Shop:
    """A property in a data folder whose store holds what ``write_cells`` wrote."""

    data_dir: Path
    property_id: int
    measurement_id: str
    read_key: str
    now_us: int

    @property
    def rules_path(self) -> Path:
        return self.data_dir / "rules" / "properties.json"

    @property
    def store_path(self) -> Path:
        return self.data_dir / "wide_rows.sqlite"


def make_shop(data_dir: Path, now_us: int, name: str = "Shop", **rules: object) -> Shop:
    """A property without any cells; the store serves ``live-1``."""
    rules_path = data_dir / "rules" / "properties.json"
    made = create_property(rules_path, name=name, random_bytes=os.urandom, currency="EUR", **rules)
    store = SqliteWideRows(data_dir / "wide_rows.sqlite")
    store.compare_and_set(
        POINTER_MAP_KEY,
        pointer_map.QUALIFIER,
        expected=None,
        value=PointerMap.serving("live-1").encode(),
        version=1,
    )
    store.close()
    owner = made.created
    return Shop(data_dir, owner.property_id, made.measurement_id, made.read_key, now_us)


def write_cells(
    shop: Shop, rollup_name: str, rows: list[dict[str, object]], *, lineage: str = "live-1"
) -> None:
    """Store the rows; their hour is that of now, ``hour`` says another."""
    store = SqliteWideRows(shop.store_path)
    now_hour_us = shop.now_us // HOUR_US * HOUR_US
    frame = rows_of(BY_NAME[rollup_name], rows).with_columns(
        property_id=pl.lit(shop.property_id, pl.Int64),
        slot_start=pl.Series(
            [now_hour_us + int(str(row.get("hour", 0))) * HOUR_US for row in rows], dtype=pl.Int64
        ),
    )
    touched = frame.select(SLOT_COLUMNS).unique()
    store.write(encode(BY_NAME[rollup_name], frame, touched, lineage=lineage, version=1))
    store.close()


def fill(shop: Shop) -> None:
    """Known cells of the present hour and the one before."""
    minute = f"{shop.now_us // MINUTE_US % 60:02d}"
    write_cells(
        shop,
        "totals",
        [
            {"sessions": 3, "engaged_sessions": 2, "views": 12, "events": 20, "key_events": 1,
             "value_micros": 49_900_000, "users": {1, 2, 3}, "active_users": {1, 2}},
        ],
    )  # fmt: skip
    write_cells(
        shop,
        "acquisition",
        [
            {"source": "google", "medium": "organic", "campaign": "(organic)",
             "channel": "Organic Search", "sessions": 2, "users": {1, 2}, "active_users": {1}},
            {"source": "(direct)", "medium": "(none)", "campaign": "(direct)",
             "channel": "Direct", "sessions": 1, "users": {3}, "active_users": {2}},
        ],
    )  # fmt: skip
    write_cells(
        shop,
        "pages",
        [
            {"host": "shop.example", "path": "/", "views": 9, "sessions": 3, "users": {1, 2, 3}},
            {"host": "shop.example", "path": NASTY, "views": 3, "sessions": 1, "users": {1}},
        ],
    )
    write_cells(
        shop,
        "events",
        [
            {"event_name": "page_view", "events": 12, "users": {1, 2, 3}},
            {"event_name": "purchase", "events": 1, "key_events": 1, "users": {1}},
        ],
    )
    write_cells(
        shop,
        "custom",
        [
            {"custom_name": "customEvent:author", "custom_value": "Ann", "events": 9,
             "sessions": 2, "users": {1, 2}},
            {"custom_name": "customEvent:author", "events": 11, "sessions": 3, "users": {1, 3}},
        ],
    )  # fmt: skip
    amounts = {"custom_name": "customEvent:wait", "event_name": "page_view", "events": 4}
    write_cells(shop, "custom_amounts", [amounts | {"amount_micros": 6_500_000}])
    write_cells(shop, "minutes", [{"minute": minute, "events": 5, "views": 4, "users": {1, 2}}])


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = make_shop(tmp_path, now_us=1_700_053_800_000_000)  # 2023-11-15 13:10 UTC
    fill(made)
    return made


@pytest.fixture
def store(shop: Shop) -> Iterator[WideRows]:
    opened = SqliteWideRows(shop.store_path)
    yield opened
    opened.close()


@pytest.fixture
def client(shop: Shop, store: WideRows) -> FlaskClient:
    return client_of(shop, store)


def client_of(shop: Shop, store: WideRows, **options: Any) -> FlaskClient:
    cache = FileRulesCache(shop.rules_path, clock=time.time)
    app = create_app(
        wide_rows=store,
        rules_cache=cache,
        now_us=lambda: shop.now_us,
        collector_url="https://collect.example",
        **options,
    )
    return app.test_client()


@dataclass(frozen=True)
class Server:
    """A report API in a process of its own."""

    shop: Shop
    url: str


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Granian with a store of cells of now."""
    made = make_shop(tmp_path, now_us=time.time_ns() // 1000, **OWN_RULES)
    fill(made)
    with serving(made) as served:
        yield served


@contextmanager
def serving(shop: Shop, **settings: Any) -> Iterator[Server]:
    """Granian with the store of a shop, and other settings than the usual where they are named."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = (
        "import json, sys; from pathlib import Path; from tallymark.quotas import QuotaLimits;"
        "from report_api.server import serve; from report_api.settings import ReportSettings;"
        "settings = json.loads(sys.argv[4]);"
        "settings['quotas'] = QuotaLimits(**settings.get('quotas', {}));"
        "serve(ReportSettings(data_dir=Path(sys.argv[1]), port=int(sys.argv[2]),"
        " wide_rows_url=sys.argv[3], collector_url='https://collect.example', **settings))"
    )
    store_url = settings.pop("wide_rows_url", f"sqlite:{shop.store_path}")
    command = [
        sys.executable, "-c", code, str(shop.data_dir), str(port), store_url, json.dumps(settings),
    ]  # fmt: skip
    process = subprocess.Popen(command, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process)
        yield Server(shop, url)
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for a report API that is being started."""
    for _ in range(300):
        assert process.poll() is None, "the server ended before it was ready"
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=1) as answer:
                assert json.load(answer)["status"] == "ok"
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server was not ready within 30 seconds")
