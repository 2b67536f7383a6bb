"""What a collector is started with; parsed once by whoever starts it, immutable after."""

from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from stores.rules_cache.opening import is_service, service_place

Durability = Literal["process", "host"]


@dataclass(frozen=True, kw_only=True)
class CollectorSettings:
    """One collector: a listening address and the workers behind it.

    Attributes:
        data_dir: Folder shared by workers, shipper and archiver; spools, salts, rules lie in it.
        port: TCP port; 0 is not allowed, since every worker binds it for itself.
        workers: Worker processes; each start of one is a spool.
        blocking_threads: Threads a worker answers in at most. The server does not wait for a body
            before it asks for an answer, so a client that is slow to send its own occupies one;
            with ``durability="host"`` they share an fsync.
        rules: Properties as JSON, or the service to follow, see ``stores.rules_cache.opening``;
            "" means ``data_dir/rules/properties.json``.
        durability: ``process`` survives the death of any process, ``host`` that of the machine:
            it adds an fsync, shared by the requests that wait for one, before the answer.
        trusted_proxies: Networks (CIDR) whose forwarding headers are believed.
        max_segment_bytes: Space allowed for spools; at 85 % of it requests are answered 503.
        max_body_bytes: A longer body is answered 413.
        max_requests_per_second_per_property: More of one measurement id are answered 429; 0 means
            any number.
        max_requests_per_second_per_network: More of one visitor network (/24, /48) are answered
            429; 0 means any number.
    """

    data_dir: Path
    port: int
    host: str = "127.0.0.1"
    workers: int = 1
    blocking_threads: int = 16
    rules: str = ""
    durability: Durability = "process"
    trusted_proxies: tuple[str, ...] = ()
    max_segment_bytes: int = 2_000_000_000
    max_body_bytes: int = 1_000_000
    max_requests_per_second_per_property: int = 0
    max_requests_per_second_per_network: int = 0

    def __post_init__(self) -> None:
        """Raises ``ValueError`` that names every setting that cannot be."""
        limits = (
            "max_requests_per_second_per_property",
            "max_requests_per_second_per_network",
        )
        problems = [
            f"{name}: expected {expected}, got {getattr(self, name)!r}"
            for name, expected, good in (
                ("port", "1 to 65535", 0 < self.port < 65536),
                ("workers", "at least 1", self.workers >= 1),
                ("blocking_threads", "at least 1", self.blocking_threads >= 1),
                ("durability", "'process' or 'host'", self.durability in ("process", "host")),
                ("max_segment_bytes", "more than 0", self.max_segment_bytes > 0),
                ("max_body_bytes", "1 to 4000000", 0 < self.max_body_bytes <= 4_000_000),
                *((name, "0 to 1000000", 0 <= getattr(self, name) <= 1_000_000) for name in limits),
            )
            if not good
        ]
        for network in self.trusted_proxies:
            try:
                ip_network(network, strict=False)
            except ValueError as error:
                problems.append(
                    f"trusted_proxies: expected an IP network, got {network!r}: {error}"
                )
        if is_service(self.rules):
            try:
                service_place(self.rules)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def spools_dir(self) -> Path:
        """Where each spool has its folder."""
        return self.data_dir / "spools"

    @property
    def salts_dir(self) -> Path:
        """Where the salts of the visitor hash lie, a file a day."""
        return self.data_dir / "visitors"

    @property
    def properties_path(self) -> Path:
        """The properties file that is read where nothing else is said."""
        return self.data_dir / "rules" / "properties.json"

    @property
    def metrics_dir(self) -> Path:
        """Where workers keep their counts, so that any of them can show the sum."""
        return self.data_dir / "run" / "collector-metrics"

    @property
    def rates_dir(self) -> Path:
        """Where workers count together what a limit allows."""
        return self.data_dir / "run" / "collector-rates"

    @property
    def limits_rates(self) -> bool:
        """Whether any limit is set."""
        return bool(
            self.max_requests_per_second_per_property or self.max_requests_per_second_per_network
        )
