"""Probes of Dagster, by the GraphQL of its webserver."""

import http.client
import json
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from cli.probes import ANSWER_SECONDS

_LOCATIONS: Final = """{ workspaceOrError { ... on Workspace { locationEntries {
    locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
_DAEMONS: Final = """{ instance { daemonHealth { allDaemonStatuses {
    daemonType required healthy lastHeartbeatTime } } } }"""

SILENT_SECONDS: Final = 300.0
"""Daemons show life each half minute; long evaluations hold them up."""


class UnansweredError(Exception):
    """The webserver did not answer a query; says why."""


def query(url: str, text: str) -> dict[str, Any]:
    """The data that answers a GraphQL query of the webserver at ``url``.

    Raises:
        UnansweredError: when there is no answer, or one with errors.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=ANSWER_SECONDS
    )
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/graphql", json.dumps({"query": text}), headers)
        document = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnansweredError(f"{url} answered nothing: {error}") from error
    finally:
        connection.close()
    if document.get("errors") or not isinstance(document.get("data"), dict):
        raise UnansweredError(f"{url} answered {str(document)[:200]}")
    return dict(document["data"])


def code_problem(url: str) -> str:
    """Why the webserver does not have the definitions; empty when it has."""
    try:
        entries = query(url, _LOCATIONS)["workspaceOrError"].get("locationEntries", [])
    except UnansweredError as error:
        return str(error)
    loads = [entry["locationOrLoadError"] or {} for entry in entries]
    if loads and all(load.get("__typename") == "RepositoryLocation" for load in loads):
        return ""
    errors = [str(load["message"]).strip()[:200] for load in loads if "message" in load]
    return "; ".join(errors) or "the definitions are not loaded"


def daemon_problem(url: str, since: float = 0.0) -> str:
    """Which daemons have not shown life; empty when all have.

    Args:
        url: Of the webserver.
        since: UTC seconds; only what came after counts.
    """
    try:
        found = query(url, _DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
    except UnansweredError as error:
        return str(error)
    missing = [
        daemon["daemonType"]
        for daemon in found
        if daemon["required"]
        and not (daemon["healthy"] and (daemon["lastHeartbeatTime"] or 0) >= since)
    ]
    return f"no sign of life from {', '.join(missing)}" if missing else ""


def daemons_live(url: str, clock: Callable[[], float] = time.time) -> Callable[[int], bool]:
    """Whether the daemon process of a pid has shown life, as the webserver at ``url`` knows."""
    seen: dict[int, float] = {}

    def is_ready(pid: int) -> bool:
        since = seen.setdefault(pid, clock())
        return not daemon_problem(url, since)

    return is_ready
