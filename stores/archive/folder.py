"""Objects in a folder, each a file; written under another name, synced, then renamed."""

import ctypes
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

PARTIAL: Final = ".partial"
"""Folder of what is being written; of the same file system, so that a rename is one step."""
LEFT_OVER_SECONDS: Final = 3_600
_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
"""Of Linux; elsewhere all file systems are synced."""


class FolderObjects:
    """The port ``Objects`` over a folder. Processes and threads may share it.

    Args:
        folder: Where the objects lie; created with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sweep()

    def put(self, name: str, content: bytes) -> None:
        """Store ``content``; it is on the disk, or nothing has changed.

        Raises:
            ValueError: when ``name`` would lie outside the folder.
            OSError: when the disk does not take it.
        """
        path = self._path(name)
        self._make_folder(path.parent)
        self._make_folder(self._folder / PARTIAL)
        descriptor, partial = tempfile.mkstemp(dir=self._folder / PARTIAL)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(partial).replace(path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)

    def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        """Store many at once; they are on the disk, each whole or not at all.

        They share two syncs of the file system, where each alone would wait for its own.

        Raises:
            ValueError: when a name would lie outside the folder.
            OSError: when the disk does not take them; some may have been stored.
        """
        self._make_folder(self._folder / PARTIAL)
        written: list[tuple[str, Path]] = []
        try:
            for name, content in objects:
                path = self._path(name)
                descriptor, partial = tempfile.mkstemp(dir=self._folder / PARTIAL)
                written.append((partial, path))
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
            _sync_all(self._folder)
            for folder in {path.parent for _, path in written}:
                folder.mkdir(parents=True, exist_ok=True)
            for partial, path in written:
                Path(partial).replace(path)
        except BaseException:
            for partial, _ in written:
                Path(partial).unlink(missing_ok=True)
            raise
        _sync_all(self._folder)

    def get(self, name: str) -> bytes:
        """The content.

        Raises:
            FileNotFoundError: when there is no such object.
        """
        with self.open(name) as file:
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """The content as a stream that can be sought in; to be closed.

        Raises:
            FileNotFoundError: when there is no such object.
        """
        path = self._path(name)
        try:
            return path.open("rb")
        except (IsADirectoryError, NotADirectoryError) as error:
            raise FileNotFoundError(f"there is no object {name!r} in {self._folder}") from error

    def names(self, prefix: str) -> list[str]:
        """Names that start with ``prefix``, ascending."""
        above = prefix.rpartition("/")[0]
        folder = self._path(above) if above else self._folder
        start = f"{above}/" if above else ""
        return sorted(name for name in _files(folder, start) if name.startswith(prefix))

    def delete(self, name: str) -> None:
        """Remove the object; no error if it is not there."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        parts = name.split("/")
        if any(part in ("", ".", "..", PARTIAL) or "\0" in part for part in parts):
            raise ValueError(
                f"object name: expected parts between single slashes, none of them '.', '..' or "
                f"{PARTIAL!r}, got {name!r}"
            )
        return self._folder.joinpath(*parts)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)

    def _sweep(self) -> None:
        """Remove what processes that died were writing."""
        oldest = time.time() - LEFT_OVER_SECONDS
        partials = self._folder / PARTIAL
        for path in partials.iterdir() if partials.is_dir() else ():
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:  # renamed, or swept by another process
                continue


def _files(folder: Path, start: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir():
            if entry.name != PARTIAL:
                yield from _files(folder / entry.name, f"{start}{entry.name}/")
        else:
            yield start + entry.name


def _sync_all(within: Path) -> None:
    """See that whatever was written to the file system of a folder is on the disk."""
    descriptor = os.open(within, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _syncfs is None:
            os.sync()
        elif _syncfs(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(within))
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
