"""Real servers for tests, each started on a free port and stopped with its test."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BIGTABLE_EMULATOR = Path(__file__).parents[1] / ".servers" / "bin" / "bigtable-emulator"


@contextmanager
def bigtable_emulator() -> Iterator[str]:
    """A Bigtable emulator, empty; yields its ``HOST:PORT``; see ``bigtable_process``."""
    with bigtable_process() as (_, address):
        yield address


@contextmanager
def bigtable_process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A Bigtable emulator, empty, which may be suspended; yields it and its ``HOST:PORT``.

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
        yield process, announcement.split()[-1]
    finally:
        process.kill()
        process.communicate(timeout=20)


POSTGRESQL: list[Path] = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class PostgreSQL:
    """A cluster in a folder, and the server on it while it is started."""

    def __init__(self, folder: str, port: int) -> None:
        self.url = f"postgresql://tallymark@127.0.0.1:{port}"
        self._folder = folder
        self._port = port
        self._programs = POSTGRESQL[-1]
        # It refuses to run as root; Debian's package has made a user for it.
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as_user:
            shutil.chown(folder, "postgres")
        self._run("initdb", "--auth=trust", "--no-sync", "--username=tallymark")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "start", "-w", "-s", "-o", options, "-l", f"{self._folder}/log")

    def stop(self) -> None:
        """Stop it as a crash would."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-s")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as_user, self._programs / program, "-D", f"{self._folder}/cluster", *arguments],
            check=True, stdout=subprocess.DEVNULL, cwd=self._folder,
        )  # fmt: skip


@contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server with nothing of ours in it.

    Skips the test where it is not installed, and fails it where ``CI`` is true.
    """
    programs = POSTGRESQL[-1] if POSTGRESQL else Path("/usr/lib/postgresql")
    require(programs / "postgres", "deploy/servers/install_postgresql.sh")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        server = PostgreSQL(folder, port)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def require(program: Path, installer: str) -> None:
    """Skip what needs ``program`` where it is not installed; in CI that is a failure."""
    if program.exists():
        return
    message = f"{program.name} is not installed; run {installer}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
