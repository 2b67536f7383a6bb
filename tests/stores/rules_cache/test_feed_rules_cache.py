"""The follower of the change feed against a service that answers over HTTP, or does not."""

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from stores.rules_cache import feed_client
from stores.rules_cache.feed import FeedRulesCache
from stores.rules_cache.opening import open_rules_cache
from stores.rules_cache.port import RulesUnavailableError, UnaskedIdsError
from stores.rules_cache.rules_copy import MAX_PROCESSES, take_copy
from tallymark.properties import properties_frame
from tests.stores.rules_cache.conftest import IMPATIENT, SETTINGS, Follows, eventually
from tests.stores.rules_cache.feed_server import (
    KEY,
    FeedServer,
    ModelDatabase,
    measurement_id,
    shop,
)

BOUND_SECONDS = IMPATIENT.patience_seconds + 0.5


def saved(server: FeedServer, *numbers: int, **rules: object) -> list[str]:
    with server.writing() as database:
        for number in numbers:
            database.save(shop(number, **rules))
    return [measurement_id(number) for number in numbers]


def timed(call):
    began = time.monotonic()
    call()
    return time.monotonic() - began


def unasked(cache: FeedRulesCache, ids: list[str]) -> UnaskedIdsError:
    with pytest.raises(UnaskedIdsError) as raised:
        cache.frame(ids)
    return raised.value


def test_nothing_is_loaded_before_it_is_asked_for_and_then_together(server, follow: Follows):
    ids = saved(server, *range(2_500))
    cache = follow()
    assert server.lookups() == []
    assert cache.frame(ids).height == 2_500
    assert [len(body["measurement_ids"]) for body in server.lookups()] == [1_000, 1_000, 500]
    assert cache.frame(ids[:700]).height == 700
    assert len(server.lookups()) == 3


def test_ids_that_nobody_has_are_not_asked_for_again_for_a_while(server, follow: Follows):
    known = saved(server, 1)
    junk = [measurement_id(number) for number in range(100, 200)]
    cache = follow(replace(SETTINGS, unknown_seconds=0.3))
    for _ in range(5):
        assert cache.frame(known + junk).height == 1
    assert len(server.lookups()) == 1
    time.sleep(0.35)
    assert cache.frame(known + junk).height == 1
    assert [len(body["measurement_ids"]) for body in server.lookups()] == [101, 100]


def test_what_cannot_be_an_id_is_never_asked_for(server, follow: Follows):
    saved(server, 1)
    assert follow().frame(["", "G-1", "x" * 100_000]).is_empty()
    assert server.lookups() == []


