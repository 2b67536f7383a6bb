"""``tallymark up``: a whole stack on this machine."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli.configuration import configuration
from cli.data_folder import DataFolder, data_option
from cli.demo import ensure_demo_property, page_address
from cli.redaction import redact_option
from cli.screen import open_screen
from cli.service import Child
from cli.stack import StackSettings, port_problems, services_of
from cli.supervisor import Screen, Supervisor
from cli.up_lock import FolderInUseError, UpLock
from stores.clock import SCALED, SPEED, VARIABLE
from tallymark.geography import DatabaseError, database_name

_PORT = click.IntRange(1, 65535)


@click.command()
@data_option
@click.option("--demo", is_flag=True, help='Make a "Demo shop" and let people visit it.')
@click.option("--demo-rate", type=click.FloatRange(min=0, min_open=True), default=10.0,
              show_default=True, help="Hits a second of the demo.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--collector-port", type=_PORT, default=8000, show_default=True)
@click.option("--report-port", type=_PORT, default=8001, show_default=True)
@click.option("--config-port", type=_PORT, default=8002, show_default=True)
@click.option("--pubsub-port", type=_PORT, default=8085, show_default=True)
@click.option("--dagster-port", type=_PORT, default=3000, show_default=True)
@click.option("--dagster-code-port", type=_PORT, default=3001, show_default=True,
              help="Where Dagster's webserver and daemon find the assets.")  # fmt: skip
@click.option("--dagster/--no-dagster", "has_dagster", default=True,
              help="Leave Dagster out on a small machine.")  # fmt: skip
@click.option("--sealing/--no-sealing", "seals", default=True,
              help="Whether Dagster computes sealed hours by itself.")  # fmt: skip
@click.option("--retention-days", type=click.IntRange(7, 36_600), metavar="DAYS",
              help="Keep no hit for longer, whatever its property's rules say.")  # fmt: skip
@click.option("--collector-workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--shards", type=click.IntRange(1, 256), default=2, show_default=True,
              help="Shards of the stream; fixed for the life of a data folder.")  # fmt: skip
@click.option("--flush-seconds", type=click.FloatRange(0.1, 600), default=5.0, show_default=True,
              help="A hit is in the reports this long after it came.")  # fmt: skip
@click.option("--wide-rows", type=click.Choice(["sqlite", "bigtable"]), default="sqlite",
              show_default=True, help="Where reports are kept.")  # fmt: skip
@click.option("--bigtable", default="tallymark/local/cells", show_default=True,
              metavar="PROJECT/INSTANCE/TABLE",
              help="The table, the emulator's where BIGTABLE_EMULATOR_HOST is set.")  # fmt: skip
@click.option("--trusted-proxy", "trusted_proxies", multiple=True, metavar="NETWORK",
              help="Believe the forwarding headers of this network (CIDR).")  # fmt: skip
@click.option("--follow-rules", "follows_rules", is_flag=True,
              help="Follow the configuration service instead of reading its published copy: for "
              "very many properties.")  # fmt: skip
@redact_option
def up(
    data: Path, demo: bool, demo_rate: float, wide_rows: str, bigtable: str, **more: Any
) -> None:
    """Run a whole stack on this machine until Ctrl-C.

    \b
    sites → collector → shipper → pubsub → stream → wide rows → reports → merchants
                                       └→ archiver → raw archive → dagster

    Every part is a process of its own; one that dies is started again. Ctrl-C stops all
    in order: what was accepted is counted before the end. What is on the disk is taken up
    again by the next start.

    \b
    Examples:
      tallymark up --demo
      tallymark up --data /var/lib/tallymark --collector-port 9000 --report-port 9001
      BIGTABLE_EMULATOR_HOST=127.0.0.1:9102 tallymark up --wide-rows bigtable
    """
    try:
        database_name()
    except DatabaseError as error:
        raise click.ClickException(str(error)) from error
    folder = DataFolder(data.resolve())
    settings = StackSettings(
        data=folder.path,
        wide_rows_url=_wide_rows_url(folder, wide_rows, bigtable),
        demo_hits_per_second=demo_rate if demo else 0.0,
        trusted_proxies=_trusted(more.pop("trusted_proxies"), more["host"], demo),
        **more,
    )
    document = {"pid": os.getpid(), "addresses": _addresses(settings)}
    try:
        with UpLock(folder.run, document):
            _check_ports(settings)
            in_order = _run(settings)
    except FolderInUseError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(0 if in_order else 1)


def _run(settings: StackSettings) -> bool:
    with configuration(settings.data):
        pass  # it is migrated and published before anybody reads it
    if settings.demo_hits_per_second:
        ensure_demo_property(settings.folder)
    with open_screen() as screen:
        noting = NotingScreen(screen, settings.folder.run / "up.json")
        services = services_of(settings)
        return Supervisor(services, noting, _welcome(settings, screen)).run()


class NotingScreen:
    """Passes everything on, and notes the states in a file for ``tallymark status``."""

    def __init__(self, screen: Screen, path: Path) -> None:
        self._screen = screen
        self._path = path

    def line(self, name: str, text: str) -> None:
        """Show a line."""
        self._screen.line(name, text)

    def update(self, children: list[Child]) -> None:
        """Show and note the states."""
        services = [
            {
                "name": child.service.name,
                "state": child.state.value,
                "pid": child.pid,
                "restarts": child.restarts,
                "address": child.service.address,
            }
            for child in children
        ]
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"pid": os.getpid(), "services": services}))
        temporary.replace(self._path)
        self._screen.update(children)


def _welcome(settings: StackSettings, screen: Screen) -> Callable[[], None]:
    def say() -> None:
        if SCALED is not None:
            screen.line("up", f"for tests: the clock of {VARIABLE} runs {SPEED:g} times as fast")
        screen.line("up", f"send hits to    {settings.collector_url}/g/collect")
        screen.line("up", f"read reports at {settings.report_url}/")
        screen.line("up", f"configure at    {settings.config_url}")
        owner_key = settings.folder.config.owner_key
        if owner_key.exists():
            screen.line("up", f"its owner's key lies in {owner_key}")
        if settings.has_dagster:
            screen.line("up", f"replay history  {settings.dagster_url}/")
        if settings.demo_hits_per_second:
            screen.line("up", f"the demo shop:  {page_address(settings)}")

    return say


def _addresses(settings: StackSettings) -> dict[str, str]:
    dagster = {"dagster": settings.dagster_url} if settings.has_dagster else {}
    return {
        "collector": settings.collector_url,
        "reports": settings.report_url,
        "config": settings.config_url,
        "pubsub": settings.bus_url,
    } | dagster


def _check_ports(settings: StackSettings) -> None:
    problems = port_problems(settings)
    if problems:
        raise click.ClickException("\n".join(problems))


def _trusted(networks: tuple[str, ...], host: str, demo: bool) -> tuple[str, ...]:
    """The demo plays people behind a balancer of this machine, who come from many countries."""
    return (*networks, f"{host}/32") if demo and host.count(".") == 3 else networks


def _wide_rows_url(folder: DataFolder, kind: str, bigtable: str) -> str:
    if kind == "sqlite":
        return folder.wide_rows_url
    if bigtable.count("/") != 2 or not all(bigtable.split("/")):
        raise click.BadParameter(
            f"expected PROJECT/INSTANCE/TABLE, got {bigtable!r}", param_hint="--bigtable"
        )
    emulator = os.environ.get("BIGTABLE_EMULATOR_HOST", "")
    return f"bigtable://{bigtable}" + (f"?emulator={emulator}" if emulator else "")
