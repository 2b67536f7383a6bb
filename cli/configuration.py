"""The configuration of a data folder, for commands: the database itself, whoever else uses it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import click
import orjson

from cli.data_folder import DataFolder
from cli.who import who
from config_api.database import Database
from config_api.errors import ConfigurationError
from config_api.opening import open_configuration
from config_api.property_rows import all_rows
from config_api.publication import publish
from config_api.transaction import Transaction
from stores.archive.opening import open_objects
from stores.replay_wishes import ReplayWishes
from stores.rule_previews import RulePreviews
from stores.rules_cache.documents import decode_properties
from stores.rules_cache.problems import InvalidPropertyError
from stores.wide_rows.opening import open_wide_rows
from tallymark.properties import Property

T = TypeVar("T")


class LocalConfiguration:
    """The database of a data folder, and the copy of it that workers read."""

    def __init__(self, database: Database, folder: DataFolder) -> None:
        self.database = database
        self._folder = folder.config
        self._wide_rows_url = folder.wide_rows_url
        self.previews = RulePreviews(open_objects(folder.archive_url))

    @cached_property
    def wishes(self) -> ReplayWishes:
        """For replays, which Dagster looks for."""
        return ReplayWishes(open_wide_rows(self._wide_rows_url))

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Do ``work`` in a transaction and publish what has become of the properties."""
        done = self.database.write(who(), work)
        publish(self.database, self._folder.properties)
        return done

    def properties(self) -> list[Property]:
        """Every property."""
        with self.database.reading() as connection:
            rows = all_rows(connection).rows
        return decode_properties(orjson.dumps({"properties": rows}))


@contextmanager
def configuration(data: Path) -> Iterator[LocalConfiguration]:
    """The configuration of a data folder, which is made where there is none.

    Raises:
        click.ClickException: with what is refused, or cannot be read.
    """
    folder = DataFolder(data)
    try:
        database = open_configuration(folder.config)
    except (ConfigurationError, InvalidPropertyError, OSError) as error:
        raise click.ClickException(f"the configuration in {folder.config.path}: {error}") from error
    try:
        yield LocalConfiguration(database, folder)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    finally:
        database.close()
