"""The data folder: where each part of a local stack keeps its files."""

from dataclasses import dataclass
from pathlib import Path

import click

from config_api.folder import ConfigFolder


@dataclass(frozen=True)
class DataFolder:
    """Places under one folder. Nothing is created by asking for them."""

    path: Path

    @property
    def rules_path(self) -> Path:
        """The properties and their rules, as workers read them."""
        return self.config.properties

    @property
    def config(self) -> ConfigFolder:
        """The configuration: its database, its keys, and what is published of it."""
        return ConfigFolder(self.path / "rules")

    @property
    def spools(self) -> Path:
        """Segments of the collector's workers that are yet to be shipped."""
        return self.path / "spools"

    @property
    def bus(self) -> Path:
        """The embedded bus."""
        return self.path / "bus"

    @property
    def run(self) -> Path:
        """What running processes say of themselves, and the lock of ``up``."""
        return self.path / "run"

    @property
    def dagster(self) -> Path:
        """Dagster's home: its settings, runs and events."""
        return self.path / "dagster"

    @property
    def imports(self) -> Path:
        """What imports keep while they run."""
        return self.path / "imports"

    @property
    def demo(self) -> Path:
        """Ids and secrets of the demo's property; for its owner's eyes only."""
        return self.path / "demo.json"

    @property
    def wide_rows_path(self) -> Path:
        """The file of the wide rows of a stack that names no other store."""
        return self.path / "wide_rows.sqlite"

    @property
    def wide_rows_url(self) -> str:
        """The wide rows of a stack that names no other store."""
        return f"sqlite:{self.wide_rows_path}"

    @property
    def archive(self) -> Path:
        """The folder of the archive of a stack that names no other."""
        return self.path / "archive"

    @property
    def archive_url(self) -> str:
        """The raw archive."""
        return f"file:{self.archive}"


data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data"),
    show_default=True,
    envvar="TALLYMARK_DATA",
    metavar="FOLDER",
    help="Where everything is kept.",
)
