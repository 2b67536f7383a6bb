"""Real servers for tests, each started on a free port and stopped with its test."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
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


POSTGRESQL: list[Path] = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server without databases of ours; yields its URL, without a database's name.

    Skips the test where it is not installed, and fails it where ``CI`` is true.
    """
    programs = POSTGRESQL[-1] if POSTGRESQL else Path("/usr/lib/postgresql")
    require(programs / "postgres", "deploy/servers/install_postgresql.sh")
    # It refuses to run as root; Debian's package has made a user for it.
    is_root = os.geteuid() == 0
    as_user = ["runuser", "-u", "postgres", "--"] if is_root else []
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        if is_root:
            shutil.chown(folder, "postgres")
        cluster = f"{folder}/cluster"
        subprocess.run(
            [*as_user, programs / "initdb", "--pgdata", cluster, "--auth=trust", "--no-sync",
             "--username=tallymark"],
            check=True, stdout=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        process = subprocess.Popen(
            [*as_user, programs / "postgres", "-D", cluster, "-p", str(port), "-k", folder,
             "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
            stderr=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        try:
            ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            until = time.monotonic() + 30
            while subprocess.run(ready, check=False).returncode != 0:
                assert time.monotonic() < until, "PostgreSQL did not start"
                time.sleep(0.05)
            yield f"postgresql://tallymark@127.0.0.1:{port}"
        finally:
            stop = [*as_user, programs / "pg_ctl", "stop", "-D", cluster, "-m", "immediate", "-s"]
            subprocess.run(stop, check=True, cwd=folder)
            process.wait(timeout=20)


def require(program: Path, installer: str) -> None:
    """Skip what needs ``program`` where it is not installed; in CI that is a failure."""
    if program.exists():
        return
    message = f"{program.name} is not installed; run {installer}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
