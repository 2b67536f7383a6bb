"""Where the commands that read and change history find it, and how they say what was wrong."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from beam_pipelines.places import Places
from beam_pipelines.replay_process import ReplayFailedError
from beam_pipelines.replay_request import IncompleteHoursError
from cli.data_folder import DataFolder, data_option
from stores.archive.damage import ArchiveDamageError
from stores.lineages import UnknownLineageError
from stores.wide_rows.port import WideRowsUnavailableError
from tallymark.publication import RefusedError
from tallymark.replays import UnsealedError

_KNOWN = (
    ArchiveDamageError,
    IncompleteHoursError,
    RefusedError,
    ReplayFailedError,
    UnknownLineageError,
    UnsealedError,
    ValueError,
    WideRowsUnavailableError,
)


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--data``, ``--archive`` and ``--wide-rows``."""
    for option in (
        click.option("--wide-rows", metavar="URL", help="The cells  [default: a file in --data]"),
        click.option("--archive", metavar="URL", help="The archive  [default: a folder in --data]"),
        data_option,
    ):
        command = option(command)
    return command


def places_of(
    *,
    data: Path,
    archive: str | None,
    wide_rows: str | None,
    may_begin: bool = False,
    retention_days: int | None = None,
) -> Places:
    """What the options name; nothing is created by looking at it.

    Args:
        data: The data folder.
        archive: URL, if it is not in there.
        wide_rows: URL, if they are not in there.
        retention_days: For how long hits are kept at most.
        may_begin: Whether a folder without reports will do: a replay makes the first.

    Raises:
        click.ClickException: when the folder holds nothing to look at.
    """
    folder = DataFolder(data.resolve())
    begins = may_begin and folder.rules_path.exists()
    if wide_rows is None and not begins and not folder.wide_rows_path.exists():
        what = "there is no such folder" if not folder.path.exists() else "it holds no reports"
        raise click.ClickException(
            f"--data {data}: expected the data folder of a stack, {what}; tallymark up makes one "
            "there, --wide-rows names reports that are elsewhere. Nothing was created"
        )
    return Places(
        archive_url=archive or folder.archive_url,
        wide_rows_url=wide_rows or folder.wide_rows_url,
        rules_path=str(folder.rules_path),
        retention_days=retention_days,
    )


@contextmanager
def explained() -> Iterator[None]:
    """What can be wrong is told, and ends the command with status 1."""
    try:
        yield
    except _KNOWN as error:
        text = error.args[0] if isinstance(error, LookupError) else error
        raise click.ClickException(str(text)) from error
    except KeyboardInterrupt:
        click.echo("stopped; nothing that is served has changed", err=True)
        sys.exit(130)


def property_id_of(places: Places, owner: str | None) -> int | None:
    """The property of ``--property``; ``None`` where it was not given.

    Raises:
        ValueError: when there is none.
    """
    return None if owner is None else places.property_named(owner).property_id


property_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--property", "owner", metavar="PROPERTY",
    help="This property alone, by number or measurement id.",
)  # fmt: skip
json_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--json", "as_json", is_flag=True, help="For programs."
)
