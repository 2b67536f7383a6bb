"""Opening the configuration of a data folder, or of a cluster: what has to be there is made."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config_api import keys, organisations, properties
from config_api.access import Scope
from config_api.database import Database
from config_api.folder import ConfigFolder
from config_api.publication import publish
from config_api.takeover import take_over
from config_api.transaction import RandomBytes, Transaction
from stores.clock import utc_us
from stores.rules_cache.replacement import replace_file

SETUP_ACTOR: Final = "setup"


def open_configuration(
    folder: ConfigFolder,
    database_url: str = "",
    *,
    publishes: bool = True,
    now_us: Callable[[], int] = utc_us,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Database:
    """The database, migrated, with an organisation and keys, and the published copy of it.

    A published copy that is older than the database, as one of a folder from before there was
    one, is taken over first. The caller closes the database.

    Args:
        folder: Where the keys and the published copy are, and the database, unless it is named.
        database_url: See ``config_api.database``.
        publishes: Whether there is to be a published copy.
        now_us: UTC µs.
        random_bytes: Where ids and secrets come from.

    Raises:
        DatabaseUnavailableError: when it does not answer.
        DatabaseVersionError: when a newer Tallymark has migrated it.
        InvalidPropertyError: when the file that is to be taken over is broken.
    """
    database = Database(
        database_url or folder.database_url, now_us=now_us, random_bytes=random_bytes
    )
    try:
        database.migrate()
        content = folder.properties.read_bytes() if folder.properties.exists() else b""
        feed = _kept_secret(folder.feed_key, random_bytes)
        lacks = _lacking(database, feed)
        owner = _kept_secret(folder.owner_key, random_bytes) if lacks.owner_key else ""

        def prepare(transaction: Transaction) -> None:
            organisations.ensure_default(transaction)
            if content:
                take_over(transaction, content)
            if owner:
                name, scopes = "first owner key", [Scope.CONFIGURE, Scope.REPLAY]
                _ensure(transaction, owner, name=name, scopes=scopes, role="owner")
            _ensure(transaction, feed, name="workers of this stack", scopes=[Scope.FEED])

        if lacks.owner_key or lacks.feed_key or (lacks.properties and content):
            database.write(SETUP_ACTOR, prepare)
        if publishes:
            publish(database, folder.properties)
    except BaseException:
        database.close()
        raise
    return database


@dataclass(frozen=True)
class _Lacking:
    """What a database does not have."""

    owner_key: bool
    feed_key: bool
    properties: bool


def _lacking(database: Database, feed_secret: str) -> _Lacking:
    with database.reading() as connection:
        return _Lacking(
            owner_key=not keys.has_owner(connection),
            feed_key=keys.by_secret(connection, feed_secret) is None,
            properties=not properties.all_of(connection, limit=1),
        )


def _kept_secret(path: Path, random_bytes: RandomBytes) -> str:
    """The secret in the file; one is drawn and written first, so that it cannot be lost."""
    if path.exists():
        return path.read_text().strip()
    secret = random_bytes(16).hex()
    replace_file(path, secret.encode() + b"\n", mode=0o600)
    return secret


def _ensure(
    transaction: Transaction,
    secret: str,
    *,
    name: str,
    scopes: list[Scope],
    role: str | None = None,
) -> None:
    if keys.by_secret(transaction.connection, secret) is None:
        holder = keys.Holder(role=role)
        keys.create(transaction, holder, name=name, scopes=scopes, secret=secret)
