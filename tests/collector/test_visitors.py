"""Visitors' hashes hold for a day, for all workers, and for nobody after two days."""

from pathlib import Path

import pytest

from collector.visitors import DAY_US, VisitorHashes
from tests.collector.workers import NOON_US

VISITOR = ("198.51.100.23", "Firefox", "shop.test")


def test_workers_that_share_a_folder_agree(tmp_path: Path):
    one, other = VisitorHashes(tmp_path), VisitorHashes(tmp_path)
    assert one.of(*VISITOR, NOON_US) == other.of(*VISITOR, NOON_US)
    assert [path.name for path in tmp_path.iterdir()] == ["salt-2026-01-01"]


@pytest.mark.parametrize(
    "other",
    [
        ("198.51.100.24", "Firefox", "shop.test"),
        ("198.51.100.23", "Chrome", "shop.test"),
        ("198.51.100.23", "Firefox", "other.test"),
        ("198.51.100.23F", "irefox", "shop.test"),
    ],
)
def test_address_browser_and_host_tell_visitors_apart(tmp_path: Path, other):
    hashes = VisitorHashes(tmp_path)
    assert hashes.of(*VISITOR, NOON_US) != hashes.of(*other, NOON_US)


def test_the_next_day_a_visitor_is_another(tmp_path: Path):
    hashes = VisitorHashes(tmp_path)
    midnight = NOON_US + DAY_US // 2
    first = hashes.of(*VISITOR, NOON_US)
    assert hashes.of(*VISITOR, midnight - 1) == first
    assert hashes.of(*VISITOR, midnight) != first


def test_without_its_salt_a_hash_cannot_be_made_again(tmp_path: Path):
    before = VisitorHashes(tmp_path / "one").of(*VISITOR, NOON_US)
    assert VisitorHashes(tmp_path / "two").of(*VISITOR, NOON_US) != before


def test_salts_are_destroyed_after_two_days(tmp_path: Path):
    hashes = VisitorHashes(tmp_path)
    for days in (0, 1, 2):
        hashes.of(*VISITOR, NOON_US + days * DAY_US)
    hashes.destroy_old_salts(NOON_US + 2 * DAY_US)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["salt-2026-01-02", "salt-2026-01-03"]


def test_a_salt_is_for_its_owners_eyes_only(tmp_path: Path):
    VisitorHashes(tmp_path).of(*VISITOR, NOON_US)
    (salt,) = tmp_path.iterdir()
    assert salt.stat().st_mode & 0o077 == 0
    assert len(salt.read_bytes()) == 32
