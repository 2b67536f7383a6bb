"""``tallymark export``: reports and hits as files."""

import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
import httpx

from tallymark.reports.files import FORMATS

TIMEOUT_SECONDS: Final = 120.0
_KEY: Final = "TALLYMARK_KEY"


_URL = click.option(
    "--url", default="http://127.0.0.1:8001", show_default=True, help="The report API."
)
_KEY_FILE = click.option(
    "--key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"Holds a read key of the property  [default: the variable {_KEY}]",
)  # fmt: skip


@click.group(name="export")
def export_group() -> None:
    """Take reports, and hits themselves, out as files."""


@export_group.command()
@click.argument("what", metavar="REPORT")
@click.option("--property", "property_id", required=True, type=int, help="Whose report.")
@click.option("--from", "first", metavar="DAY", default="28daysAgo", show_default=True,
              help="2026-01-31, today, yesterday or NdaysAgo; of standard reports.")  # fmt: skip
@click.option("--to", "last", metavar="DAY", default="yesterday", show_default=True)
@click.option("--format", "form", type=click.Choice(tuple(FORMATS)),
              help="[default: by the ending of --out, else csv]")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path),
              help="The file  [default: standard output]")  # fmt: skip
@click.option("--method", default="runReport", show_default=True,
              help="Of a request in a file: runReport, runPivotReport, …")  # fmt: skip
@_URL
@_KEY_FILE
def report(
    *,
    what: str,
    property_id: int,
    first: str,
    last: str,
    form: str | None,
    out: Path | None,
    method: str,
    url: str,
    key_file: Path | None,
) -> None:
    """Ask a report API for a report and write it to a file.

    REPORT is a standard report (SERVICE/NAME, as /v1/properties/N/SERVICE/reports lists them) or a
    file with a request of the reporting methods as JSON ("-": standard input).

    \b
    Examples:
      tallymark export report acquisition/channels --property 123456789 --out channels.xlsx
      tallymark export report request.json --property 123456789 --format parquet --out rows.parquet
    """
    path, body = _asked(what, property_id, {"startDate": first, "endDate": last})
    chosen = form or (out.suffix.removeprefix(".") if out else "csv")
    if chosen not in FORMATS:
        raise click.BadParameter(f"expected a name ending in {', '.join(FORMATS)}, or --format")
    query = {"format": chosen, "method": method}
    content = _answer("POST", f"{url.rstrip('/')}{path}", _key(key_file), params=query, json=body)
    if out is None:
        sys.stdout.buffer.write(content)
        return
    out.write_bytes(content)
    click.echo(f"{out}: {len(content):,} bytes", err=True)


@export_group.command()
@click.option("--property", "property_id", required=True, type=int, help="Whose hits.")
@click.option("--from", "first", required=True, type=click.DateTime(["%Y-%m-%d"]),
              help="The first day, in the property's time zone.")  # fmt: skip
@click.option("--to", "last", required=True, type=click.DateTime(["%Y-%m-%d"]),
              help="The last day.")  # fmt: skip
@click.option("--into", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="A folder; made where there is none.")  # fmt: skip
@_URL
@_KEY_FILE
def hits(
    *,
    property_id: int,
    first: datetime,
    last: datetime,
    into: Path,
    url: str,
    key_file: Path | None,
) -> None:
    """Write the hits of days as Parquet, in the schema of GA4's BigQuery export.

    A file a day, events_YYYYMMDD.parquet. Days that are there already are written anew; what fails
    leaves no file.

    \b
    Example:
      tallymark export hits --property 123456789 --from 2026-01-01 --to 2026-01-31 --into hits
    """
    if last < first:
        raise click.BadParameter(f"expected --to at or after --from, got {last:%Y-%m-%d}")
    key = _key(key_file)
    into.mkdir(parents=True, exist_ok=True)
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        name = into / f"events_{day:%Y%m%d}.parquet"
        path = f"/v1/properties/{property_id}/hits/{day:%Y-%m-%d}.parquet"
        content = _answer("GET", f"{url.rstrip('/')}{path}", key)
        part = name.with_suffix(".part")
        part.write_bytes(content)
        part.replace(name)
        click.echo(f"{name}: {len(content):,} bytes", err=True)


def _asked(what: str, property_id: int, days: dict[str, str]) -> tuple[str, Any]:
    """Path and body of the call."""
    is_file = what == "-" or Path(what).is_file()
    if not is_file:
        service, slash, name = what.partition("/")
        if not slash:
            raise click.BadParameter(f"expected SERVICE/NAME or a file that is there, got {what!r}")
        path = f"/v1/properties/{property_id}/{service}/reports/{name}:export"
        return path, {"dateRanges": [days]}
    text = sys.stdin.read() if what == "-" else Path(what).read_text()
    try:
        return f"/v1/properties/{property_id}:exportReport", json.loads(text)
    except json.JSONDecodeError as error:
        raise click.ClickException(f"{what}: expected a request as JSON: {error}") from error


def _key(key_file: Path | None) -> str:
    key = key_file.read_text().strip() if key_file else os.environ.get(_KEY, "")
    if not key:
        raise click.ClickException(f"expected a read key of the property: --key-file, or {_KEY}")
    return key


def _answer(verb: str, url: str, key: str, **asked: Any) -> bytes:
    headers = {"Authorization": f"Bearer {key}"}
    try:
        response = httpx.request(verb, url, headers=headers, timeout=TIMEOUT_SECONDS, **asked)
    except httpx.HTTPError as error:
        raise click.ClickException(f"{url} does not answer: {error}") from error
    if response.is_success:
        return response.content
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = response.text[:500]
    raise click.ClickException(f"{response.status_code}: {message}")
