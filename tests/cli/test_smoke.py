"""One walk through a whole stack: up, a property, visits, a report, down."""

import json
import subprocess
import urllib.request
from collections import Counter

import psutil
import pytest

from tests.e2e.stack import eventually, running, tallymark
from tests.servers import bigtable_emulator

pytestmark = pytest.mark.slow

HITS_BAR_SECONDS = 30


def report(stack, site, *metrics):
    """The totals of today and yesterday by the GA4 Data API."""
    body = {
        "dateRanges": [{"startDate": "yesterday", "endDate": "today"}],
        "metrics": [{"name": metric} for metric in metrics],
    }
    request = urllib.request.Request(
        f"{stack.report_url}/v1beta/properties/{site.property_id}:runReport",
        data=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {site.read_key}",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        rows = json.load(answer).get("rows", [])
    if not rows:
        return [0.0] * len(metrics)
    return [float(value["value"]) for value in rows[0]["metricValues"]]


def walk(stack):
    """Create a property, let people visit it, and find every hit in the report."""
    site = stack.create_property("Smoke shop")
    play = stack.simulate([site], "smoke", "--visits=60", "--rate=200", "--seed=3")
    play.wait(within_seconds=60)
    assert play.process.returncode == 0

    script = [json.loads(line) for line in play.script_path.read_text().splitlines()]
    hits = [hit for visit in script for hit in visit["hits"]]
    named = Counter(hit["event_name"] for hit in hits)
    clients = {visit["client_id"] for visit in script}
    meant = [len(hits), named["page_view"], named["purchase"], len(clients)]
    metrics = ("eventCount", "screenPageViews", "keyEvents", "totalUsers")
    eventually(
        lambda: report(stack, site, *metrics) == meant,
        within_seconds=HITS_BAR_SECONDS,
        what=f"{dict(zip(metrics, meant, strict=True))} in the report",
    )


@pytest.mark.timeout(400)
def test_every_simulated_hit_is_in_the_report_and_nothing_stays_behind(tmp_path):
    with running(tmp_path / "stack", "--flush-seconds=1", dagster=True) as stack:
        walk(stack)
        status = subprocess.run(
            tallymark("status", f"--data={stack.data}"), capture_output=True, check=False
        )
        assert status.returncode == 0, status.stdout
        family = [pid for pids in stack.pids().values() for pid in pids]
    assert not [pid for pid in family if psutil.pid_exists(pid)]
    assert not list((stack.data / "spools").iterdir())


@pytest.mark.bigtable
def test_the_same_walk_over_bigtable(tmp_path, monkeypatch):
    with bigtable_emulator() as address:
        monkeypatch.setenv("BIGTABLE_EMULATOR_HOST", address)
        with running(tmp_path / "stack", "--flush-seconds=1", "--wide-rows=bigtable") as stack:
            walk(stack)
        assert not stack.cells_path.exists()
