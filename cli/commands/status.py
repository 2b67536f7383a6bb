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
from stores.clock import utc_us
from stores.doubts import misruled_hours
from stores.live_audits import AuditNotes
from stores.wide_rows.opening import open_wide_rows
from stores.wide_rows.port import WideRows, WideRowsUnavailableError
from tallymark.audit_notes import alert_text

_HTTP_SERVICES = ("collector", "config", "reports")
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

    Sealed hours that are not what was streamed are told too, and hours whose hits were processed by
    rules that had changed; they change the exit status not.

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
    audit, rules = _audit(folder), _rules(folder)
    if as_json:
        services = [asdict(service) for service in found]
        document = {"healthy": healthy, "pid": held.get("pid"), "services": services}
        spools = unshipped_spools(folder.spools)
        document |= {"unshipped_spools": spools, "audit": audit, "rules": rules}
        click.echo(json.dumps(document))
    else:
        for service in found:
            mark = "ok " if service.healthy else "BAD"
            click.echo(f"{mark} {service.service:<14} {service.detail}")
        if audit["text"]:
            click.echo(f"!!  {'audit':<14} {audit['text']}; tallymark audit lists them")
        if rules["text"]:
            click.echo(f"!!  {'rules':<14} {rules['text']}")
    sys.exit(0 if healthy else 1)


def health_of(folder: DataFolder, held: dict[str, Any]) -> list[Health]:
    """The health of every service that the running supervisor knows."""
    noted = probes.run_note(folder.run / "up.json")
    is_running = noted.get("pid") == held.get("pid")
    return [_health(folder, service) for service in _noted_services(folder) if is_running]


def _noted_services(folder: DataFolder) -> list[dict[str, Any]]:
    services = probes.run_note(folder.run / "up.json").get("services", [])
    return services if isinstance(services, list) else []


def _audit(folder: DataFolder) -> dict[str, Any]:
    """How many sealed hours are not what was streamed, and somebody has yet to look at."""
    wide_rows = _wide_rows(folder)
    if wide_rows is None:
        return {"hours": 0, "text": ""}
    try:
        alerts = AuditNotes(wide_rows, utc_us).alerts()
    except WideRowsUnavailableError as error:
        return {"hours": None, "text": f"the wide rows do not say: {error}"}
    return {"hours": len(alerts), "text": alert_text(alerts)}


def _rules(folder: DataFolder) -> dict[str, Any]:
    """How many hours of properties were processed by rules that had changed, or may be."""
    wide_rows = _wide_rows(folder)
    if wide_rows is None:
        return {"doubtful_hours": 0, "wrong_hours": 0, "text": ""}
    try:
        found = misruled_hours(wide_rows, utc_us())
    except WideRowsUnavailableError as error:
        text = f"the wide rows do not say: {error}"
        return {"doubtful_hours": None, "wrong_hours": None, "text": text}
    return {"doubtful_hours": found.doubtful, "wrong_hours": found.wrong, "text": found.text}


def _wide_rows(folder: DataFolder) -> WideRows | None:
    """Those of the running stream, if there is one."""
    service = next((one for one in _noted_services(folder) if one["name"] == "stream"), None)
    return open_wide_rows(service["address"]) if service else None


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
    """How far behind a service says it is, whether it failed on any requests, how long it has not
    known whether rules change, and what personal data it took out of how many values."""
    note = probes.run_note(path)
    said = {key: note[key] for key in sorted(note) if "lag" in key or "backlog" in key}
    for name in ("failed_requests", "requests_withheld", "rules_cut_off_seconds"):
        if note.get(name):
            said[name] = note[name]
    if "redacted" in note:
        kinds = [f"{count} {kind}" for kind, count in note["redacted"].items()]
        said["redacted"] = ", ".join(kinds) or "nothing: it is switched off"
    return "".join(f"; {key} {value}" for key, value in said.items())
