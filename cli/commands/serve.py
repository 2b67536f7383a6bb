"""``tallymark serve``: one process of the stack, for a machine that runs them one by one."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.data_folder import DataFolder, data_option
from cli.redaction import redact_option
from tallymark.quotas import GOOGLES, QuotaLimits

Command = TypeVar("Command", bound=Callable[..., Any])

_HOST = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
_BUS = click.option(
    "--bus", default="pubsub://127.0.0.1:8085/tallymark", show_default=True, metavar="URL",
    help="pubsub://HOST:PORT/PROJECT, or pubsub:///PROJECT for Google's own.",
)  # fmt: skip
_WIDE_ROWS = click.option(
    "--wide-rows", metavar="URL",
    help="sqlite:PATH or bigtable://PROJECT/INSTANCE/TABLE  [default: a file in --data]",
)  # fmt: skip
_ARCHIVE = click.option(
    "--archive", metavar="URL", help="Where objects are kept  [default: a folder in --data]"
)
_RULES = click.option(
    "--rules", metavar="PLACE",
    help="A file, or http://HOST:PORT?key=FILE of the service to follow  "
    "[default: the file in --data]",
)  # fmt: skip

_QUOTAS = (
    "tokens_per_day", "tokens_per_hour", "tokens_per_project_per_hour", "concurrent_requests",
    "server_errors_per_project_per_hour",
)  # fmt: skip


def _port(default: int) -> Callable[[Command], Command]:
    return click.option("--port", type=click.IntRange(1, 65535), default=default, show_default=True)


def _quota(name: str, what: str) -> Callable[[Command], Command]:
    """The option of a quota."""
    return click.option(
        f"--{name.replace('_', '-')}", name, type=click.IntRange(0, 2**31 - 1),
        default=getattr(GOOGLES, name), show_default=True, help=f"{what}; 0: any number.",
    )  # fmt: skip


@click.group()
def serve() -> None:
    """Run one part of the stack in this process.

    ``tallymark up`` runs all of them on one machine; these are for machines of their own.
    SIGTERM ends each in order: what it has accepted it finishes or keeps on disk.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


@serve.command()
@data_option
@_HOST
@_port(8085)
def pubsub(data: Path, host: str, port: int) -> None:
    """The embedded bus, for where there is no Google Pub/Sub.

    \b
    Example:
      tallymark serve pubsub --port 8085
    """
    from stores.bus.server import serve as serve_bus  # noqa: PLC0415

    serve_bus(data_dir=DataFolder(data).bus, port=port, host=host)


@serve.command()
@data_option
@_HOST
@_port(8000)
@_RULES
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option(
    "--durability", type=click.Choice(["process", "host"]), default="process", show_default=True,
    help="What an accepted hit survives; host syncs the disk before each answer.",
)  # fmt: skip
@click.option(
    "--trusted-proxy", "trusted_proxies", multiple=True, metavar="NETWORK",
    help="Believe the forwarding headers of this network (CIDR).",
)  # fmt: skip
@click.option(
    "--max-requests-per-second-per-property", type=click.IntRange(0, 1_000_000), default=0,
    show_default=True, help="More of one measurement id are answered 429; 0: any number.",
)  # fmt: skip
@click.option(
    "--max-requests-per-second-per-network", type=click.IntRange(0, 1_000_000), default=0,
    show_default=True, help="More from one /24 or /48 are answered 429; 0: any number.",
)  # fmt: skip
def collector(data: Path, rules: str | None, **settings: Any) -> None:
    """The collector: takes hits from sites and keeps them on disk.

    \b
    Example:
      tallymark serve collector --port 8000 --workers 2
    """
    from collector.server import serve as serve_collector  # noqa: PLC0415
    from collector.settings import CollectorSettings  # noqa: PLC0415

    try:
        parsed = CollectorSettings(data_dir=data, rules=rules or "", **settings)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    serve_collector(parsed)


@serve.command()
@data_option
@_BUS
@redact_option
def shipper(data: Path, bus: str, redact: tuple[str, ...]) -> None:
    """The shipper: brings what collectors on this machine have kept to the bus.

    \b
    Examples:
      tallymark serve shipper --bus pubsub://127.0.0.1:8085/tallymark
      tallymark serve shipper --redact mail,card
    """
    from collector.shipper import run  # noqa: PLC0415

    run(data_dir=data, bus_url=bus, redact=redact)


