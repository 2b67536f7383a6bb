"""Accounts of several workers in one file: each hears what the others used, whatever fails."""

import sqlite3
import threading
from pathlib import Path

import pytest

from stores.quota_accounts import ALIVE_US, KEPT_US, QuotaAccounts
from tallymark.quotas import Amount, Entry

NOW_US = 1_767_268_800_000_000
HOUR = Entry(1, "core", "ada", "hour", 490_908)
DAY = Entry(1, "core", "", "day", 739_617)


def test_a_worker_hears_what_others_used_once_and_what_it_has_become(tmp_path: Path) -> None:
    one, two = (QuotaAccounts(tmp_path / "run" / "quotas.sqlite", name) for name in "ab")
    assert one.exchange({HOUR: Amount(5), DAY: Amount(5)}, {}, NOW_US) == ({}, [])
    said = {"a": {HOUR: Amount(5), DAY: Amount(5)}}
    assert two.exchange({}, {}, NOW_US)[0] == said
    assert two.exchange({}, {}, NOW_US)[0] == {}
    one.exchange({HOUR: Amount(9, 1)}, {}, NOW_US)
    assert two.exchange({HOUR: Amount(2)}, {}, NOW_US)[0] == {"a": {HOUR: Amount(9, 1)}}
    assert one.exchange({}, {}, NOW_US)[0] == {"b": {HOUR: Amount(2)}}
    late = QuotaAccounts(tmp_path / "run" / "quotas.sqlite", "c")
    heard, _ = late.exchange({}, {}, NOW_US)
    assert heard == {"a": {HOUR: Amount(9, 1), DAY: Amount(5)}, "b": {HOUR: Amount(2)}}
    for each in (one, two, late):
        each.close()


def test_requests_of_a_worker_that_died_are_answered_no_more(tmp_path: Path) -> None:
    one, two = (QuotaAccounts(tmp_path / "quotas.sqlite", name) for name in "ab")
    one.exchange({}, {(1, "core"): 3}, NOW_US)
    assert two.exchange({}, {}, NOW_US)[1] == [{(1, "core"): 3}]
    assert two.exchange({}, {}, NOW_US + ALIVE_US)[1] == []
    one.exchange({}, {(1, "core"): 1}, NOW_US + ALIVE_US)
    one.exchange({}, {}, NOW_US + ALIVE_US)
    assert two.exchange({}, {}, NOW_US + ALIVE_US)[1] == [{}]
    one.close()
    two.close()


def test_nothing_is_missed_after_what_is_over_was_removed(tmp_path: Path) -> None:
    one, two = (QuotaAccounts(tmp_path / "quotas.sqlite", name) for name in "ab")
    one.exchange({HOUR: Amount(5)}, {}, NOW_US)
    two.exchange({}, {}, NOW_US)
    two.forget(NOW_US + KEPT_US + 1)
    one.exchange({DAY: Amount(1)}, {}, NOW_US + KEPT_US + 1)
    assert two.exchange({}, {}, NOW_US)[0] == {"a": {DAY: Amount(1)}}
    one.close()
    two.close()


def test_a_file_that_another_holds_is_an_error_and_is_used_again_later(tmp_path: Path) -> None:
    path = tmp_path / "quotas.sqlite"
    accounts = QuotaAccounts(path, "a", busy_timeout_seconds=0)
    accounts.exchange({}, {}, NOW_US)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    for _ in range(2):
        with pytest.raises(sqlite3.Error):
            accounts.exchange({HOUR: Amount(5)}, {}, NOW_US)
    holder.execute("ROLLBACK")
    accounts.exchange({HOUR: Amount(5)}, {}, NOW_US)
    other = QuotaAccounts(path, "b")
    assert other.exchange({}, {}, NOW_US)[0] == {"a": {HOUR: Amount(5)}}
    for each in (accounts, other):
        each.close()
    holder.close()


def test_workers_that_start_together_share_one_file(tmp_path: Path) -> None:
    heard: dict[str, int] = {}
    ready = threading.Barrier(4)

    def work(name: str) -> None:
        accounts = QuotaAccounts(tmp_path / "quotas.sqlite", name, busy_timeout_seconds=20)
        ready.wait(20)
        accounts.exchange({HOUR: Amount(1)}, {}, NOW_US)
        ready.wait(20)
        accounts.exchange({HOUR: Amount(2)}, {}, NOW_US)
        ready.wait(20)
        known = QuotaAccounts(tmp_path / "quotas.sqlite", f"after {name}", busy_timeout_seconds=20)
        found, _ = known.exchange({}, {}, NOW_US)
        heard[name] = sum(amounts[HOUR].tokens for amounts in found.values())
        accounts.close()
        known.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert heard == dict.fromkeys("abcd", 8)
