"""Metrics: every name that the report API shows, each declared and explained here."""

from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tallymark.circuit import State

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ReportMetrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        # Answers by method and HTTP status; 503 says that the wide rows do not answer.
        self._answers = Counter(
            "tallymark_report_answers",
            "Answers of the report API",
            ["method", "status"],
            registry=self._registry,
        )
        # Seconds from the request's arrival in the application to its answer.
        self._seconds = Histogram(
            "tallymark_report_seconds",
            "Time to answer",
            ["method"],
            buckets=_BUCKETS,
            registry=self._registry,
        )

        # Sealed hours that differ from live beyond late hits and that nobody has looked at.
        self._audit_hours = Gauge(
            "tallymark_audit_hours",
            "Sealed hours that differ from live beyond late hits",
            registry=self._registry,
        )

        # Hours of properties whose hits may be processed by rules that have changed: the stream
        # is cut off from them.
        self._doubtful_hours = Gauge(
            "tallymark_rules_doubtful_hours",
            "Hours of properties processed past what was known of their rules",
            registry=self._registry,
        )
        # Those of them that were, and have not been computed again yet.
        self._misruled_hours = Gauge(
            "tallymark_rules_wrong_hours",
            "Hours of properties processed by rules that had changed",
            registry=self._registry,
        )

        # Answers that were kept and served again, those that were not, and what is kept: of this
        # worker.
        self._cache_hits = Gauge(
            "tallymark_report_cache_hits", "Answers served from the cache", registry=self._registry
        )
        self._cache_misses = Gauge(
            "tallymark_report_cache_misses",
            "Answers computed as none was kept",
            registry=self._registry,
        )
        self._cache_bytes = Gauge(
            "tallymark_report_cache_bytes", "Bytes of answers kept", registry=self._registry
        )

        # The circuit before the wide rows, of this worker: 1 for what it is now, and how often it
        # has opened.
        self._circuit = Gauge(
            "tallymark_report_store_circuit",
            "State of the circuit before the wide rows",
            ["state"],
            registry=self._registry,
        )
        self._circuit_opened = Gauge(
            "tallymark_report_store_circuit_opened",
            "How often the circuit before the wide rows has opened",
            registry=self._registry,
        )

    def circuit(self, state: State, opened: int) -> None:
        """Show what the circuit before the wide rows is."""
        for each in get_args(State):
            self._circuit.labels(each).set(each == state)
        self._circuit_opened.set(opened)

    def cached(self, hits: int, misses: int, size_bytes: int) -> None:
        """Show what the cache of answers has done."""
        self._cache_hits.set(hits)
        self._cache_misses.set(misses)
        self._cache_bytes.set(size_bytes)

    def misruled(self, doubtful: int, wrong: int) -> None:
        """Show how many hours of properties are in doubt, and how many are wrong."""
        self._doubtful_hours.set(doubtful)
        self._misruled_hours.set(wrong)

    def audited(self, hours: int) -> None:
        """Show how many sealed hours are to be looked at."""
        self._audit_hours.set(hours)

    def answered(self, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._answers.labels(method, str(status)).inc()
        self._seconds.labels(method).observe(seconds)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)