def test_threads_that_want_the_same_ask_once(server, follow: Follows):
    ids, heights = saved(server, *range(200)), []
    cache = follow()
    threads = [
        threading.Thread(target=lambda: heights.append(cache.frame(ids).height)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heights == [200] * 8
    assert len(server.lookups()) == 1


def test_what_is_changed_is_renewed_without_being_asked_for(server, follow: Follows):
    ids = saved(server, *range(50))
    cache = follow()
    cache.frame(ids)
    before = cache.valid_through()
    with server.writing() as database:
        for number in range(20, 60):
            if number < 50:
                database.change(shop(number).property_id, time_zone="Asia/Kolkata")
            else:
                database.save(shop(number))
        effective_at = database.properties[shop(49).property_id].current.effective_at
    eventually(lambda: cache.valid_through() > before)
    lookups = len(server.lookups())
    assert cache.frame(ids).height == 80
    assert len(server.lookups()) == lookups
    renewed = [one for body in server.lookups()[1:] for one in body["property_ids"]]
    assert sorted(renewed) == [shop(number).property_id for number in range(20, 50)]
    assert cache.valid_through() < effective_at + 1_000_000


def test_more_properties_than_memory_holds_are_answered_all_the_same(server, follow: Follows):
    ids = saved(server, *range(300))
    for is_kept in (False, True):
        cache = follow(replace(SETTINGS, max_properties=10), is_kept=is_kept)
        for _ in range(2):
            assert sorted(cache.frame(ids)["measurement_id"]) == ids
    lookups = len(server.lookups())
    assert cache.frame(ids).height == 300
    assert len(server.lookups()) == lookups  # they came from the disk


def test_without_the_service_known_rules_go_on_and_the_log_says_so_once(
    server, follow: Follows, caplog
):
    ids = saved(server, *range(5))
    cache = follow(IMPATIENT)
    assert cache.frame(ids).height == 5
    with caplog.at_level(logging.WARNING):
        server.stop()
        assert cache.frame(ids).height == 5
        stranger = measurement_id(9)
        assert timed(lambda: unasked(cache, [*ids, stranger])) < BOUND_SECONDS
        for _ in range(20):
            error = unasked(cache, [*ids, stranger])
            assert error.unasked == [stranger]
            assert error.known.height == 5
        with pytest.raises(RulesUnavailableError):
            cache.by_measurement_id(stranger)
        with pytest.raises(RulesUnavailableError):
            cache.by_property_id(9)
        eventually(lambda: len(errors(caplog)) == 2)
        time.sleep(0.5)
        assert sorted(text.split(":")[0] for text in errors(caplog)) == [
            "rules cannot be looked up, new ones wait",
            "the changes of rules cannot be followed, going on with the last ones",
        ]
        server.start()
        saved(server, 9)
        eventually(lambda: answers(cache, [stranger]))
        eventually(lambda: "followed again" in caplog.text and "looked up again" in caplog.text)
    assert len(errors(caplog)) == 2


def errors(caplog) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]


def answers(cache: FeedRulesCache, ids: list[str]) -> bool:
    try:
        return cache.frame(ids).height == len(ids)
    except UnaskedIdsError:
        return False


def test_once_the_service_is_gone_nobody_waits_for_it(server, follow: Follows):
    cache = follow(IMPATIENT)
    known = saved(server, 1)
    assert cache.frame(known).height == 1
    server.fault, server.faulty_paths = "hang", ("/v1/properties:lookup",)
    unasked(cache, [measurement_id(2)])
    waited = [timed(lambda: unasked(cache, [measurement_id(2)])) for _ in range(10)]
    assert max(waited) < 0.2
    asked = len(server.lookups())
    for _ in range(50):
        unasked(cache, [measurement_id(3)])
    assert len(server.lookups()) - asked <= 1


@pytest.mark.parametrize("fault", ["error", "hang", "drip", "half", "garbage", "reset"])
def test_a_service_that_answers_badly_is_as_good_as_gone_and_is_found_again(
    server, follow: Follows, fault: str
):
    ids = saved(server, 1, 2)
    cache = follow(IMPATIENT)
    assert cache.frame(ids[:1]).height == 1
    server.fault = fault
    assert timed(lambda: unasked(cache, ids)) < BOUND_SECONDS
    saved(server, 1, currency="EUR")
    last = cache.valid_through()
    assert cache.frame(ids[:1])["currency"].to_list() == ["USD"]
    time.sleep(0.2)
    assert cache.valid_through() == last
    server.fault = ""
    eventually(lambda: answers(cache, ids))
    eventually(lambda: cache.frame(ids[:1])["currency"].to_list() == ["EUR"])
    assert cache.valid_through() > last


def test_a_service_that_is_started_anew_is_waited_for(server, follow: Follows):
    ids = saved(server, 1, 2)
    cache = follow(replace(SETTINGS, patience_seconds=5.0))
    assert cache.frame(ids[:1]).height == 1
    server.stop()
    again = threading.Timer(0.5, server.start)
    again.start()
    assert cache.frame(ids).height == 2
    again.join()


def test_where_nothing_is_known_nothing_is_taken_for_unknown(server, follow: Follows):
    saved(server, 1)
    server.stop()
    cache = follow(IMPATIENT)
    with pytest.raises(RulesUnavailableError) as raised:
        cache.frame([measurement_id(1)])
    assert not isinstance(raised.value, UnaskedIdsError)
    assert cache.valid_through() == 0
    server.start()
    eventually(lambda: cache.valid_through() > 0)
    eventually(lambda: answers(cache, [measurement_id(1)]))


def test_a_process_that_starts_without_the_service_goes_on_with_what_was_known(
    server, follow: Follows
):
    ids = saved(server, *range(20))
    before = follow(IMPATIENT, is_kept=True)
    before.frame(ids)
    valid = before.valid_through()
    before.close()
    server.stop()
    cache = follow(IMPATIENT, is_kept=True)
    assert cache.frame(ids).equals(properties_frame([shop(number) for number in range(20)]))
    assert cache.by_property_id(shop(3).property_id) == shop(3)
    assert cache.by_measurement_id(ids[4]) == shop(4)
    assert cache.valid_through() >= valid
    assert unasked(cache, [*ids, measurement_id(20)]).unasked == [measurement_id(20)]


def test_a_process_that_starts_again_sees_first_what_has_changed_meanwhile(server, follow: Follows):
    ids = saved(server, *range(20))
    before = follow(is_kept=True)
    before.frame(ids)
    before.close()
    lookups = len(server.lookups())
    saved(server, 3, 100, currency="EUR")
    cache = follow(is_kept=True)
    assert cache.frame(ids[3:5]).sort("measurement_id")["currency"].to_list() == ["EUR", "USD"]
    assert cache.frame(ids).height == 20
    assert [body["property_ids"] for body in server.lookups()[lookups:]] == [[shop(3).property_id]]


def test_the_copy_on_disk_is_bounded_and_keeps_what_is_used(server, follow: Follows):
    ids = saved(server, *range(200))
    cache = follow(replace(IMPATIENT, max_properties=20), is_kept=True, most=100)
    often = ids[:5]
    for first in range(5, 195, 10):
        assert cache.frame([*often, *ids[first : first + 10]]).height == 15
    cache.close()
    server.stop()
    again = follow(IMPATIENT, is_kept=True, most=100)
    error = unasked(again, ids)
    assert set(often) <= set(error.known["measurement_id"])
    assert 80 <= error.known.height <= 100


def test_a_copy_is_one_process_alone_s_and_there_are_only_so_many(tmp_path: Path, caplog):
    copies = [take_copy(tmp_path, "stream", max_properties=10) for _ in range(MAX_PROCESSES + 1)]
    assert copies.pop() is None
    assert "all 16" in caplog.text
    files = list(tmp_path.glob("stream-*.sqlite3"))
    assert [oct(one.stat().st_mode & 0o777) for one in files] == ["0o600"] * MAX_PROCESSES
    for copy in copies:
        copy.close()
    again = take_copy(tmp_path, "stream", max_properties=10)
    assert again is not None
    again.close()


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_copy_that_cannot_be_read_is_begun_anew(
    server, follow: Follows, tmp_path: Path, content: bytes
):
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "test-0.sqlite3").write_bytes(content)
    ids = saved(server, 1)
    cache = follow(is_kept=True)
    assert cache.frame(ids).height == 1
    cache.close()
    server.stop()
    assert follow(is_kept=True).frame(ids).height == 1


