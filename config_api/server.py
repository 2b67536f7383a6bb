"""The configuration service as a server: granian in front of the application."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces

from config_api.settings import ConfigSettings

if TYPE_CHECKING:
    from config_api.database import Database

_DRAIN_SECONDS: Final = 5
_PUBLISH_SECONDS: Final = 1.0
logger = logging.getLogger(__name__)


def serve(settings: ConfigSettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests that are being answered."""
    Granian(
        "config_api",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=settings.threads,
        http=HTTPModes.http1,
        log_access=False,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=_DRAIN_SECONDS,
    ).serve(target_loader=partial(load_application, settings), wrap_loader=False)


def load_application(settings: ConfigSettings) -> Callable[..., Any]:
    """The application, in the process of the worker that will serve it."""
    from config_api.app import create_app  # noqa: PLC0415  in the worker, as all that follows
    from config_api.opening import open_configuration  # noqa: PLC0415
    from config_api.publication import publish  # noqa: PLC0415
    from stores.archive.opening import open_objects  # noqa: PLC0415
    from stores.replay_wishes import ReplayWishes  # noqa: PLC0415
    from stores.rule_previews import RulePreviews  # noqa: PLC0415
    from stores.wide_rows.opening import open_wide_rows  # noqa: PLC0415

    database = open_configuration(
        settings.folder, settings.database_url, publishes=settings.publishes
    )
    path = settings.folder.properties
    if settings.publishes:
        threading.Thread(
            target=_keep_published, args=(database, path), name="publication", daemon=True
        ).start()
    app = create_app(
        database=database,
        publish=partial(publish, database, path) if settings.publishes else lambda: None,
        previews=RulePreviews(open_objects(settings.archive_url)),
        wishes=ReplayWishes(open_wide_rows(settings.wide_rows_url)),
        followers=settings.threads // 2,
    )
    return app.wsgi_app


def _keep_published(database: "Database", path: Path) -> None:
    """Publish what others have committed, as a command that died before it could."""
    from config_api.errors import DatabaseUnavailableError  # noqa: PLC0415
    from config_api.publication import publish  # noqa: PLC0415

    while True:
        database.wait_for_commit(_PUBLISH_SECONDS)
        try:
            publish(database, path)
        except (DatabaseUnavailableError, OSError) as error:
            logger.warning("the properties are not published: %s", error)
            threading.Event().wait(_PUBLISH_SECONDS)
