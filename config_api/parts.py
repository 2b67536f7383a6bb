"""What the application was made of, for everything that answers in it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from flask import current_app

from config_api.database import Database
from config_api.metrics import ConfigMetrics
from stores.replay_wishes import ReplayWishes
from stores.rule_previews import RulePreviews


@dataclass(frozen=True)
class Parts:
    """What the application was made of."""

    database: Database
    publish: Callable[[], None]
    previews: RulePreviews
    wishes: ReplayWishes
    metrics: ConfigMetrics
    followers: threading.BoundedSemaphore


def parts_here() -> Parts:
    """Those of the application that is answering."""
    parts: Parts = current_app.extensions["tallymark"]
    return parts
