"""What a pipeline is told: settings that are parsed once and travel inside the DoFns."""

from dataclasses import dataclass

from tallymark.slots import LATE_US


@dataclass(frozen=True, kw_only=True)
class ShardSettings:
    """How shards count and where they write.

    Attributes:
        lineage: Name of the lineage written, such as ``live-1``.
        shards: How many; fixed for the life of a lineage.
        wide_rows_url: For ``stores.wide_rows.open_wide_rows``.
        archive_url: For ``stores.archive.open_objects``; snapshots and dead letters go there.
        rules_path: The file or the service of the rules, for ``stores.rules_cache.opening``.
        flush_seconds: A shard writes when its oldest unwritten hit has waited this long.
        snapshot_seconds: How often a shard's state is saved; 0 never.
        late_us: Lateness that is still counted.
        reads_whole_from: UTC µs since when the job has read everything.
        reads_from: UTC µs; what was published before it is not read again.
        bus_url: Bus on which to seek back when a block is missing; "" where there is none.
        subscription: The job's own subscription on it.
        code_version: Version of the code; snapshots of another one are not loaded.
        bus_url: The bus to seek back on when a hole stays open, or "" where there is none.
    """

    lineage: str
    shards: int
    wide_rows_url: str
    archive_url: str
    rules_path: str
    flush_seconds: float = 5.0
    snapshot_seconds: float = 60.0
    late_us: int = LATE_US
    reads_whole_from: int = -(2**62)
    reads_from: int = 0
    code_version: str = ""
    bus_url: str = ""
    subscription: str = ""
