"""What the report API is started with; parsed once by whoever starts it, immutable after."""

from dataclasses import dataclass
from pathlib import Path

from tallymark.quotas import GOOGLES, QuotaLimits
from tallymark.reports.services import SERVICES, ServiceName


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """One report API: a listening address and what it reads.

    Attributes:
        data_dir: Folder whose ``rules/properties.json`` names the properties.
        port: TCP port.
        host: Address to listen on.
        wide_rows_url: For ``stores.wide_rows.opening.open_wide_rows``.
        rules_path: For ``stores.rules_cache.opening``; "" means the file in ``data_dir``.
        workers: Worker processes.
        threads: Requests that a worker takes at a time; more than one property may have at a time,
            so that there is always one for another. Few of them are computed at a time.
        archive_url: For ``stores.archive.opening.open_objects``; without it no hit has a passport.
        collector_url: Where sites send hits, for the snippet that the page shows to a merchant
            without hits; the page names a placeholder where it is "".
        quotas: How much may be asked of every property.
        answer_cache_bytes: What the answers that a worker keeps may take; 0: it keeps none.
        services: The report services that it answers.
        store_seconds: How long the store may take for one report.
    """

    data_dir: Path
    port: int
    wide_rows_url: str
    host: str = "127.0.0.1"
    rules_path: str = ""
    workers: int = 1
    threads: int = 12
    archive_url: str = ""
    collector_url: str = ""
    quotas: QuotaLimits = GOOGLES
    answer_cache_bytes: int = 64 << 20
    services: tuple[ServiceName, ...] = SERVICES
    store_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Raises ``ValueError`` that names every setting that cannot be."""
        problems = [
            f"{name}: expected {expected}, got {getattr(self, name)!r}"
            for name, expected, good in (
                ("port", "1 to 65535", 0 < self.port < 65536),
                ("workers", "at least 1", self.workers >= 1),
                ("threads", "at least 1", self.threads >= 1),
                ("store_seconds", "above 0", self.store_seconds > 0),
                ("answer_cache_bytes", "at least 0", self.answer_cache_bytes >= 0),
                ("wide_rows_url", "a URL", bool(self.wide_rows_url)),
            )
            if not good
        ]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def quotas_path(self) -> Path:
        """Where workers tell each other what was asked."""
        return self.data_dir / "run" / "report_quotas.sqlite"

    @property
    def rules_place(self) -> str:
        """Where the rules are, as given or at their usual place."""
        return self.rules_path or str(self.data_dir / "rules" / "properties.json")
