"""The archive's objects by URL, so that a deployment chooses its store by one setting."""

from pathlib import Path

from stores.archive.folder import FolderObjects
from stores.archive.port import Objects


def open_objects(url: str) -> Objects:
    """The objects at ``url``: ``file:DIR`` is a folder on this host.

    Raises:
        ValueError: when the URL is of another form.
    """
    scheme, _, path = url.partition(":")
    if scheme != "file" or not path:
        raise ValueError(f"archive URL: expected file:DIR, got {url!r}")
    return FolderObjects(Path(path))
