"""Faults of the store while reports are read: slow, gone, half written, turned meanwhile.

Whatever happens an answer is right or says that there is none now, and reports come back by
themselves.
"""

import json
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from report_api.answer_cache import AnswerCache
from stores.wide_rows.bigtable import BigtableWideRows
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark import pointer_map
from tallymark.cells import SLOT_COLUMNS, encode
from tallymark.pointer_map import PointerMap
from tallymark.rollups import BY_NAME
from tallymark.row_keys import POINTER_MAP_KEY
from tallymark.slots import HOUR_US
from tests.report_api.conftest import Shop, client_of, fill, make_shop, serving, write_cells
from tests.servers import bigtable_process
from tests.tallymark.report_cells import rows_of

TODAY = [{"startDate": "today", "endDate": "today"}]
BY_SOURCE = {
    "dateRanges": TODAY,
    "dimensions": [{"name": "sessionSource"}],
    "metrics": [{"name": "sessions"}],
}
WHOLE = {"dateRanges": TODAY, "metrics": [{"name": "sessions"}]}
BY_PAGE = {
    "dateRanges": TODAY,
    "dimensions": [{"name": "pagePath"}],
    "metrics": [{"name": "screenPageViews"}],
    "metricAggregations": ["TOTAL"],
    "limit": 1,
}


@dataclass(frozen=True)
class Said:
    """An answer over the network."""

    status: int
    document: Any
    headers: dict[str, str]
    seconds: float

    @property
    def pointer_map(self) -> int:
        return int(json.loads(self.headers["X-Tallymark-Freshness"])["pointer_map"])


def ask(url: str, shop: Shop, request: Any = None, method: str = "runReport") -> Said:
    sent = urllib.request.Request(
        f"{url}/v1beta/properties/{shop.property_id}:{method}",
        data=json.dumps(request or BY_SOURCE).encode(),
        headers={"X-Goog-Api-Key": shop.read_key, "Content-Type": "application/json"},
    )
    return answer_of(sent)


def answer_of(sent: urllib.request.Request | str) -> Said:
    began = time.monotonic()
    try:
        with urllib.request.urlopen(sent, timeout=60) as answer:
            said = answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        said = error.code, error.read(), dict(error.headers)
    headers = {name.title(): value for name, value in said[2].items()}
    text = said[1].decode()
    document = json.loads(text) if text.startswith("{") else text
    return Said(said[0], document, headers, time.monotonic() - began)


@contextmanager
def copied(shop: Shop, address: str) -> Iterator[str]:
    """The store of a shop in Bigtable; yields its URL."""
    held = SqliteWideRows(shop.store_path)
    table = BigtableWideRows("p", "i", "t", emulator=address, creates=True)
    table.write(held.read([(b"\x01", b"\xff")]))
    held.close()
    table.close()
    yield f"bigtable://p/i/t?emulator={address}"


