"""The demo: a shop of its own in a data folder, and people who visit it."""

import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from cli.commands.simulate import SimulationSettings
from cli.commands.simulate import run as run_simulation
from cli.data_folder import DataFolder
from cli.simulator.visits import Habits, Site
from cli.stack import StackSettings
from stores.rules_cache.replacement import replace_file

DEMO_NAME: Final = "Demo shop"


def ensure_demo_property(folder: DataFolder) -> dict[str, Any]:
    """The demo's ids and secrets; the property is made at the first call for a folder."""
    from cli.configuration import configuration  # noqa: PLC0415  SQL takes a while
    from config_api.new_property import create_property  # noqa: PLC0415
    from config_api.organisations import ensure_default  # noqa: PLC0415

    if folder.demo.exists():
        return _document(folder.demo)
    with configuration(folder.path) as opened:
        new = opened.write(
            lambda work: create_property(work, ensure_default(work), name=DEMO_NAME, rules={})
        )
    document = asdict(new)
    replace_file(folder.demo, json.dumps(document).encode(), mode=0o600)
    return document


def page_address(settings: StackSettings) -> str:
    """The page of the demo's reports with what is needed to open it.

    The key stands behind the #, so that it is in no request line and no log of a server.
    """
    demo = _document(settings.folder.demo)
    return f"{settings.report_url}/#property={demo['property_id']}&key={demo['read_key']}"


def visit_demo(folder: DataFolder, collector_url: str, hits_per_second: float) -> None:
    """Let people visit the demo's shop until SIGTERM; other people at each start."""
    demo = _document(folder.demo)
    site = Site(measurement_id=demo["measurement_id"], api_secret=demo["api_secret"])
    settings = SimulationSettings(
        url=collector_url,
        sites=[site],
        habits=Habits(),
        seed=int(time.time()),
        hits_per_second=hits_per_second,
        connections=4,
        retry=False,
    )
    asyncio.run(run_simulation(settings))


def _document(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text())
    assert isinstance(document, dict)
    return document
