"""Passports of hits through a whole stack: sent to the collector, told by command and endpoint."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
import requests

from stores.wide_rows.opening import open_wide_rows
from tallymark.cells import QUALIFIER
from tallymark.decoded_cells import decode
from tallymark.rollups import BY_NAME

from .reports import ask
from .stack import Site, Stack, eventually, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.fixture(scope="module", name="stack")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("passports"), "--flush-seconds=1") as stack:
        yield stack


def send(stack: Stack, site: Site, path: str, user_agent: str = BROWSER) -> str:
    """Send a page view; the id of its hit."""
    query = {"v": "2", "tid": site.measurement_id, "cid": "7.7", "en": "page_view",
             "dl": f"https://{site.host}{path}"}  # fmt: skip
    headers = {"User-Agent": user_agent}
    answer = requests.post(
        f"{stack.collector_url}/g/collect", params=query, headers=headers, timeout=10
    )
    answer.raise_for_status()
    return answer.headers["X-Tallymark-Hit"] + "-0000"


def views(stack: Stack, site: Site) -> float:
    return ask(stack, site, (), ("screenPageViews",)).get((), (0.0,))[0]


def listed(stack: Stack, site: Site) -> dict[str, str]:
    """The ids of a property's hits of today by path, as ``tallymark hits`` lists them."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    done = stack.run("hits", today, f"--property={site.property_id}", "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["path"]: row["hit_id"] for row in rows}


def stored_numbers(stack: Stack, cell: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the slot that really lie under a cell's row key."""
    rollup = BY_NAME[cell["rollup"]]
    rows = open_wide_rows(f"sqlite:{stack.cells_path}").read_rows([cell["row_key"].encode()])
    qualifier = QUALIFIER.pack(cell["slot_start"], cell["slot_minutes"])
    mine = rows.filter(pl.col("qualifier") == pl.lit(qualifier))
    return decode(rollup, mine).numbers.to_dicts()


def test_a_hit_is_told_by_command_and_endpoint_with_the_cells_that_are_stored(
    stack: Stack,
) -> None:
    mine, theirs = stack.create_property("Mine"), stack.create_property("Theirs")
    hit_id, crawled = send(stack, mine, "/seen"), send(stack, mine, "/crawled", CRAWLER)
    other = send(stack, theirs, "/theirs")
    assert "is not archived yet" in stack.run("hit", hit_id).stderr
    eventually(
        lambda: views(stack, mine) + views(stack, theirs) == 2,
        within_seconds=30,
        what="both views counted",
    )
    stack.stop()  # what was recorded is archived at once then, else within a minute
    stack.start()
    assert listed(stack, mine) == {"/seen": hit_id, "/crawled": crawled}
    done = stack.run("hit", hit_id, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    [hit] = told["hits"]
    assert (hit["decoded"]["path"], hit["counts"], hit["lineage"]) == ("/seen", True, "live-1")
    assert hit["enriched"]["browser"] == "Firefox"
    assert hit["session"]["landing_page"] == "/seen"
    assert len(hit["cells"]) == sum(1 for rollup in BY_NAME.values() if not rollup.within)
    for cell in hit["cells"]:
        assert (cell["is_stored"], cell["holds_client"]) == (True, True), cell
        keys = dict(zip(BY_NAME[cell["rollup"]].keys, cell["keys"], strict=True))
        row = cell["numbers"] | keys
        assert any(row.items() <= one.items() for one in stored_numbers(stack, cell)), cell
    assert "it counts" in stack.run("hit", hit_id).stdout

    assert "its user agent is that of a crawler" in stack.run("hit", crawled).stdout

    place = f"{stack.report_url}/v1/properties/{mine.property_id}/hits/"
    key = {"Authorization": f"Bearer {mine.read_key}"}
    answer = requests.get(place + hit_id, headers=key, timeout=30)
    assert answer.status_code == 200
    assert answer.json()["hits"] == told["hits"]
    assert requests.get(place + other, headers=key, timeout=30).status_code == 404
