import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stores.archive.folder import LEFT_OVER_SECONDS, PARTIAL, FolderObjects
from stores.archive.opening import open_objects
from stores.archive.port import Objects


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_objects(f"file:{tmp_path / 'archive'}")


def test_what_was_put_is_got(objects: Objects) -> None:
    objects.put("a/b/c.bin", b"\x00content")
    assert objects.get("a/b/c.bin") == b"\x00content"


def test_many_are_put_at_once(objects: Objects, tmp_path: Path) -> None:
    objects.put("a/b", b"old")
    objects.put_all([("a/b", b"new"), ("a/c/d", b""), ("e", b"content")])
    assert [objects.get(name) for name in objects.names("")] == [b"new", b"", b"content"]
    assert objects.names("") == ["a/b", "a/c/d", "e"]
    assert list((tmp_path / "archive" / PARTIAL).iterdir()) == []
    objects.put_all([])


def test_of_many_that_cannot_all_be_put_nothing_half_done_is_left(
    objects: Objects, tmp_path: Path
) -> None:
    objects.put("a", b"old")
    with pytest.raises(ValueError, match="expected parts between single slashes"):
        objects.put_all([("a", b"new"), ("../b", b"")])
    assert objects.get("a") == b"old"
    assert list((tmp_path / "archive" / PARTIAL).iterdir()) == []


def test_a_put_replaces_what_was_there(objects: Objects) -> None:
    objects.put("a", b"long content")
    objects.put("a", b"")
    assert objects.get("a") == b""


@pytest.mark.parametrize("name", ["absent", "a/absent", "a", "a/b/c"])
def test_what_is_not_there_is_a_file_not_found(objects: Objects, name: str) -> None:
    objects.put("a/b", b"")
    with pytest.raises(FileNotFoundError):
        objects.get(name)


def test_a_deleted_object_is_gone_and_may_be_deleted_again(objects: Objects) -> None:
    objects.put("a/b", b"")
    objects.delete("a/b")
    objects.delete("a/b")
    objects.delete("never/there")
    assert objects.names("") == []


NAMES = st.lists(
    st.lists(st.sampled_from(["x", "xy", "x-", "z"]), min_size=1, max_size=3).map("/".join),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(names=NAMES, prefix=st.sampled_from(["", "x", "x/", "x/x", "xy/", "x-/z/", "absent/"]))
def test_names_are_those_with_the_prefix_ascending(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], prefix: str
) -> None:
    objects = open_objects(f"file:{tmp_path_factory.mktemp('archive')}")
    stored = set()
    for name in names:
        if not any(name.startswith(f"{one}/") or one.startswith(f"{name}/") for one in stored):
            objects.put(name, b"")
            stored.add(name)
    assert objects.names(prefix) == sorted(one for one in stored if one.startswith(prefix))


@pytest.mark.parametrize(
    "name", ["", "/etc/x", "../x", "a/../../x", "a//b", "a/", ".", "a/.", "a\0b", f"{PARTIAL}/x"]
)
def test_a_name_that_escapes_the_folder_is_refused(objects: Objects, name: str) -> None:
    for call in (lambda: objects.put(name, b""), lambda: objects.get(name)):
        with pytest.raises(ValueError, match="object name: expected"):
            call()
    with pytest.raises(ValueError, match="object name: expected"):
        objects.delete(name)
    if name not in ("", "a/"):
        assert objects.names("") == []


def test_a_put_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, objects: Objects
) -> None:
    objects.put("a/b", b"old")
    with pytest.raises(OSError, match=r"directory|exists"):
        objects.put("a/b/c", b"new")
    with pytest.raises(OSError, match=r"directory|exists"):
        objects.put("a", b"new")
    assert objects.names("") == ["a/b"]
    assert list((tmp_path / "archive" / PARTIAL).iterdir()) == []


def test_what_a_dead_process_was_writing_is_never_seen_and_swept_later(tmp_path: Path) -> None:
    partials = tmp_path / PARTIAL
    partials.mkdir()
    (partials / "old").write_bytes(b"half")
    (partials / "new").write_bytes(b"half")
    long_ago = time.time() - LEFT_OVER_SECONDS - 1
    os.utime(partials / "old", (long_ago, long_ago))
    assert FolderObjects(tmp_path).names("") == []
    assert [path.name for path in partials.iterdir()] == ["new"]


@pytest.mark.parametrize("url", ["", "file:", "gs://bucket", "archive"])
def test_other_urls_are_refused_with_what_is_expected(url: str) -> None:
    with pytest.raises(ValueError, match="expected file:DIR"):
        open_objects(url)


def test_parts_of_an_object_can_be_read(objects: Objects) -> None:
    objects.put("a/b", b"0123456789")
    with objects.open("a/b") as content:
        content.seek(4)
        assert content.read(3) == b"456"
    with pytest.raises(FileNotFoundError):
        objects.open("a")