def test_a_folder_that_cannot_be_written_leaves_a_cache_without_a_copy(tmp_path: Path, caplog):
    (tmp_path / "file").touch()
    assert take_copy(tmp_path / "file" / "copies", "stream", max_properties=10) is None
    assert "no copy of the rules is kept" in caplog.text


def test_a_copy_that_fails_is_given_up_and_memory_goes_on(
    server, follow: Follows, tmp_path: Path, caplog
):
    ids = saved(server, 1, 2)
    cache = follow(is_kept=True)
    assert cache.frame(ids[:1]).height == 1
    cache._known._copy._database.close()
    assert cache.frame(ids).height == 2
    assert cache.frame(ids).height == 2
    assert len([text for text in errors(caplog) if "not used any more" in text]) == 1


def test_a_copy_that_turns_out_to_be_damaged_is_begun_anew_by_the_next_process(
    server, follow: Follows, tmp_path: Path, caplog
):
    ids = saved(server, *range(200))
    before = follow(is_kept=True)
    before.frame(ids)
    before.close()
    path = tmp_path / "copies" / "test-0.sqlite3"
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xa5" * (len(content) - 8192))

    cache = follow(is_kept=True)
    assert cache.frame(ids).height == 200
    assert cache.frame(ids).height == 200
    cache.close()
    assert follow(is_kept=True).frame(ids).height == 200
    server.stop()
    assert follow(IMPATIENT, is_kept=True) is not None
    assert "copy of the rules" in caplog.text


def test_a_position_that_the_feed_does_not_keep_makes_all_be_asked_again(server, follow: Follows):
    ids = saved(server, 1, 2)
    before = follow(is_kept=True)
    before.frame(ids)
    before.close()
    saved(server, 1, currency="EUR")
    with server.writing() as database:
        database.remove(shop(2).property_id)
        database.trim(database.position)
    cache = follow(is_kept=True)
    assert cache.frame(ids)["currency"].to_list() == ["EUR"]


def test_another_database_makes_all_be_asked_again(server, follow: Follows):
    ids = saved(server, 1, 2)
    cache = follow(is_kept=True)
    assert cache.frame(ids).height == 2
    server.stop()
    server.database = ModelDatabase()
    server.start()
    saved(server, 1, currency="EUR")
    eventually(lambda: rows(cache, ids) == ["EUR"])


