"""The stack: the table of services of ``tallymark up``, in the order in which they start."""

import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from cli import dagster_probes, probes
from cli.data_folder import DataFolder
from cli.redaction import PRESETS, redaction_text
from cli.service import Service

BUS_PROJECT = "tallymark"


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """What a local stack is started with; ports are free when it starts."""

    data: Path
    host: str
    collector_port: int
    report_port: int
    pubsub_port: int
    wide_rows_url: str
    config_port: int = 8002
    dagster_port: int = 3000
    dagster_code_port: int = 3001
    has_dagster: bool = True
    seals: bool = True
    retention_days: int | None = None
    collector_workers: int = 1
    shards: int = 2
    flush_seconds: float = 5.0
    trusted_proxies: tuple[str, ...] = ()
    demo_hits_per_second: float = 0.0
    redact: tuple[str, ...] = PRESETS
    follows_rules: bool = False

    @property
    def folder(self) -> DataFolder:
        """Where everything is kept."""
        return DataFolder(self.data)

    @property
    def collector_url(self) -> str:
        """Where sites send hits."""
        return f"http://{self.host}:{self.collector_port}"

    @property
    def rules(self) -> dict[str, str]:
        """The option that says where the rules are, where that is not the published copy."""
        place = f"{self.config_url}?key={self.folder.config.feed_key}"
        return {"rules": place} if self.follows_rules else {}

    @property
    def report_url(self) -> str:
        """Where merchants read reports."""
        return f"http://{self.host}:{self.report_port}"

    @property
    def config_url(self) -> str:
        """Where properties, rules and keys are looked at and changed."""
        return f"http://{self.host}:{self.config_port}"

    @property
    def dagster_url(self) -> str:
        """Where data engineers replay history."""
        return f"http://{self.host}:{self.dagster_port}"

    @property
    def bus_url(self) -> str:
        """The embedded bus."""
        return f"pubsub://{self.host}:{self.pubsub_port}/{BUS_PROJECT}"


def services_of(settings: StackSettings) -> list[Service]:
    """The services; each stage needs those before it, so it stops before them."""
    services = [
        _bus(settings),
        _config(settings),
        _stream(settings),
        _archiver(settings),
        _reports(settings),
        _shipper(settings),
        _collector(settings),
    ]
    if settings.demo_hits_per_second:
        services.append(_demo(settings))
    if settings.has_dagster:
        services += [
            _dagster_code(settings),
            _dagster(settings),
            _dagster_daemon(settings),
            _compactor(settings),
        ]
    return services


def _bus(settings: StackSettings) -> Service:
    return Service(
        name="pubsub",
        stage=1,
        command=_serve(settings, "pubsub", port=settings.pubsub_port, host=settings.host),
        address=settings.bus_url,
        is_ready=lambda _pid: probes.accepts_connections(settings.host, settings.pubsub_port),
    )


def _config(settings: StackSettings) -> Service:
    return Service(
        name="config",
        stage=1,
        command=_serve(
            settings,
            "config",
            port=settings.config_port,
            host=settings.host,
            wide_rows=settings.wide_rows_url,
        ),
        address=settings.config_url,
        is_ready=lambda _pid: probes.http_status(f"{settings.config_url}/readyz")[0] == 200,
        holds_next=False,  # what it publishes is published before anything starts
    )


def _reports(settings: StackSettings) -> Service:
    return Service(
        name="reports",
        stage=2,
        command=_serve(
            settings,
            "reports",
            port=settings.report_port,
            host=settings.host,
            wide_rows=settings.wide_rows_url,
            archive=settings.folder.archive_url,  # named, as nothing may be archived yet
            **settings.rules,
        ),
        address=settings.report_url,
        is_ready=lambda _pid: probes.http_status(f"{settings.report_url}/healthz")[0] == 200,
        holds_next=False,  # it is early in the table to be stopped late
    )


def _stream(settings: StackSettings) -> Service:
    note = settings.folder.run / "stream.json"

    def progress() -> object:
        shards = probes.run_note(note).get("shards", [])
        return [{name: shard.get(name) for name in _STREAM_PROGRESS} for shard in shards]

    still = probes.Stillness(progress, _STILL_SECONDS)
    return Service(
        name="stream",
        stage=3,
        command=_serve(
            settings,
            "stream",
            bus=settings.bus_url,
            wide_rows=settings.wide_rows_url,
            shards=settings.shards,
            flush_seconds=settings.flush_seconds,
            **settings.rules,
        ),
        address=settings.wide_rows_url,
        is_ready=probes.notes_of(note),
        is_idle=lambda: still() and not _is_owing(note),
        drain_seconds=30.0,
        stop_seconds=30.0,
    )


_STILL_SECONDS = 2.5
"""Services note their state each second: two notes alike say that nothing comes any more."""
_STREAM_PROGRESS = ("hits", "published", "flushes")
_ARCHIVER_PROGRESS = ("backlog_blocks", "blocks_written", "repeated_blocks")


def _is_owing(note: Path) -> bool:
    return any(shard.get("unwritten") for shard in probes.run_note(note).get("shards", []))


