"""``tallymark status``: is a stack well?"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from cli import dagster_probes, probes
from cli.data_folder import DataFolder, data_option
from cli.stack import unshipped_spools
from cli.up_lock import holder

_HTTP_SERVICES = ("collector", "reports")
_NOTED_SERVICES = ("shipper", "archiver", "stream")


@dataclass(frozen=True, kw_only=True)
class Health:
    """One service: whether it is well, and what there is to say."""

    service: str
    healthy: bool
    detail: str
    pid: int | None
    restarts: int


@click.command()
@data_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object for programs.")
def status(data: Path, as_json: bool) -> None:
    """Say how each part of the stack on a data folder is; exit status 1 if one is not well.

    \b
    Examples:
      tallymark status
      tallymark status --json
    """
    folder = DataFolder(data.resolve())
    held = holder(folder.run)
    if not held:
        message = f"no stack runs on {data}: tallymark up starts one"
        click.echo(json.dumps({"healthy": False, "problem": message}) if as_json else message)
        sys.exit(1)
    found = health_of(folder, held)
    healthy = bool(found) and all(service.healthy for service in found)
    if as_json:
        services = [asdict(service) for service in found]
        document = {"healthy": healthy, "pid": held.get("pid"), "services": services}
        click.echo(json.dumps(document | {"unshipped_spools": unshipped_spools(folder.spools)}))
    else:
        for service in found:
            mark = "ok " if service.healthy else "BAD"
            click.echo(f"{mark} {service.service:<14} {service.detail}")
    sys.exit(0 if healthy else 1)


def health_of(folder: DataFolder, held: dict[str, Any]) -> list[Health]:
    """The health of every service that the running supervisor knows."""
    noted = probes.run_note(folder.run / "up.json")
    services = noted.get("services", []) if noted.get("pid") == held.get("pid") else []
    return [_health(folder, service) for service in services]


def _health(folder: DataFolder, service: dict[str, Any]) -> Health:
    name = service["name"]
    problem = ""
    if service["state"] != "ready":
        problem = service["state"]
    elif name in _HTTP_SERVICES:
        problem = _http_problem(service["address"])
    elif name in _NOTED_SERVICES:
        problem = _note_problem(folder.run / f"{name}.json")
    elif name == "dagster":
        problem = dagster_probes.code_problem(service["address"])
    elif name == "dagster-daemon":
        recently = time.time() - dagster_probes.SILENT_SECONDS
        problem = dagster_probes.daemon_problem(service["address"], recently)
    detail = problem or service["address"]
    if not problem and name in _NOTED_SERVICES:
        detail += _noted(folder.run / f"{name}.json")
    return Health(
        service=name,
        healthy=not problem,
        detail=detail,
        pid=service["pid"],
        restarts=service["restarts"],
    )


def _http_problem(address: str) -> str:
    code, body = probes.http_status(f"{address}/readyz")
    if code == 200:
        return ""
    return f"{address}/readyz answered {code or 'nothing'}: {body[:200]}"


def _note_problem(path: Path) -> str:
    age = probes.note_age_seconds(path)
    if age < probes.FRESH_SECONDS:
        return ""
    return f"has said nothing in {path.name} for {age:.0f} s; expected every second"


def _noted(path: Path) -> str:
    """How far behind a service says it is, and whether it failed on any requests."""
    note = probes.run_note(path)
    said = {key: note[key] for key in sorted(note) if "lag" in key or "backlog" in key}
    if note.get("failed_requests"):
        said["failed_requests"] = note["failed_requests"]
    return "".join(f"; {key} {value}" for key, value in said.items())
