"""How Dagster is hosted: one code server, which the webserver and the daemon share.

Each function turns this process into one of the three, so that signals reach Dagster itself.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

_HERE: Final = Path(__file__).parent
WORKSPACE: Final = _HERE / "workspace.yaml"
INSTANCE: Final = _HERE / "dagster.yaml"
CODE_HOST: Final = "TALLYMARK_DAGSTER_CODE_HOST"
CODE_PORT: Final = "TALLYMARK_DAGSTER_CODE_PORT"
ARCHIVE: Final = "TALLYMARK_ASSETS_ARCHIVE"
WIDE_ROWS: Final = "TALLYMARK_ASSETS_WIDE_ROWS"
RULES: Final = "TALLYMARK_ASSETS_RULES"
SEALING: Final = "TALLYMARK_ASSETS_SEALING"
RETENTION_DAYS: Final = "TALLYMARK_ASSETS_RETENTION_DAYS"
OFF: Final = "off"
DEFINITIONS: Final = "dagster_project.definitions"


@dataclass(frozen=True, kw_only=True)
class Hosting:
    """Where Dagster lives.

    Attributes:
        home: Its folder: settings, runs, events, logs.
        code_host: Address of the code server.
        code_port: Port of the code server.
    """

    home: Path
    code_host: str
    code_port: int

    def environment(self) -> dict[str, str]:
        """What Dagster's own configuration files read."""
        return {
            "DAGSTER_HOME": str(self.home.resolve()),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            CODE_HOST: self.code_host,
            CODE_PORT: str(self.code_port),
        }


def serve_code(
    hosting: Hosting,
    *,
    archive_url: str,
    wide_rows_url: str,
    rules_path: str,
    seals: bool = True,
    retention_days: int | None = None,
) -> NoReturn:
    """Become the code server: it holds the definitions and is the parent of every run.

    Args:
        hosting: Where it listens.
        archive_url: For ``stores.archive.opening``.
        wide_rows_url: For ``stores.wide_rows.opening``.
        rules_path: The properties and their rules.
        seals: Whether routine sealing is on.
        retention_days: For how long hits are kept at most; ``None`` is no limit.
    """
    address = ("--host", hosting.code_host, "--port", str(hosting.code_port))
    stores = {ARCHIVE: archive_url, WIDE_ROWS: wide_rows_url, RULES: rules_path}
    if not seals:
        stores[SEALING] = OFF
    if retention_days is not None:
        stores[RETENTION_DAYS] = str(retention_days)
    _become(hosting, "dagster", "api", "grpc", "-m", DEFINITIONS, *address, environment=stores)


def serve_webserver(hosting: Hosting, *, host: str, port: int) -> NoReturn:
    """Become the webserver."""
    address = ("--host", host, "--port", str(port))
    _become(hosting, "dagster-webserver", "-w", str(WORKSPACE), *address)


def serve_daemon(hosting: Hosting) -> NoReturn:
    """Become the daemon: queue, schedules, sensors, backfills, monitoring."""
    _become(hosting, "dagster-daemon", "run", "-w", str(WORKSPACE), "--log-level", "warning")


def _become(
    hosting: Hosting, script: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> NoReturn:
    make_home(hosting.home)
    path = str(Path(sys.executable).with_name(script))  # not resolved: it is the environment's
    os.execve(  # noqa: S606 - our own arguments, no shell
        path,
        [path, *arguments],
        os.environ | hosting.environment() | dict(environment or {}),
    )


def make_home(home: Path) -> None:
    """With the settings of the template, unless somebody's own are there."""
    home.mkdir(parents=True, exist_ok=True)
    settings = home / INSTANCE.name
    if not settings.exists():
        partial = home / f".{INSTANCE.name}.{os.getpid()}"
        shutil.copyfile(INSTANCE, partial)
        partial.replace(settings)
