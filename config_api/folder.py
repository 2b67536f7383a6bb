"""The folder in which a data folder keeps its configuration."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ConfigFolder:
    """Where the configuration of a data folder lies. Nothing is created by asking for it."""

    path: Path

    @property
    def database(self) -> Path:
        """The file of the database of a folder that names no other."""
        return self.path / "config.sqlite"

    @property
    def database_url(self) -> str:
        """The database of a folder that names no other."""
        return f"sqlite:{self.database}"

    @property
    def properties(self) -> Path:
        """The published copy that workers read."""
        return self.path / "properties.json"

    @property
    def owner_key(self) -> Path:
        """The first key, with which all others are made; for its owner's eyes only."""
        return self.path / "owner_key"

    @property
    def feed_key(self) -> Path:
        """The key by which workers of the local stack follow changes."""
        return self.path / "feed_key"
