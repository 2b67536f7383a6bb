"""The lock of ``up``: one local stack a data folder."""

import fcntl
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self


class FolderInUseError(Exception):
    """Another stack runs on the folder; says which."""


class UpLock:
    """Held for the life of a stack; it goes with the process, however that ends.

    Args:
        run: The run folder.
        document: What others are told: pid and addresses.

    Raises:
        FolderInUseError: on entering, when another stack holds it.
    """

    def __init__(self, run: Path, document: dict[str, Any]) -> None:
        self._path = run / "up.lock"
        self._document = document
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            said = file.read()
            file.close()
            raise FolderInUseError(_told(self._path.parent.parent, said)) from error
        file.truncate(0)
        file.write(json.dumps(self._document))
        file.flush()
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()


def holder(run: Path) -> dict[str, Any]:
    """What the running stack says of itself; empty when none runs."""
    try:
        with (run / "up.lock").open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                document = json.loads(file.read() or "{}")
                return document if isinstance(document, dict) else {}
    except FileNotFoundError:
        pass
    return {}


def _told(data: Path, said: str) -> str:
    document = json.loads(said or "{}")
    addresses = ", ".join(
        f"{name} {address}" for name, address in document.get("addresses", {}).items()
    )
    return (
        f"a stack already runs on {data} (pid {document.get('pid', 'unknown')}; {addresses}); "
        "stop it, or choose another folder with --data"
    )
