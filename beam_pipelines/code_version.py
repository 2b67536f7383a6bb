"""The version of the code: what may have decided differently must not share its state."""

from importlib.metadata import version
from pathlib import Path
from typing import Final

import xxhash

import tallymark
from tallymark.geography import database_name

LISTS: Final = ("crawler-user-agents", "ua-parser-builtins")
"""Packages of which a newer version may tell another browser or crawler from a user agent."""


def code_version() -> str:
    """A digest of the domain's source, data, lists and geography: equal code, equal version."""
    root = Path(tallymark.__file__).parent
    digest = xxhash.xxh3_64()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".csv"):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    for name in LISTS:
        digest.update(f"{name} {version(name)}".encode())
    digest.update(database_name().encode())
    return digest.hexdigest()
