"""Shared metrics: the folder through which the workers of a collector add up their counts."""

import os
from pathlib import Path
from typing import Final

MULTIPROCESS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics(folder: Path) -> None:
    """Let the workers that are started from here on share their counts in ``folder``.

    To be called before prometheus-client is imported: it looks only then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob("*.db"):
        left_over.unlink()
    os.environ[MULTIPROCESS_VARIABLE] = str(folder)
