"""``tallymark import``: bring history in."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.data_folder import DataFolder, data_option

if TYPE_CHECKING:
    from cli.import_formats import FileFormat


@click.group(name="import")
def import_group() -> None:
    """Bring history in: records of other systems become recorded requests.

    They are received when their events happened, so that the hours of the past can be counted
    like any other. A file that was imported before changes nothing; an import that was cut off
    goes on when it is called again.
    """


def _import_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.argument(
                "files",
                nargs=-1,
                required=True,
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
            ),
            click.option(
                "--property", "property_id", type=int, required=True, metavar="ID",
                help="Whose history it is; tallymark property list shows the ids.",
            ),
            data_option,
            click.option(
                "--wide-rows", metavar="URL",
                help="Where reports are; their hours are announced  [default: a file in --data]",
            ),
            click.option("--dry-run", is_flag=True, help="Read and count, write nothing."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object for programs."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@import_group.command(name="ga4-export")
@_import_options
def ga4_export(files: tuple[Path, ...], **options: Any) -> None:
    """Import FILES of Google Analytics' BigQuery export, Parquet or JSON lines (.gz too).

    Every row is an event. Page, campaign, engagement, purchase and items, user id and
    properties, language, country and device come over; what else BigQuery holds does not.

    \b
    Examples:
      tallymark import ga4-export events_20201101.parquet --property 100000001 --dry-run
      tallymark import ga4-export events_*.json.gz --property 100000001
    """
    from cli.import_formats import ga4_format  # noqa: PLC0415
    from cli.importing import one_at_a_time  # noqa: PLC0415

    folder, is_dry = DataFolder(options.pop("data")), options["dry_run"]
    owner = _measurement_id(folder, options["property_id"])
    with _stopping_at_errors(), one_at_a_time(folder, is_dry=is_dry):
        _run(files, partial(ga4_format, measurement_id=owner), folder=folder, **options)


def _host(_context: click.Context, _option: click.Parameter, host: str) -> str:
    if host and not re.fullmatch(r"[A-Za-z0-9._-]+(:[0-9]+)?", host):
        raise click.BadParameter(f"expected a name such as www.example.com, got {host!r}")
    return host


@import_group.command(name="access-log")
@click.option(
    "--host", default="", metavar="NAME", callback=_host,
    help="Of the site; without it links inside the site look like those of others.",
)  # fmt: skip
@_import_options
def access_log(files: tuple[Path, ...], host: str, **options: Any) -> None:
    """Import FILES of a web server's access log in the combined format (.gz too).

    Pages that were answered with 200 or 304 become page views; images, scripts, feeds,
    other methods and failures are skipped and counted. A visitor is a network and a user
    agent, hashed under a salt that is destroyed when the import ends, so give all files of
    a site at once. Give files that are not written to any more: one that has grown is another
    file, and what it held before would be counted twice.

    \b
    Examples:
      tallymark import access-log access.log.2.gz --property 100000001 --host www.example.com
      tallymark import access-log access.log.*.gz --property 100000001 --host www.example.com --json
    """
    from cli.import_formats import log_format  # noqa: PLC0415
    from cli.importing import one_at_a_time, visitor_salt  # noqa: PLC0415

    folder, is_dry = DataFolder(options.pop("data")), options["dry_run"]
    owner = _measurement_id(folder, options["property_id"])
    with (
        _stopping_at_errors(),
        one_at_a_time(folder, is_dry=is_dry),
        visitor_salt(folder, is_dry=is_dry) as salt,
    ):
        form_of = partial(log_format, measurement_id=owner, host=host, salt=salt)
        _run(files, form_of, folder=folder, **options)


def _run(
    files: Sequence[Path],
    form_of: "Callable[..., FileFormat]",
    *,
    folder: DataFolder,
    property_id: int,
    dry_run: bool,
    as_json: bool,
    wide_rows: str | None,
) -> None:
    from cli.import_reports import ProgressBar, tell, tell_next, tell_sum, together  # noqa: PLC0415
    from cli.importing import Importer  # noqa: PLC0415
    from stores.clock import utc_us  # noqa: PLC0415

    now_us = utc_us()
    reports = []
    with ProgressBar.open() as bar:
        importer = Importer(
            folder, property_id=property_id, now_us=now_us, told=bar.tell, is_dry=dry_run,
            wide_rows_url=wide_rows or "",
        )  # fmt: skip
        for path in files:
            form = form_of(path, end_us=now_us)
            reports.append(importer.bring_in(path, form))
            if not as_json:
                tell(reports[-1])
    if as_json:
        click.echo(json.dumps(together(property_id, reports)))
        return
    if len(reports) > 1:
        tell_sum(reports)
    tell_next(folder.path, property_id, reports)


def _measurement_id(folder: DataFolder, property_id: int) -> str:
    from stores.rules_cache.documents import decode_properties  # noqa: PLC0415
    from stores.rules_cache.problems import InvalidPropertyError  # noqa: PLC0415

    try:
        owners = decode_properties(folder.rules_path.read_bytes())
    except FileNotFoundError:
        owners = []
    except InvalidPropertyError as error:
        raise click.ClickException(f"{folder.rules_path} is broken; mend it:\n{error}") from error
    for owner in owners:
        if owner.property_id == property_id and owner.measurement_ids:
            return owner.measurement_ids[0]
    known = ", ".join(str(owner.property_id) for owner in owners) or "none"
    raise click.ClickException(
        f"--property: expected the id of a property with a data stream in {folder.path} ({known}), "
        f"got {property_id}; tallymark property create makes one"
    )


@contextmanager
def _stopping_at_errors() -> Iterator[None]:
    from cli.import_files import UnreadableFileError  # noqa: PLC0415
    from cli.import_formats import NothingToImportError  # noqa: PLC0415
    from cli.importing import ImportRunningError  # noqa: PLC0415

    try:
        yield
    except (NothingToImportError, ImportRunningError, UnreadableFileError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"{error}; what was written stays: call the command again to go on"
        ) from error
