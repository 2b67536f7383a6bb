"""Publication: the copy of all properties that the workers of one machine read as a file."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson
from sqlalchemy import select

from config_api.database import Database
from config_api.property_rows import all_rows
from config_api.tables import FEED
from stores.rules_cache.replacement import replace_file

_FORM: Final = 2
"""A copy of another form is written anew, though nothing has changed since."""
_BEGINNING: Final = re.compile(
    rb'\{\s*"form": %d,\s*"database_id": "([0-9a-f]{32})",\s*"position": (\d+),' % _FORM
)


def publish(database: Database, path: Path) -> None:
    """Write the properties to the file at ``path``, if it is not as the database is.

    Several processes may do so at once: none puts an older state in the place of a newer one.

    Raises:
        DatabaseUnavailableError: when the database does not answer; the file stays as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path), database.reading() as connection:
        feed = connection.execute(select(FEED)).mappings().one()
        if _published(path) == (feed["database_id"], feed["position"]):
            return
        found = all_rows(connection)
        document = {
            "form": _FORM,
            "database_id": found.database_id,
            "position": found.position,
            "properties": found.rows,
        }
        # Hashes of secrets with 128 random bits: whoever reads them can do nothing with them.
        replace_file(path, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _published(path: Path) -> tuple[str, int] | None:
    """Of which database and position the file is; it says so at its beginning."""
    try:
        with path.open("rb") as file:
            found = _BEGINNING.match(file.read(200))
    except OSError:
        return None
    return (found[1].decode(), int(found[2])) if found else None
