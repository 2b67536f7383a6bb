"""The collector's application: what is no hit, and a worker put together from its parts."""

import json
import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from flask import Flask, Response

from collector.browsers import Browsers
from collector.fast_path import FastPath, WsgiApp
from collector.known_properties import KnownProperties, open_known
from collector.metrics import CollectorMetrics, Counts
from collector.peers import TrustedProxies
from collector.rate_limits import RateLimits, SharedCounts
from collector.recorder import Recorder
from collector.request_ids import RequestIds
from collector.settings import CollectorSettings
from collector.shared_cpu import SharedCpu
from collector.space import SpoolSpace
from collector.spools import Spool, new_spool_id
from collector.tracker import tracker_response
from collector.validation import validation
from collector.visitors import VisitorHashes
from stores.clock import stopwatch, utc_us

TICK_SECONDS: Final = 0.05
_TICKS_A_SECOND: Final = 20
_TICKS_AN_HOUR: Final = 3600 * _TICKS_A_SECOND


@dataclass(kw_only=True)
class Worker:
    """One worker: a spool, what the requests in it are recorded with, and a ticking thread.

    Nothing ticks until ``start``; tests call ``tick`` themselves.
    """

    settings: CollectorSettings
    spool: Spool
    known: KnownProperties
    visitors: VisitorHashes
    browsers: Browsers
    space: SpoolSpace
    proxies: TrustedProxies
    limits: RateLimits | None = None
    cpu: SharedCpu | None = None
    clock: Callable[[], int]
    counts: Counts = field(default_factory=Counts)
    metrics: CollectorMetrics = field(default_factory=CollectorMetrics)
    _ticks: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def open(cls, settings: CollectorSettings, clock: Callable[[], int] = utc_us) -> "Worker":
        """Begin a spool under the settings' data folder.

        Raises:
            OSError: when the folder cannot be written.
        """
        settings.spools_dir.mkdir(parents=True, exist_ok=True)
        spool = Spool(
            settings.spools_dir,
            spool_id=new_spool_id(clock(), secrets.randbits(48)),
            request_ids=RequestIds(secrets.randbits(62)),
            clock=clock,
            stopwatch=stopwatch,
            syncs=settings.durability == "host",
        )
        visitors = VisitorHashes(settings.salts_dir)
        proxies = TrustedProxies(settings.trusted_proxies)
        worker = cls(
            settings=settings,
            spool=spool,
            known=open_known(settings.rules, settings.properties_path, clock),
            visitors=visitors,
            browsers=Browsers(visitors, clock),
            space=SpoolSpace(settings.spools_dir, settings.max_segment_bytes),
            clock=clock,
            proxies=proxies,
            limits=_limits(settings, proxies) if settings.limits_rates else None,
        )
        worker.space.measure()
        return worker

    def start(self, parent: int, stop_process: Callable[[], None]) -> None:
        """Tick from now on, in a thread.

        ``stop_process`` is called once the process ``parent`` is gone, since nobody watches over
        this one any more, or once the disk has failed it: a worker started anew gets a new spool.
        """

        def run() -> None:
            while not self._stopping.wait(TICK_SECONDS):
                self.tick()
                if os.getppid() != parent or self.spool.is_closed:
                    stop_process()
                    return

        threading.Thread(target=run, name="segments", daemon=True).start()

    def tick(self) -> None:
        """Close the aged segment; each second look at rules, space and counts."""
        try:
            self.spool.tick()
            if self._ticks % _TICKS_A_SECOND == 0:
                self.known.refresh()
                self.browsers.tidy()
                self.space.measure_when_due()
                if self.cpu is not None:
                    self.cpu.look_when_due()
                self.hand_over_counts()
            if self._ticks % _TICKS_AN_HOUR == 0:
                self.visitors.destroy_old_salts(self.clock())
        except OSError:
            # A full or failing disk: requests are told so, and the next tick tries again.
            self.counts.failed_ticks += 1
        self._ticks += 1

    def hand_over_counts(self) -> None:
        """Let the metrics show what has been counted so far."""
        self.metrics.update(
            self.counts, spool_bytes=self.space.used_bytes, known_properties=len(self.known)
        )

    def close(self) -> None:
        """Close the spool; what comes after is answered 503."""
        self._stopping.set()
        self.spool.close()
        self.known.close()
        if self.limits is not None:
            self.limits.close()
        self.hand_over_counts()


def _limits(settings: CollectorSettings, proxies: TrustedProxies) -> RateLimits:
    return RateLimits(
        SharedCounts(settings.rates_dir, settings.workers),
        per_property=settings.max_requests_per_second_per_property,
        per_network=settings.max_requests_per_second_per_network,
        proxies=proxies,
        seconds=monotonic,
    )


def create_app(worker: Worker) -> Flask:
    """The application of a worker: Flask behind the fast path."""
    settings = worker.settings
    app = Flask(__name__, static_folder=None)
    _add_routes(app, worker)
    app.register_blueprint(validation(worker.clock, settings.max_body_bytes))
    others: WsgiApp = app.wsgi_app
    fast_path = FastPath(
        others,
        recorder=Recorder(
            worker.spool,
            known=worker.known,
            browsers=worker.browsers,
            proxies=worker.proxies,
            limits=worker.limits,
        ),
        space=worker.space,
        counts=worker.counts,
        sync=worker.spool.sync if settings.durability == "host" else None,
        max_body_bytes=settings.max_body_bytes,
        cpu=worker.cpu,
    )
    app.wsgi_app = fast_path  # type: ignore[method-assign]
    return app


def _add_routes(app: Flask, worker: Worker) -> None:
    @app.get("/t.js")
    def tracker_script() -> Response:
        return tracker_response(worker.known)

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("alive\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        problems = ["spools fill 85 % of the allowed space"] if worker.space.is_full else []
        if worker.spool.is_closed:
            problems.append("stopping")
        body = json.dumps({"ready": not problems, "problems": problems})
        return Response(body, status=503 if problems else 200, mimetype="application/json")

    @app.get("/metrics")
    def metrics() -> Response:
        worker.hand_over_counts()
        return Response(worker.metrics.text(), mimetype="text/plain; version=0.0.4")
