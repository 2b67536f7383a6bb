"""Wide rows by URL, so that a deployment chooses its store by one setting."""

from math import inf
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from stores.wide_rows.port import WideRows

EXPECTED: Final = (
    "expected sqlite:PATH or "
    "bigtable://PROJECT/INSTANCE/TABLE with options like ?emulator=HOST:PORT&create=true"
)


def open_wide_rows(url: str) -> WideRows:
    """The wide rows at ``url``.

    ``sqlite:PATH`` is a file on this host, ``bigtable://PROJECT/INSTANCE/TABLE`` a table, of the
    emulator if ``?emulator=HOST:PORT`` names one. Bigtable is reached at the first call, not here.
    Its other options are ``create=true``, to create a missing table (with the emulator that is so
    unless ``create=false``), and ``deadline_seconds=10`` for a call with its repetitions.

    Raises:
        ValueError: when the URL is of neither form.
    """
    if url.startswith("sqlite:") and len(url) > len("sqlite:"):
        from stores.wide_rows.sqlite import SqliteWideRows  # noqa: PLC0415 - one store is loaded

        return SqliteWideRows(Path(url.removeprefix("sqlite:")))
    if url.startswith("bigtable://"):
        return _open_bigtable(url)
    raise ValueError(f"wide rows URL: {EXPECTED}, got {url!r}")


def _open_bigtable(url: str) -> WideRows:
    from stores.wide_rows.bigtable import BigtableWideRows  # noqa: PLC0415 - a slow import

    parts = urlsplit(url)
    names = [parts.netloc, *parts.path.strip("/").split("/")]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = set(options) - {"emulator", "create", "deadline_seconds"}
    if len(names) != 3 or not all(names) or unknown:
        raise ValueError(f"wide rows URL: {EXPECTED}, got {url!r}")
    project, instance, table = names
    emulator = options.get("emulator", "")
    return BigtableWideRows(
        project,
        instance,
        table,
        emulator=emulator,
        creates=options.get("create", "true" if emulator else "false") == "true",
        deadline_seconds=_seconds(options.get("deadline_seconds", "10"), url),
    )


def _seconds(text: str, url: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < inf:
        raise ValueError(f"deadline_seconds: expected a number above 0, got {text!r} in {url!r}")
    return seconds
