"""``tallymark simulate``: play visits to a shop against a collector."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import click
import orjson

from cli.simulator.player import Player
from cli.simulator.records import script_row
from cli.simulator.schedule import Due, schedule
from cli.simulator.visits import Habits, Site, Visit, visits
from stores.clock import utc_us

_REPORT_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """One play. ``duration_seconds`` and ``visits`` of 0 mean without end."""

    url: str
    sites: list[Site]
    habits: Habits
    seed: int
    hits_per_second: float
    duration_seconds: float = 0.0
    visits: int = 0
    connections: int = 16
    retry: bool = False
    script: Path | None = None
    log: Path | None = None


@click.command()
@click.option("--to", "url", required=True, metavar="URL", help="Collector, http://HOST:PORT.")
@click.option(
    "--measurement-id",
    "measurement_ids",
    multiple=True,
    metavar="G-…[=WEIGHT]",
    help="Property to visit; give it several times, with weights, for several.",
)
@click.option(
    "--api-secret",
    "api_secrets",
    multiple=True,
    metavar="SECRET",
    help="Secret of each property, in the same order; with one, servers send hits too.",
)
@click.option(
    "--properties",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='JSON lines {"measurement_id", "weight", "api_secret", "host", "currency"} instead.',
)
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same visits.")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True,
    help="Hits a second; a request may carry several.",
)  # fmt: skip
@click.option(
    "--duration", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS",
    help="Begin visits for so long. Without it and --visits: until stopped.",
)  # fmt: skip
@click.option("--visits", "count", type=click.IntRange(min=0), default=0, help="So many visits.")
@click.option(
    "--returning-share", type=click.FloatRange(0, 1), default=0.3, show_default=True,
    help="Share of visits by clients who came before.",
)  # fmt: skip
@click.option(
    "--history-hours", type=click.FloatRange(0, 72), default=0.0, metavar="HOURS",
    help="Date every visit back by up to so long; all travel by the Measurement Protocol.",
)  # fmt: skip
@click.option("--connections", type=click.IntRange(1, 512), default=16, show_default=True)
@click.option("--retry", is_flag=True, help="Send again what was not accepted, and log it.")
@click.option("--script", type=click.Path(path_type=Path), help="Write what is meant, JSON lines.")
@click.option("--log", type=click.Path(path_type=Path), help="Write what was sent, JSON lines.")
def simulate(
    measurement_ids: tuple[str, ...],
    api_secrets: tuple[str, ...],
    properties: Path | None,
    returning_share: float,
    history_hours: float,
    **more: Any,
) -> None:
    """Play visits to a shop against a collector.

    \b
    People land on pages, look around, put things into carts, buy, come back; they come
    from searches, campaigns and other sites, with many devices, from many countries.
    The script says what was meant, the log what was sent and answered, so that anybody
    can count for himself. A request whose connection broke is logged as unknown and
    never sent again by itself. Under the clock of TALLYMARK_CLOCK rate and duration are in
    its seconds.

    \b
    Examples:
      tallymark simulate --to http://127.0.0.1:8000 --measurement-id G-ABCDE12345
      tallymark simulate --to http://127.0.0.1:8000 --measurement-id G-ABCDE12345 \\
          --seed 7 --rate 200 --duration 60 --script script.jsonl --log log.jsonl
    """
    settings = SimulationSettings(
        sites=_sites(measurement_ids, api_secrets, properties, bool(history_hours)),
        habits=Habits(returning_share=returning_share, history_hours=history_hours),
        url=more["url"],
        seed=more["seed"],
        hits_per_second=more["rate"],
        duration_seconds=more["duration"],
        visits=more["count"],
        connections=more["connections"],
        retry=more["retry"],
        script=more["script"],
        log=more["log"],
    )
    try:
        outcomes = asyncio.run(run(settings))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--to") from error
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    click.echo(f"requests: {told or 'none'}", err=True)
    if set(outcomes) - {"accepted"}:
        sys.exit(1)


async def run(settings: SimulationSettings) -> dict[str, int]:
    """Play until the end, SIGINT or SIGTERM; how many requests had which outcome.

    Raises:
        ValueError: when the address is none.
    """
    with contextlib.ExitStack() as files:
        script, log = (_opened(files, path) for path in (settings.script, settings.log))
        player = Player(
            settings.url, connections=settings.connections, retry=settings.retry, log=log
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, player.stop)
        dues = _dues(settings, lambda visit, first: script(script_row(visit, first)))
        progress = asyncio.create_task(_show_progress(settings, player))
        try:
            await player.play(dues)
        finally:
            progress.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await progress
        return dict(player.outcomes)


def _dues(settings: SimulationSettings, on_visit: Callable[[Visit, int], None]) -> Iterator[Due]:
    drawn: Iterator[Visit] = visits(settings.seed, settings.sites, settings.habits)
    if settings.visits:
        drawn = islice(drawn, settings.visits)
    if settings.duration_seconds:
        drawn = _limited(drawn, settings.duration_seconds * settings.hits_per_second)
    return schedule(drawn, settings.hits_per_second, utc_us(), on_visit)


def _limited(drawn: Iterator[Visit], hits: float) -> Iterator[Visit]:
    """Visits until they hold so many hits."""
    held = 0
    for visit in drawn:
        if held >= hits:
            return
        held += len(visit.hits)
        yield visit


def _sites(
    measurement_ids: tuple[str, ...],
    api_secrets: tuple[str, ...],
    properties: Path | None,
    needs_secret: bool,
) -> list[Site]:
    if bool(measurement_ids) == bool(properties):
        raise click.UsageError("give either --measurement-id or --properties")
    if properties:
        sites = _sites_in(properties)
    else:
        if api_secrets and len(api_secrets) != len(measurement_ids):
            raise click.UsageError(
                f"got {len(api_secrets)} --api-secret for {len(measurement_ids)} "
                "--measurement-id; give one for each, in the same order, or none"
            )
        secrets = api_secrets or ("",) * len(measurement_ids)
        pairs = zip(measurement_ids, secrets, strict=True)
        sites = [_weighted_site(text, secret) for text, secret in pairs]
    if needs_secret and not all(site.api_secret for site in sites):
        raise click.UsageError("--history-hours needs the --api-secret of each property")
    return sites


def _weighted_site(text: str, api_secret: str) -> Site:
    measurement_id, _, weight = text.partition("=")
    try:
        return Site(measurement_id=measurement_id, weight=float(weight or 1), api_secret=api_secret)
    except ValueError as error:
        raise click.BadParameter(
            f"expected G-… or G-…=WEIGHT, got {text!r}", param_hint="--measurement-id"
        ) from error


def _sites_in(path: Path) -> list[Site]:
    try:
        return [Site(**orjson.loads(line)) for line in path.read_bytes().splitlines()]
    except (ValueError, TypeError) as error:
        raise click.BadParameter(f"{path}: {error}", param_hint="--properties") from error


def _opened(files: contextlib.ExitStack, path: Path | None) -> Callable[[dict[str, Any]], None]:
    """What takes the rows of a file of JSON lines; nothing is kept without a path."""
    if path is None:
        return lambda _row: None
    path.parent.mkdir(parents=True, exist_ok=True)
    # Unbuffered: others read along while the play goes on.
    file: IO[bytes] = files.enter_context(path.open("wb", buffering=0))
    return lambda row: _write(file, row)


def _write(file: IO[bytes], row: dict[str, Any]) -> None:
    file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


async def _show_progress(settings: SimulationSettings, player: Player) -> None:
    """A progress bar on a terminal; silence elsewhere."""
    if not sys.stderr.isatty():
        return
    from rich.console import Console  # noqa: PLC0415  (a play without a terminal needs none)
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"requests to {settings.url}", total=None)
        while True:
            progress.update(task, completed=sum(player.outcomes.values()))
            await asyncio.sleep(_REPORT_SECONDS)
