"""The stores that assets read and write, as one resource."""

import dagster as dg

from beam_pipelines.places import Places
from stores.archive.opening import open_objects
from stores.archive.port import Objects
from stores.archive.raw import RawArchive
from stores.wide_rows.opening import open_wide_rows
from stores.wide_rows.port import WideRows


class Stores(dg.ConfigurableResource["Stores"]):
    """Where the archive, the wide rows and the rules are.

    Attributes:
        archive_url: For ``stores.archive.opening``.
        wide_rows_url: For ``stores.wide_rows.opening``.
        rules_path: The file that ``stores.rules_cache`` reads.
        retention_days: For how long hits of any property are kept at most; 0 is no limit.
    """

    archive_url: str
    wide_rows_url: str
    rules_path: str
    retention_days: int = 0

    def places(self) -> Places:
        """All of them, for what does not know Dagster."""
        return Places(
            archive_url=self.archive_url,
            wide_rows_url=self.wide_rows_url,
            rules_path=self.rules_path,
            retention_days=self.retention_days or None,
        )

    def objects(self) -> Objects:
        """The archive's objects."""
        return open_objects(self.archive_url)

    def raw_archive(self) -> RawArchive:
        """The recorded requests."""
        return RawArchive(self.objects())

    def wide_rows(self) -> WideRows:
        """What reports read."""
        return open_wide_rows(self.wide_rows_url)