def _archiver(settings: StackSettings) -> Service:
    note = settings.folder.run / "archiver.json"

    def progress() -> object:
        return [probes.run_note(note).get(name) for name in _ARCHIVER_PROGRESS]

    return Service(
        name="archiver",
        stage=3,
        command=_serve(settings, "archiver", bus=settings.bus_url),
        address=settings.folder.archive_url,
        is_ready=probes.notes_of(note),
        is_idle=probes.Stillness(progress, _STILL_SECONDS),
        drain_seconds=30.0,
        stop_seconds=30.0,
    )


def _shipper(settings: StackSettings) -> Service:
    return Service(
        name="shipper",
        stage=4,
        command=_serve(
            settings, "shipper", bus=settings.bus_url, redact=redaction_text(settings.redact)
        ),
        address=settings.bus_url,
        is_ready=probes.notes_of(settings.folder.run / "shipper.json"),
        is_idle=lambda: not unshipped_spools(settings.folder.spools),
        drain_seconds=20.0,
        holds_next=False,  # segments wait on disk
    )


def unshipped_spools(spools: Path) -> int:
    """How many spools still hold blocks that the bus has not taken."""
    return sum(path.is_dir() for path in spools.glob("[!.]*")) if spools.exists() else 0


def _collector(settings: StackSettings) -> Service:
    return Service(
        name="collector",
        stage=5,
        command=_serve(
            settings,
            "collector",
            port=settings.collector_port,
            host=settings.host,
            workers=settings.collector_workers,
            trusted_proxy=settings.trusted_proxies,
            **settings.rules,
        ),
        address=settings.collector_url,
        is_ready=lambda _pid: probes.http_status(f"{settings.collector_url}/readyz")[0] == 200,
    )


def _demo(settings: StackSettings) -> Service:
    return Service(
        name="demo",
        stage=6,
        command=_serve(
            settings,
            "demo",
            collector=settings.collector_url,
            rate=settings.demo_hits_per_second,
        ),
        address=f"{settings.demo_hits_per_second:g} hits/s to {settings.collector_url}",
        is_ready=lambda _pid: True,
    )


def _dagster_code(settings: StackSettings) -> Service:
    days = settings.retention_days
    command = _serve(
        settings,
        "dagster-code",
        code_host=settings.host,
        code_port=settings.dagster_code_port,
        wide_rows=settings.wide_rows_url,
        **settings.rules,
        **({} if days is None else {"retention_days": days}),
    )
    return Service(
        name="dagster-code",
        stage=7,
        command=(*command, "--sealing" if settings.seals else "--no-sealing"),
        address=f"{settings.host}:{settings.dagster_code_port}",
        is_ready=lambda _pid: probes.accepts_connections(settings.host, settings.dagster_code_port),
        stops_group=True,  # runs are its children; it would wait for their end
        stop_seconds=30.0,
    )


def _dagster(settings: StackSettings) -> Service:
    return Service(
        name="dagster",
        stage=8,
        command=_serve(
            settings,
            "dagster",
            port=settings.dagster_port,
            host=settings.host,
            code_host=settings.host,
            code_port=settings.dagster_code_port,
        ),
        address=settings.dagster_url,
        is_ready=lambda _pid: not dagster_probes.code_problem(settings.dagster_url),
    )


def _dagster_daemon(settings: StackSettings) -> Service:
    return Service(
        name="dagster-daemon",
        stage=8,
        command=_serve(
            settings,
            "dagster-daemon",
            code_host=settings.host,
            code_port=settings.dagster_code_port,
        ),
        address=settings.dagster_url,
        is_ready=dagster_probes.daemons_live(settings.dagster_url),
    )


def _compactor(settings: StackSettings) -> Service:
    """It makes days of what Dagster has sealed: without Dagster there are none."""
    return Service(
        name="compactor",
        stage=8,
        command=_serve(settings, "compactor", wide_rows=settings.wide_rows_url, **settings.rules),
        address=settings.wide_rows_url,
        is_ready=probes.notes_of(settings.folder.run / "compactor.json"),
        holds_next=False,
    )


def _serve(settings: StackSettings, name: str, **options: object) -> tuple[str, ...]:
    """The command line of one service; everything is said, nothing left to the environment."""
    arguments = [sys.executable, "-m", "cli.main", "serve", name, "--data", str(settings.data)]
    for option, value in options.items():
        for item in value if isinstance(value, tuple) else (value,):
            arguments += [f"--{option.replace('_', '-')}", str(item)]
    return tuple(arguments)


def port_problems(settings: StackSettings) -> list[str]:
    """Ports that are taken, each with the option that chooses another."""
    wanted = {
        "--collector-port": settings.collector_port,
        "--report-port": settings.report_port,
        "--config-port": settings.config_port,
        "--pubsub-port": settings.pubsub_port,
    }
    if settings.has_dagster:
        wanted["--dagster-port"] = settings.dagster_port
        wanted["--dagster-code-port"] = settings.dagster_code_port
    problems = []
    for option, port in wanted.items():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError as error:
                problems.append(f"port {port}: {error.strerror}; choose another with {option}")
    if len(set(wanted.values())) < len(wanted):
        problems.append(f"{', '.join(wanted)}: expected different ports")
    return problems
