"""The port under the archive: named immutable objects, as in a bucket or a folder."""

from collections.abc import Iterable
from typing import BinaryIO, Protocol


class Objects(Protocol):
    """Objects under slash-separated names. A put is durable and all or nothing."""

    def put(self, name: str, content: bytes) -> None:
        """Store ``content`` under ``name``, replacing what was there; durable on return."""

    def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        """Store many at once: each durable, and whole or not at all, on return."""

    def get(self, name: str) -> bytes:
        """The content.

        Raises:
            FileNotFoundError: when there is no such object.
        """

    def open(self, name: str) -> BinaryIO:
        """The content as a stream that can be sought in, for reading parts of it; to be closed.

        Raises:
            FileNotFoundError: when there is no such object.
        """

    def names(self, prefix: str) -> list[str]:
        """Names that start with ``prefix``, ascending."""

    def delete(self, name: str) -> None:
        """Remove the object; no error if it is not there."""
