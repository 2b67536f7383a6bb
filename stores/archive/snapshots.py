"""Snapshots of shards: a base and the increments since, named by a manifest that is written last.

``snapshots/LINEAGE/SHARD/`` holds parts, which are never changed, and ``manifest.json``, which is
replaced in one step. A snapshot whose manifest was not written does not exist.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import orjson

from stores.archive.port import Objects
from stores.failpoints import reach


@dataclass(frozen=True)
class Manifest:
    """The parts of a snapshot, in the order in which they are folded.

    Attributes:
        number: Ascending; part of the names of new parts.
        code_version: Of the code that made the decisions in it.
        published: UTC µs of the newest publication that it includes.
        parts: Object names; the first is the base.
    """

    number: int = 0
    code_version: str = ""
    published: int = 0
    parts: list[str] = field(default_factory=list)


class SnapshotStore:
    """Snapshots in an object store."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def manifest(self, lineage: str, shard: int) -> Manifest | None:
        """The newest snapshot's manifest, whatever code wrote it."""
        try:
            return Manifest(**orjson.loads(self._objects.get(_manifest_name(lineage, shard))))
        except FileNotFoundError:
            return None

    def latest(self, lineage: str, shard: int, code_version: str) -> list[bytes]:
        """The log entries of the newest snapshot by this code; none where there is none."""
        manifest = self.manifest(lineage, shard)
        if manifest is None or manifest.code_version != code_version:
            return []
        return [entry for name in manifest.parts for entry in _split(self._objects.get(name))]

    def increments(self, lineage: str, shard: int, code_version: str) -> int:
        """How many increments the newest snapshot has; a lot where it has no usable base."""
        manifest = self.manifest(lineage, shard)
        if manifest is None or manifest.code_version != code_version:
            return 2**31
        return len(manifest.parts) - 1

    def save_base(
        self, lineage: str, shard: int, code_version: str, entry: bytes, *, published: int
    ) -> None:
        """Start a new snapshot from one entry that holds the whole state."""
        before = self.manifest(lineage, shard) or Manifest()
        manifest = Manifest(before.number + 1, code_version, published)
        kept = self._commit(lineage, shard, manifest, [entry])
        for name in self._objects.names(_folder(lineage, shard) + "part-"):
            # The parts of the snapshot before stay once more, for who is reading them.
            if name not in kept.parts and name not in before.parts:
                self._objects.delete(name)

    def save_increment(
        self,
        lineage: str,
        shard: int,
        code_version: str,
        entries: Sequence[bytes],
        *,
        published: int,
    ) -> None:
        """Add entries to the newest snapshot."""
        before = self.manifest(lineage, shard)
        if before is None or before.code_version != code_version:
            raise ValueError(f"expected a base of code {code_version}, found {before}")
        manifest = Manifest(before.number + 1, code_version, published, before.parts)
        self._commit(lineage, shard, manifest, entries)

    def _commit(
        self, lineage: str, shard: int, manifest: Manifest, entries: Sequence[bytes]
    ) -> Manifest:
        """Store entries as a new part, then the manifest that names it."""
        part = f"{_folder(lineage, shard)}part-{manifest.number:010d}"
        self._objects.put(part, _joined(entries))
        reach("snapshot.part-before-manifest")
        committed = replace(manifest, parts=[*manifest.parts, part])
        self._objects.put(_manifest_name(lineage, shard), orjson.dumps(asdict(committed)))
        return committed


def _folder(lineage: str, shard: int) -> str:
    return f"snapshots/{lineage}/{shard:04d}/"


def _manifest_name(lineage: str, shard: int) -> str:
    return f"{_folder(lineage, shard)}manifest.json"


def _joined(entries: Sequence[bytes]) -> bytes:
    return b"".join(len(entry).to_bytes(8, "little") + entry for entry in entries)


def _split(content: bytes) -> list[bytes]:
    entries, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 8], "little")
        entries.append(content[at + 8 : at + 8 + size])
        at += 8 + size
    return entries