@serve.command()
@data_option
@_BUS
@_ARCHIVE
def archiver(data: Path, bus: str, archive: str | None) -> None:
    """The archiver: writes every recorded request to the raw archive.

    \b
    Example:
      tallymark serve archiver --archive file:/var/lib/tallymark/archive
    """
    from collector.archiver import run  # noqa: PLC0415

    run(data_dir=data, bus_url=bus, archive_url=archive or DataFolder(data).archive_url)


@serve.command()
@data_option
@_BUS
@_WIDE_ROWS
@_RULES
@_ARCHIVE
@click.option(
    "--shards", type=click.IntRange(1, 256), default=2, show_default=True,
    help="Fixed for the life of a lineage.",
)  # fmt: skip
@click.option("--flush-seconds", type=click.FloatRange(0.1, 600), default=5.0, show_default=True)
@click.option(
    "--lineage", default="", metavar="live-N",
    help="Compute this one beside the one that serves; tallymark stream upgrade does it all.",
)  # fmt: skip
def stream(
    data: Path,
    bus: str,
    wide_rows: str | None,
    archive: str | None,
    rules: str | None,
    **settings: Any,
) -> None:
    """The streaming pipeline: counts hits and writes what reports read.

    \b
    Example:
      tallymark serve stream --bus pubsub://127.0.0.1:8085/tallymark
    """
    from beam_pipelines import allocators  # noqa: PLC0415

    allocators.keep()
    from beam_pipelines.streaming import StreamSettings, run  # noqa: PLC0415

    folder = DataFolder(data)
    run(
        StreamSettings(
            data_dir=data,
            bus_url=bus,
            wide_rows_url=wide_rows or folder.wide_rows_url,
            archive_url=archive or folder.archive_url,
            rules_path=rules or str(folder.rules_path),
            **settings,
        )
    )


