"""Metrics: every name that a collector shows, each declared and explained here.

The fast path counts in plain integers; the ticking thread hands them over to prometheus-client
once a second, whose shared files make any worker show the sum of all.
"""

import os
from dataclasses import dataclass, fields

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from collector.shared_metrics import MULTIPROCESS_VARIABLE


@dataclass
class Counts:
    """What one worker has counted since its start."""

    recorded: int = 0
    recorded_bytes: int = 0
    doubted: int = 0
    refused_full: int = 0
    refused_large: int = 0
    refused_disk: int = 0
    refused_property: int = 0
    refused_network: int = 0
    failed_ticks: int = 0


class CollectorMetrics:
    """The metrics of a worker."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters = {
            # Requests answered 204, each on disk before its answer.
            "recorded": self._counter("requests_recorded", "Requests recorded"),
            # Bytes of records; with the above the mean size of a request.
            "recorded_bytes": self._counter("recorded_bytes", "Bytes of records written"),
            # Recorded, but the peek knows something against it (X-Tallymark-Reason).
            "doubted": self._counter("requests_doubted", "Requests recorded that may not count"),
            # 503: the spools fill 85 % of the allowed space. The bus or the shipper is down.
            "refused_full": self._counter("requests_refused_full", "Requests refused, spools full"),
            # 413: a client sends longer bodies than the protocols know.
            "refused_large": self._counter("requests_refused_large", "Requests refused, too long"),
            # 503: the disk took no record. Look at the disk at once.
            "refused_disk": self._counter("requests_refused_disk", "Requests refused by the disk"),
            # 429: a property is beyond its limit of requests a second.
            "refused_property": self._counter(
                "requests_refused_property", "Requests refused, property beyond its rate limit"
            ),
            # 429: so is a visitor's network; or a balancer that --trusted-proxy does not name.
            "refused_network": self._counter(
                "requests_refused_network", "Requests refused, network beyond its rate limit"
            ),
            # The disk let no segment be closed. Look at the disk at once.
            "failed_ticks": self._counter("failed_ticks", "Times no segment could be closed"),
        }
        # Bytes in all spools as one worker last measured them; alert well before 85 %.
        self._spool_bytes = self._gauge("spool_bytes", "Bytes waiting in all spools")
        # 0 with requests coming in means that no rules have reached this collector.
        self._properties = self._gauge("known_properties", "Properties that the collector knows")
        self._handed_over = Counts()

    def update(self, counts: Counts, *, spool_bytes: int, known_properties: int) -> None:
        """Hand over what has been counted since the last call."""
        for field in fields(Counts):
            now = getattr(counts, field.name)
            self._counters[field.name].inc(now - getattr(self._handed_over, field.name))
            setattr(self._handed_over, field.name, now)
        self._spool_bytes.set(spool_bytes)
        self._properties.set(known_properties)

    def text(self) -> bytes:
        """The sum over all workers in Prometheus' text format; one worker's where it is alone."""
        if not os.environ.get(MULTIPROCESS_VARIABLE):
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(f"tallymark_collector_{name}", meaning, registry=self._registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(
            f"tallymark_collector_{name}",
            meaning,
            registry=self._registry,
            multiprocess_mode="mostrecent",
        )
