"""Metrics: every name that the configuration service shows, each declared and explained here."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class ConfigMetrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        # Answers by call and HTTP status; 503 says that the database does not answer.
        self._answers = Counter(
            "tallymark_config_answers",
            "Answers of the configuration service",
            ["call", "status"],
            registry=self._registry,
        )
        # Seconds from the request's arrival to its answer; list_changes waits on purpose.
        self._seconds = Histogram(
            "tallymark_config_seconds",
            "Time to answer",
            ["call"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        # The newest change in the log: what followers of the feed are measured by.
        self._position = Gauge(
            "tallymark_config_position",
            "Number of the newest change",
            registry=self._registry,
        )

    def answered(self, call: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._answers.labels(call, str(status)).inc()
        self._seconds.labels(call).observe(seconds)

    def at(self, position: int) -> None:
        """Show the newest change."""
        self._position.set(position)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)
