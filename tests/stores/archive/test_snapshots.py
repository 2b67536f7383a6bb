"""Snapshots: what is committed comes back, what is not does not exist."""

from pathlib import Path

import pytest

from stores.archive.folder import FolderObjects
from stores.archive.snapshots import SnapshotStore

NAMES = ("live-1", 0, "code-1")


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path)


def test_a_base_and_its_increments_come_back_in_order(objects: FolderObjects) -> None:
    store = SnapshotStore(objects)
    store.save_base(*NAMES, b"base", published=5)
    store.save_increment(*NAMES, [b"one", b""], published=6)
    store.save_increment(*NAMES, [b"two"], published=7)
    assert SnapshotStore(objects).latest(*NAMES) == [b"base", b"one", b"", b"two"]
    assert store.increments(*NAMES) == 2
    manifest = store.manifest("live-1", 0)
    assert manifest is not None
    assert manifest.published == 7


def test_a_new_base_replaces_all_before_it(objects: FolderObjects) -> None:
    store = SnapshotStore(objects)
    store.save_base(*NAMES, b"old", published=5)
    store.save_increment(*NAMES, [b"one"], published=6)
    for content in (b"new", b"newer", b"newest"):
        store.save_base(*NAMES, content, published=7)
    assert store.latest(*NAMES) == [b"newest"]
    assert len(objects.names("snapshots/live-1/0000/part-")) == 2


def test_a_snapshot_of_other_code_is_not_loaded_and_not_added_to(objects: FolderObjects) -> None:
    store = SnapshotStore(objects)
    store.save_base(*NAMES, b"base", published=5)
    assert store.latest("live-1", 0, "code-2") == []
    with pytest.raises(ValueError, match="expected a base of code code-2"):
        store.save_increment("live-1", 0, "code-2", [b"one"], published=6)


def test_a_part_without_its_manifest_does_not_exist(objects: FolderObjects) -> None:
    store = SnapshotStore(objects)
    store.save_base(*NAMES, b"base", published=5)
    objects.put("snapshots/live-1/0000/part-0000000002", b"torn")
    assert store.latest(*NAMES) == [b"base"]
    assert store.latest("live-1", 1, "code-1") == []
