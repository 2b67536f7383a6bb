"""The report API as a server: granian in front of the application."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces

from report_api.settings import ReportSettings

_DRAIN_SECONDS: Final = 10
STORE_FAILURES: Final = 3
"""So few that one report for each thread is enough to find out that the store is gone."""


def serve(settings: ReportSettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests that are being answered."""
    # It warns of many threads: most of them wait for their turn, and few compute.
    logging.getLogger("_granian").addFilter(lambda record: "Python threads" not in record.msg)
    Granian(
        "report_api",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=settings.threads,
        http=HTTPModes.http1,
        log_access=False,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=_DRAIN_SECONDS,
    ).serve(target_loader=partial(load_application, settings), wrap_loader=False)


def load_application(settings: ReportSettings) -> Callable[..., Any]:
    """The application, in the process of the worker that will serve it."""
    import gc  # noqa: PLC0415  in the worker, as all that follows
    import secrets  # noqa: PLC0415
    import time  # noqa: PLC0415

    from report_api.answer_cache import AnswerCache  # noqa: PLC0415
    from report_api.app import create_app  # noqa: PLC0415
    from stores.archive.opening import open_objects  # noqa: PLC0415
    from stores.clock import utc_us  # noqa: PLC0415
    from stores.rules_cache.opening import open_rules_cache  # noqa: PLC0415
    from stores.wide_rows.breaker import BreakingWideRows  # noqa: PLC0415
    from stores.wide_rows.opening import open_wide_rows  # noqa: PLC0415
    from tallymark.circuit import CircuitSettings  # noqa: PLC0415
    from tallymark.reports.services import Services  # noqa: PLC0415

    app = create_app(
        wide_rows=BreakingWideRows(
            open_wide_rows(settings.wide_rows_url),
            clock=time.monotonic,
            settings=CircuitSettings(failures=STORE_FAILURES),
        ),
        rules_cache=open_rules_cache(settings.rules_place, role="reports"),
        now_us=utc_us,
        archive=open_objects(settings.archive_url) if settings.archive_url else None,
        collector_url=settings.collector_url,
        quota_limits=settings.quotas,
        quotas_path=settings.quotas_path,
        store_seconds=settings.store_seconds,
        answer_cache=AnswerCache(settings.answer_cache_bytes, seed=secrets.randbits(64)),
        services=Services(settings.services),
    )
    gc.freeze()  # what is loaded stays; no collection has to look through it
    return app.wsgi_app
