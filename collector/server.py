"""The collector as a server: granian in front of the application, a process a worker."""

import logging
import multiprocessing.util
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces

from collector.rate_limits import begin_anew
from collector.settings import CollectorSettings
from collector.shared_cpu import shared_cpu
from collector.shared_metrics import share_metrics

_DRAIN_SECONDS: Final = 10
_LOG = logging.getLogger(__name__)


def serve(settings: CollectorSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain: every answered request is in a closed segment.

    Raises:
        OSError: when the data folder cannot be written.
    """
    settings.spools_dir.mkdir(parents=True, exist_ok=True)
    share_metrics(settings.metrics_dir)
    if settings.limits_rates:
        begin_anew(settings.rates_dir)
    Granian(
        "collector",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=settings.blocking_threads,
        http=HTTPModes.http1,
        log_access=False,  # queries carry secrets
        respawn_failed_workers=True,
        respawn_interval=0.5,
        # A client that has sent half a request would be waited for without end. The spool of a
        # worker that is killed then is closed by the shipper.
        workers_kill_timeout=_DRAIN_SECONDS,
    ).serve(target_loader=partial(load_application, settings, os.getpid()), wrap_loader=False)


def load_application(settings: CollectorSettings, parent: int) -> Callable[..., Any]:
    """The application, in the process of the worker that will serve it, a child of ``parent``."""
    # Until the server has set its own, the worker has the handler of its parent, which only notes
    # that the parent is to stop: a worker told to stop while it starts would never hear of it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    from collector.app import Worker, create_app  # noqa: PLC0415  in the worker, not before

    worker = Worker.open(settings)
    worker.cpu = shared_cpu()
    app = create_app(worker)
    # Runs when the server has answered its last request and the process is about to end.
    multiprocessing.util.Finalize(None, worker.close, exitpriority=10)
    worker.start(parent, stop_process=lambda: os.kill(os.getpid(), signal.SIGTERM))
    _LOG.info("worker %d writes spool %s", os.getpid(), worker.spool.spool_id)
    return app.wsgi_app
