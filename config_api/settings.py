"""What the configuration service is started with; parsed once, immutable after."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config_api.folder import ConfigFolder

_KINDS: Final = ("sqlite:", "postgresql://")


@dataclass(frozen=True, kw_only=True)
class ConfigSettings:
    """One configuration service: a listening address and its database.

    Attributes:
        data_dir: Folder in whose ``rules`` the keys and the published copy are, and the database,
            unless it is named.
        port: TCP port.
        host: Address to listen on.
        database_url: See ``config_api.database``; "" means the file in ``data_dir``.
        publishes: Whether ``rules/properties.json`` is kept as the database is; with very many
            properties, all of whose workers follow the feed, it need not be.
        archive_url: See ``stores.archive.opening``: where requests are recorded on which rules are
            tried.
        wide_rows_url: See ``stores.wide_rows.opening``: where wishes for replays are left.
        threads: Requests that are answered at a time; those that wait for changes take one each.
    """

    data_dir: Path
    port: int
    archive_url: str
    wide_rows_url: str
    host: str = "127.0.0.1"
    database_url: str = ""
    publishes: bool = True
    threads: int = 64

    def __post_init__(self) -> None:
        """Raises ``ValueError`` that names every setting that cannot be."""
        kind = self.database_url.partition("://")[0]  # what follows may hold a password
        got = {"port": self.port, "threads": self.threads, "database_url": f"{kind}…"}
        problems = [
            f"{name}: expected {expected}, got {got[name]!r}"
            for name, expected, good in (
                ("port", "1 to 65535", 0 < self.port < 65536),
                ("threads", "at least 4", self.threads >= 4),
                (
                    "database_url",
                    "sqlite:PATH or postgresql://USER@HOST/NAME",
                    not self.database_url or self.database_url.startswith(_KINDS),
                ),
            )
            if not good
        ]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def folder(self) -> ConfigFolder:
        """Where keys and the published copy are."""
        return ConfigFolder(self.data_dir / "rules")
