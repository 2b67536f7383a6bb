"""Real servers for tests, each started on a free port and stopped with its test."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BIGTABLE_EMULATOR = Path(__file__).parents[1] / ".servers" / "bin" / "bigtable-emulator"


@contextmanager
def bigtable_emulator() -> Iterator[str]:
    """A Bigtable emulator, empty; yields its ``HOST:PORT``.

    Skips the test where the emulator is not installed, and fails it where ``CI`` is true.
    """
    require(BIGTABLE_EMULATOR, "deploy/servers/install_bigtable_emulator.sh")
    process = subprocess.Popen(
        [BIGTABLE_EMULATOR, "--host=127.0.0.1", "--port=0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        announcement = process.stdout.readline()  # "… running on 127.0.0.1:PORT"
        assert "running on" in announcement, f"the emulator did not start: {announcement!r}"
        yield announcement.split()[-1]
    finally:
        process.kill()
        process.communicate(timeout=20)


def require(program: Path, installer: str) -> None:
    """Skip what needs ``program`` where it is not installed; in CI that is a failure."""
    if program.exists():
        return
    message = f"{program.name} is not installed; run {installer}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