@serve.command()
@data_option
@_HOST
@_port(8001)
@_WIDE_ROWS
@_RULES
@click.option(
    "--archive", metavar="URL",
    help="For passports of hits  [default: the folder in --data, if there is one]",
)  # fmt: skip
@click.option(
    "--only", type=click.Choice(("acquisition", "behaviour")),
    help="Answer one report service alone, before the visit or during it; the page needs both.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@_quota("tokens_per_day", "Tokens of a property in a day of its time zone")
@_quota("tokens_per_hour", "Tokens of a property in an hour")
@_quota("tokens_per_project_per_hour", "Tokens of one read key in an hour")
@_quota("concurrent_requests", "Requests of a property at a time")
@_quota("server_errors_per_project_per_hour", "Server errors of one read key in an hour")
@click.option(
    "--answer-cache-mebibytes", type=click.IntRange(0), default=64, show_default=True,
    help="What the answers that a worker keeps may take; 0: it keeps none.",
)  # fmt: skip
@click.option(
    "--store-seconds", type=click.FloatRange(0.1, 600), default=5.0, show_default=True,
    help="How long the store may take for one report; then 504.",
)  # fmt: skip
def reports(
    *,
    data: Path,
    wide_rows: str | None,
    archive: str | None,
    rules: str | None,
    answer_cache_mebibytes: int,
    only: str | None,
    **settings: Any,
) -> None:
    """The report API and the pages that merchants look at.

    \b
    Examples:
      tallymark serve reports --port 8001
      tallymark serve reports --port 8011 --only acquisition
    """
    from report_api.server import serve as serve_reports  # noqa: PLC0415
    from report_api.settings import ReportSettings  # noqa: PLC0415
    from tallymark.reports.services import services_named  # noqa: PLC0415

    quotas = {name: settings.pop(name) for name in _QUOTAS}
    folder = DataFolder(data)
    here = folder.archive_url if folder.archive.is_dir() else ""
    serve_reports(
        ReportSettings(
            data_dir=data,
            wide_rows_url=wide_rows or folder.wide_rows_url,
            archive_url=here if archive is None else archive,
            rules_path=rules or "",
            quotas=QuotaLimits(**quotas),
            answer_cache_bytes=answer_cache_mebibytes << 20,
            services=services_named(only),
            **settings,
        )
    )


_CODE_HOST = click.option(
    "--code-host", default="127.0.0.1", show_default=True, help="Address of the code server."
)
_CODE_PORT = click.option(
    "--code-port", type=click.IntRange(1, 65535), default=3001, show_default=True,
    help="Port of the code server.",
)  # fmt: skip


@serve.command("dagster-code")
@data_option
@_CODE_HOST
@_CODE_PORT
@_WIDE_ROWS
@_RULES
@_ARCHIVE
@click.option(
    "--retention-days",
    type=click.IntRange(7, 36_600),
    metavar="DAYS",
    help="Keep no hit for longer, whatever its property's rules say.",
)
@click.option(
    "--sealing/--no-sealing", default=True, show_default=True,
    help="Whether sealed hours are computed and late hits counted in by themselves.",
)  # fmt: skip
def dagster_code(
    data: Path,
    code_host: str,
    code_port: int,
    *,
    wide_rows: str | None,
    archive: str | None,
    rules: str | None,
    sealing: bool,
    retention_days: int | None,
) -> None:
    """Dagster's code server: holds the assets and runs them.

    \b
    Example:
      tallymark serve dagster-code --code-port 3001
    """
    from dagster_project import hosting  # noqa: PLC0415

    folder = DataFolder(data.resolve())
    hosting.serve_code(
        hosting.Hosting(home=folder.dagster, code_host=code_host, code_port=code_port),
        archive_url=archive or folder.archive_url,
        wide_rows_url=wide_rows or folder.wide_rows_url,
        rules_path=rules or str(folder.rules_path),
        seals=sealing,
        retention_days=retention_days,
    )


@serve.command("dagster-daemon")
@data_option
@_CODE_HOST
@_CODE_PORT
def dagster_daemon(data: Path, code_host: str, code_port: int) -> None:
    """Dagster's daemon: starts what is queued, scheduled or sensed.

    \b
    Example:
      tallymark serve dagster-daemon --code-port 3001
    """
    from dagster_project import hosting  # noqa: PLC0415

    home = DataFolder(data).dagster
    hosting.serve_daemon(hosting.Hosting(home=home, code_host=code_host, code_port=code_port))


@serve.command()
@data_option
@_HOST
@_port(3000)
@_CODE_HOST
@_CODE_PORT
def dagster(data: Path, host: str, port: int, code_host: str, code_port: int) -> None:
    """Dagster's webserver: where data engineers look at history and replay it.

    \b
    Example:
      tallymark serve dagster --port 3000 --code-port 3001
    """
    from dagster_project import hosting  # noqa: PLC0415

    home = DataFolder(data).dagster
    at = hosting.Hosting(home=home, code_host=code_host, code_port=code_port)
    hosting.serve_webserver(at, host=host, port=port)


@serve.command()
@data_option
@_HOST
@_port(8002)
@click.option(
    "--database", "database_url", default="", metavar="URL",
    help="postgresql://USER@HOST/NAME  [default: a file in --data]",
)  # fmt: skip
@click.option(
    "--publish/--no-publish", "publishes", default=True, show_default=True,
    help="Whether rules/properties.json is kept as the database is; no worker that follows the feed"
    " needs it.",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(4, 512), default=64, show_default=True,
    help="Requests at a time; half of them may wait for changes.",
)  # fmt: skip
@_WIDE_ROWS
def config(data: Path, wide_rows: str | None, **settings: Any) -> None:
    """The Data Configuration service: properties, rules, keys, and who may change them.

    It keeps rules/properties.json as the database is.

    \b
    Example:
      tallymark serve config --port 8002
    """
    from config_api.server import serve as serve_config  # noqa: PLC0415
    from config_api.settings import ConfigSettings  # noqa: PLC0415

    archive = DataFolder(data).archive_url
    try:
        parsed = ConfigSettings(
            data_dir=data,
            archive_url=archive,
            wide_rows_url=wide_rows or DataFolder(data).wide_rows_url,
            **settings,
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    serve_config(parsed)


@serve.command()
@data_option
@_WIDE_ROWS
@_RULES
def compactor(data: Path, wide_rows: str | None, rules: str | None) -> None:
    """The compactor: makes a cell a day of the hours that Dagster has sealed.

    Long reports are faster with it; without it they say the same.

    \b
    Example:
      tallymark serve compactor
    """
    from report_api.compaction import run  # noqa: PLC0415

    folder = DataFolder(data)
    run(
        data_dir=data,
        wide_rows_url=wide_rows or folder.wide_rows_url,
        rules_path=rules or str(folder.rules_path),
    )


@serve.command(hidden=True)
@data_option
@click.option("--collector", "collector_url", required=True)
@click.option("--rate", type=float, default=10.0)
def demo(data: Path, collector_url: str, rate: float) -> None:
    """People who visit the demo's shop; started by ``tallymark up --demo``."""
    from cli.demo import visit_demo  # noqa: PLC0415

    visit_demo(DataFolder(data), collector_url, rate)
