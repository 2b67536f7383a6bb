"""``tallymark stream``: what an operator does with the streaming job while it runs."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cli import probes
from cli.data_folder import DataFolder, data_option
from cli.up_lock import holder

PAUSE_SECONDS: Final = 1.0
STOP_SECONDS: Final = 60.0


@click.group(name="stream")
def stream_group() -> None:
    """Change the streaming job while hits flow."""


@stream_group.command()
@data_option
@click.option("--bus", metavar="URL", help="[default: that of the running stack]")
@click.option("--wide-rows", metavar="URL", help="[default: that of the running stack]")
@click.option("--archive", metavar="URL", help="[default: a folder in --data]")
@click.option("--shards", type=click.IntRange(1, 256), help="[default: as many as now]")
@click.option("--why", default="streaming upgrade", show_default=True, help="For the history.")
@click.option("--give-up-seconds", type=click.FloatRange(min=1), default=3600.0, show_default=True,
              help="Leave all as it was if the new job has not caught up by then.")  # fmt: skip
def upgrade(data: Path, why: str, give_up_seconds: float, shards: int | None, **urls: Any) -> None:
    """Let the code that is installed now take over from the streaming job that runs.

    A second job starts beside the first, reads the last 24 hours of hits from a subscription
    of its own and writes a lineage of its own. When it has caught up, the first one stops and
    the hours that can still change are served from the second. No hit is lost, and no report
    goes back. Sealed hours stay as they are: tallymark replay mends those.

    Ctrl-C before the end leaves everything as it was.

    \b
    Example:
      tallymark stream upgrade --why "mended the channel of newsletters"
    """
    from beam_pipelines.upgrade import Upgrade, UpgradeFailedError  # noqa: PLC0415
    from stores.bus.port import BusUnavailableError  # noqa: PLC0415
    from stores.wide_rows.port import WideRowsUnavailableError  # noqa: PLC0415

    folder = DataFolder(data.resolve())
    places = {name: url or default for (name, url), default in _with_defaults(folder, urls)}
    if not places["bus"]:
        raise click.ClickException(
            f"no stack runs on {data}: start it with tallymark up, or say where the bus is (--bus)"
        )
    console = Console(stderr=True)
    try:
        upgrading = Upgrade.of(
            wide_rows_url=places["wide_rows"], bus_url=places["bus"], shards=shards, why=why
        )
        with _progress(console) as shown, _job(folder, places, upgrading.heir.name) as job:
            upgrading.catch_up(shown, job.check, give_up_seconds=give_up_seconds)
            upgrading.take_over(job.check)
            job.stop()
            document = upgrading.publish()
    except (UpgradeFailedError, KeyboardInterrupt) as error:
        upgrading.abandon()
        said = str(error) or "stopped"
        raise click.ClickException(f"{said}; everything is as it was") from error
    except (BusUnavailableError, WideRowsUnavailableError) as error:
        raise click.ClickException(
            f"{error}; the job that serves goes on. Run this again to go on where it ended"
        ) from error
    first = upgrading.first_hour
    click.echo(f"{upgrading.heir.name} serves the hours from {first} (map {document.version})")


def _with_defaults(
    folder: DataFolder, urls: dict[str, str | None]
) -> Iterator[tuple[tuple[str, str | None], str]]:
    addresses = _addresses(folder)
    defaults = {
        "bus": addresses.get("pubsub", ""),
        "wide_rows": addresses.get("stream", folder.wide_rows_url),
        "archive": folder.archive_url,
    }
    for name, url in urls.items():
        yield (name, url), defaults[name]


def _addresses(folder: DataFolder) -> dict[str, str]:
    """Where the services of a running stack are; none where no stack runs."""
    if not holder(folder.run):
        return {}
    services = probes.run_note(folder.run / "up.json").get("services", [])
    return {service["name"]: service["address"] for service in services}


class _Job:
    """The second streaming job."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def check(self) -> None:
        """Raises ``UpgradeFailedError`` when it has ended."""
        from beam_pipelines.upgrade import UpgradeFailedError  # noqa: PLC0415

        status = self._process.poll()
        if status is not None:
            raise UpgradeFailedError(f"the new job ended with status {status}: see its log above")

    def stop(self) -> None:
        """Let it write all it holds, save its state and end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@contextmanager
def _job(folder: DataFolder, places: dict[str, str], lineage: str) -> Iterator[_Job]:
    command = [
        sys.executable, "-m", "cli.main", "serve", "stream", "--data", str(folder.path),
        "--bus", places["bus"], "--wide-rows", places["wide_rows"],
        "--archive", places["archive"], "--lineage", lineage,
    ]  # fmt: skip
    # In a session of its own: Ctrl-C is for this command, which then stops it in order.
    job = _Job(subprocess.Popen(command, start_new_session=True))
    try:
        yield job
    finally:
        job.stop()
        with suppress(FileNotFoundError):
            (folder.run / f"stream-{lineage}.json").unlink()


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str, float], None]]:
    """A bar, or a line now and then where nobody sees bars."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}
        told = [0.0]

        def show(stage: str, done: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0)
            progress.update(tasks[stage], completed=done)
            if not console.is_terminal and time.monotonic() - told[0] >= 10 * PAUSE_SECONDS:
                told[0] = time.monotonic()
                console.print(f"{stage}: {done:.0%}")

        yield show