def rows(cache: FeedRulesCache, ids: list[str]) -> list[str]:
    try:
        return cache.frame(ids)["currency"].to_list()
    except RulesUnavailableError:
        return []


def test_a_database_put_back_to_an_older_state_makes_all_be_asked_again(server, follow: Follows):
    ids = saved(server, 1, 2)
    cache = follow()
    assert cache.frame(ids).height == 2
    server.stop()
    older = ModelDatabase()
    older.database_id = server.database.database_id
    older.save(shop(1))
    server.database = older
    server.start()
    eventually(lambda: rows(cache, ids) == ["USD"])


def test_a_key_that_opens_nothing_is_said_and_never_shown(
    server, follow: Follows, key: Path, caplog
):
    ids = saved(server, 1)
    key.write_text("wrong-key-of-a-test")
    cache = follow(IMPATIENT)
    with pytest.raises(RulesUnavailableError):
        cache.frame(ids)
    eventually(lambda: any("401" in text for text in errors(caplog)))
    assert "wrong-key-of-a-test" not in caplog.text
    key.write_text(KEY)
    eventually(lambda: rows(cache, ids) == ["USD"])


def test_a_key_file_that_is_gone_is_as_good_as_a_service_that_is(server, follow, key, caplog):
    ids = saved(server, 1)
    key.unlink()
    with pytest.raises(RulesUnavailableError):
        follow(IMPATIENT).frame(ids)
    assert any("the key cannot be read" in text for text in errors(caplog))


def test_a_property_that_cannot_be_read_spoils_no_other(
    server, follow: Follows, caplog, monkeypatch
):
    ids = saved(server, 1, 2)
    healthy = ModelDatabase._found

    def spoilt(self, *answer):
        return healthy(self, *answer).replace(b'"Shop 2"', b'""')

    monkeypatch.setattr(ModelDatabase, "_found", spoilt)
    cache = follow(IMPATIENT)
    error = unasked(cache, ids)
    assert error.unasked == ids[1:]
    assert error.known["measurement_id"].to_list() == ids[:1]
    assert any("properties[0].name" in text for text in errors(caplog))
    monkeypatch.undo()
    assert cache.frame(ids).height == 2


def test_an_answer_without_end_is_given_up(server, follow: Follows, monkeypatch):
    monkeypatch.setattr(feed_client, "MAX_ANSWER_BYTES", 10_000)
    ids = saved(server, *range(100))
    cache = follow(IMPATIENT)
    assert cache.frame(ids[:1]).height == 1
    assert len(unasked(cache, ids).unasked) == 99


def test_all_properties_are_listed_a_page_at_a_time(server, follow: Follows):
    saved(server, *range(2_500))
    cache = follow()
    assert [owner.property_id for owner in cache.properties()] == [
        shop(number).property_id for number in range(2_500)
    ]
    listed = cache.properties()
    next(listed)
    server.stop()
    with pytest.raises(RulesUnavailableError, match="cannot be listed"):
        list(listed)


def test_many_changes_are_followed_page_by_page_and_count_when_all_are_there(
    server, follow: Follows
):
    ids = saved(server, *range(10))
    cache = follow()
    cache.frame(ids)
    before = cache.valid_through()
    with server.writing() as database:
        for _ in range(250):
            for number in range(10):
                database.save(shop(number, currency="EUR"))
    eventually(lambda: set(cache.frame(ids)["currency"]) == {"EUR"})
    eventually(lambda: cache.valid_through() > before)


def test_the_url_says_where_the_service_the_key_and_the_copies_are(server, key, tmp_path):
    ids = saved(server, 1)
    cache = open_rules_cache(f"{server.url}?key={key}&max_properties=5", role="reports")
    assert cache.frame(ids).height == 1
    cache.close()
    assert (tmp_path / "copies" / "reports-0.sqlite3").exists()
    cache = open_rules_cache(f"{server.url}/?key={key}&copies=", role="other")
    assert cache.frame(ids).height == 1
    cache.close()
    assert not list((tmp_path / "copies").glob("other*"))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8002",
        "http://?key=/k",
        "http://h?key=",
        "http://h?key=/k&copy=/c",
        "http://h?key=/k&max_properties=0",
        "http://h?key=/k&max_properties=many",
    ],
)
def test_a_url_that_names_no_such_thing_is_refused(url: str):
    with pytest.raises(ValueError, match="expected"):
        open_rules_cache(url, role="stream")
