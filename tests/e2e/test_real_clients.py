"""Clients that others wrote, pointed here by nothing but an address, and what reports say."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .chromium import chromium, needs_chromium
from .pages import served
from .reports import Answer, ask
from .stack import Site, Stack, eventually, running

CLIENTS = Path(__file__).parent / "clients"
MODULES = Path(__file__).parents[2] / ".servers" / "tracking_clients" / "node_modules"
needs_npm_clients = pytest.mark.skipif(
    not (MODULES.exists() and shutil.which("node")),
    reason="the clients are not installed; run deploy/servers/install_tracking_clients.sh",
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ARRIVES_SECONDS = 40.0


@pytest.fixture(name="stack", scope="module")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("clients") / "stack", "--flush-seconds=1") as stack:
        yield stack


def arrives(stack: Stack, site: Site, events: dict[str, tuple[float, float]]) -> None:
    """Wait until the report of events says this: count and revenue of each."""
    expected = {(name,): values for name, values in events.items()}
    found: list[Answer] = []

    def agrees() -> bool:
        found.append(ask(stack, site, ("eventName",), ("eventCount", "purchaseRevenue")))
        return found[-1] == expected

    try:
        eventually(agrees, within_seconds=ARRIVES_SECONDS, what=str(expected))
    except AssertionError:
        assert found[-1] == expected
        raise


def run(*command: str | Path) -> None:
    environment = os.environ | {"NODE_PATH": str(MODULES)}
    subprocess.run(list(map(str, command)), check=True, timeout=60, env=environment)


@needs_npm_clients
def test_ga4mp_of_npm_is_counted(stack: Stack) -> None:
    site = stack.create_property("ga4mp of npm", currency="EUR")
    run("node", CLIENTS / "ga4mp.cjs", stack.collector_url, site.measurement_id)

    arrives(stack, site, {"page_view": (1, 0), "purchase": (1, 25.5)})
    assert ask(stack, site, ("hostName", "pagePath"), ("screenPageViews",)) == {
        ("ga4mp.example", "/start"): (1,)
    }
    by_source = ask(stack, site, ("sessionSource", "sessionMedium"), ("sessions", "totalUsers"))
    assert by_source == {("npm", "test"): (1, 1)}
    assert ask(stack, site, ("browser", "operatingSystem"), ("sessions",)) == {
        ("Chrome", "Windows"): (1,)
    }


@needs_npm_clients
def test_universal_analytics_of_npm_is_counted(stack: Stack) -> None:
    site = stack.create_property("universal-analytics of npm")
    run("node", CLIENTS / "universal_analytics.cjs", stack.collector_url, site.measurement_id)

    arrives(stack, site, {
        "page_view": (2, 0), "play": (1, 0), "purchase": (1, 30), "transaction_item": (1, 0),
        "timing_complete": (1, 0), "exception": (1, 0),
    })  # fmt: skip
    assert ask(stack, site, ("hostName", "pagePath"), ("screenPageViews",)) == {
        ("old.example", "/old"): (1,),
        ("old.example", "/basket"): (1,),
    }
    by_source = ask(stack, site, ("sessionSource", "sessionMedium"), ("sessions", "totalUsers"))
    assert by_source == {("letter", "email"): (1, 1)}


def test_clients_of_pypi_are_counted(stack: Stack) -> None:
    new = stack.create_property("ga4mp of PyPI", exchange_rate="EUR=1.1@2020-01-01")
    old = stack.create_property("Old, of PyPI")
    run(
        sys.executable, CLIENTS / "python_clients.py", stack.collector_url, new.measurement_id,
        new.api_secret, old.measurement_id,
    )  # fmt: skip

    arrives(stack, new, {"page_view": (1, 0), "purchase": (1, 21.45)})  # 19.50 EUR
    arrives(stack, old, {"page_view": (2, 0), "play": (1, 0), "purchase": (1, 12.5)})
    assert ask(stack, new, ("sessionSource",), ("sessions", "totalUsers")) == {("pip",): (1, 1)}
    assert ask(stack, old, ("landingPage",), ("sessions", "totalUsers")) == {("/first",): (1, 1)}


PAGE = """<!doctype html><title>Small page</title>
<script>window.minimalAnalytics = {{ trackingId: '{measurement_id}', autoTrack: true,
  defineGlobal: true, analyticsEndpoint: '{collector}/g/collect' }};</script>
<script src="/client.js"></script><h1>Small</h1>"""


@pytest.mark.browser
@needs_chromium
@needs_npm_clients
def test_minimal_analytics_of_npm_is_counted_in_a_real_browser(
    stack: Stack, tmp_path: Path
) -> None:
    site = stack.create_property("minimal-analytics of npm")
    with served(tmp_path / "site") as (folder, address), chromium(tmp_path / "p") as browser:
        shutil.copy(MODULES / "@minimal-analytics/ga4/dist/index.js", folder / "client.js")
        page = PAGE.format(collector=stack.collector_url, measurement_id=site.measurement_id)
        (folder / "small.html").write_text(page)
        browser.get(f"{address}/small.html?utm_source=letter&utm_medium=email")
        browser.execute_script(
            f"track('{site.measurement_id}', {{type: 'sign_up', event: {{'ep.plan': 'free'}}}})"
        )
        browser.get(f"{address}/small.html")
        arrives(stack, site, {"page_view": (2, 0), "sign_up": (1, 0), "user_engagement": (1, 0)})
    assert ask(stack, site, ("sessionSource", "sessionMedium"), ("sessions", "newUsers")) == {
        ("letter", "email"): (1, 1)
    }