@pytest.mark.slow
@pytest.mark.bigtable
def test_a_store_that_stands_still_is_asked_no_more_until_it_goes_on(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, now_us=time.time_ns() // 1000)
    fill(shop)
    with (
        bigtable_process() as (emulator, address),
        copied(shop, address) as store_url,
        serving(shop, wide_rows_url=store_url, store_seconds=2.0) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        right = ask(server.url, shop)
        assert right.status == 200
        threads = threads_of_server(server.url)
        emulator.send_signal(signal.SIGSTOP)
        answers = list(pool.map(lambda _: ask(server.url, shop), range(8)))
        assert {said.status for said in answers} <= {503, 504}
        assert 504 in {said.status for said in answers}, "the deadline came before the circuit"
        assert max(said.seconds for said in answers) < 8
        for said in answers:
            assert int(said.headers["Retry-After"]) >= 1
            expected = {503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}[said.status]
            assert said.document["error"]["status"] == expected
        swift = [ask(server.url, shop) for _ in range(20)]
        assert sum(said.status == 503 and said.seconds < 0.5 for said in swift) >= 19  # a probe
        assert threads_of_server(server.url) <= threads + 8, "no thread is left waiting"
        assert answer_of(f"{server.url}/healthz").document["wideRows"] in ("open", "half_open")
        assert 'circuit{state="closed"} 0.0' in answer_of(f"{server.url}/metrics").document
        emulator.send_signal(signal.SIGCONT)
        assert until_answered(server.url, shop) == right.document
        emulator.kill()
        gone = [ask(server.url, shop) for _ in range(4)]
        assert {said.status for said in gone} <= {503, 504}


def threads_of_server(url: str) -> int:
    """Of all processes that listen at an address."""
    port = int(url.rpartition(":")[2])
    pids = {
        each.pid for each in psutil.net_connections("tcp")
        if each.status == "LISTEN" and each.laddr.port == port and each.pid
    }  # fmt: skip
    assert pids
    return max(psutil.Process(pid).num_threads() for pid in pids)


def until_answered(url: str, shop: Shop) -> Any:
    """Ask as ``Retry-After`` says."""
    for _ in range(20):
        said = ask(url, shop)
        if said.status == 200:
            return said.document
        time.sleep(min(5, int(said.headers["Retry-After"])))
    raise AssertionError("the reports did not come back")


@pytest.mark.slow
def test_readers_see_one_publication_or_the_other_while_it_turns(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, now_us=time.time_ns() // 1000)
    fill(shop)
    write_cells(shop, "acquisition", [{"source": "replayed", "sessions": 9}], lineage="gen-2")
    write_cells(shop, "totals", [{"sessions": 9}], lineage="gen-2")
    batch = {"requests": [BY_SOURCE, WHOLE, BY_SOURCE]}
    store = SqliteWideRows(shop.store_path)
    with serving(shop, workers=2) as server, ThreadPoolExecutor(4) as pool:
        live = PointerMap.serving("live-1")
        held = live
        right: dict[int, Any] = {}
        for _ in range(2):
            said = ask(server.url, shop, batch, "batchRunReports")
            right[said.pointer_map % 2] = said.document
            held = turned(store, live, held)
        assert right[0] != right[1]
        is_over = threading.Event()

        def read(_: int) -> list[Said]:
            found = []
            while not is_over.is_set():
                found.append(ask(server.url, shop, batch, "batchRunReports"))
            return found

        readers = [pool.submit(read, number) for number in range(4)]
        for _ in range(150):
            held = turned(store, live, held)
            time.sleep(0.02)
        is_over.set()
        answers = [said for reader in readers for said in reader.result(60)]
    store.close()
    assert len(answers) > 40
    assert {said.status for said in answers} == {200}
    assert {said.pointer_map % 2 for said in answers} == {0, 1}
    for said in answers:
        assert said.document == right[said.pointer_map % 2]


def turned(store: SqliteWideRows, live: PointerMap, held: PointerMap) -> PointerMap:
    """Publish the replay, or take it back; versions of the one are even, of the other odd."""
    now_us = time.time_ns() // 1000
    span = (now_us // HOUR_US * HOUR_US - HOUR_US, now_us // HOUR_US * HOUR_US + HOUR_US)
    following = held.publish(*span, "gen-2") if held.version % 2 else held.restore(live)
    assert store.compare_and_set(
        POINTER_MAP_KEY,
        pointer_map.QUALIFIER,
        expected=held.encode(),
        value=following.encode(),
        version=following.version,
    )
    return following


def large_cells(shop: Shop, views: int, version: int) -> pl.DataFrame:
    """A cell of pages in several rows."""
    rollup = BY_NAME["pages"]
    rows = [
        {"host": "h", "path": f"/{n:0300d}", "views": views, "sessions": 1} for n in range(5_000)
    ]
    frame = rows_of(rollup, rows).with_columns(
        property_id=pl.lit(shop.property_id, pl.Int64),
        slot_start=pl.lit(shop.now_us // HOUR_US * HOUR_US),
    )
    touched = frame.select(SLOT_COLUMNS).unique()
    cells = encode(rollup, frame, touched, lineage="live-1", version=version)
    assert cells.get_column("row_key").n_unique() > 1
    return cells


def test_a_cell_that_is_half_written_is_not_read(shop: Shop, store: SqliteWideRows) -> None:
    """As in Bigtable, where each row is written by itself and a writer may die between two."""
    client = client_of(shop, store, answer_cache=AnswerCache(1 << 24, seed=1))

    def asked() -> Any:
        return client.post(
            f"/v1beta/properties/{shop.property_id}:runReport",
            json=BY_PAGE,
            headers={"X-Goog-Api-Key": shop.read_key},
        )

    def total() -> str:
        return asked().json["totals"][0]["metricValues"][0]["value"]

    store.write(large_cells(shop, 1, version=1))
    assert [total(), total()] == ["5000", "5000"]
    newer = large_cells(shop, 3, version=2)
    keys = newer.get_column("row_key").unique(maintain_order=True)
    for key in keys[:-1]:
        store.write(newer.filter(pl.col("row_key") == key))
        refused = asked()
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "1"
        assert refused.json["error"]["status"] == "UNAVAILABLE"
    store.write(newer.filter(pl.col("row_key") == keys[-1]))
    assert [total(), total()] == ["15000", "15000"]
