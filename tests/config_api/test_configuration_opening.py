"""Opening the configuration of a data folder: what was there before goes on, keys are made once."""

import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from config_api import keys, organisations, properties
from config_api.access import Scope
from config_api.database import Database
from config_api.folder import ConfigFolder
from config_api.new_property import create_property
from config_api.opening import open_configuration
from config_api.publication import publish
from stores.rules_cache.documents import decode_properties
from stores.rules_cache.problems import InvalidPropertyError
from tallymark.properties import HashedKey, secret_hash
from tests.config_api.conftest import ACTOR, NOW
from tests.property_files import create_property as create_in_file


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    return ConfigFolder(tmp_path / "rules")


@contextmanager
def configuration(folder: ConfigFolder) -> Iterator[Database]:
    database = open_configuration(folder, now_us=lambda: NOW)
    try:
        yield database
    finally:
        database.close()


def add_property(database: Database, name: str = "Shop") -> Any:
    return database.write(
        ACTOR,
        lambda work: create_property(work, organisations.ensure_default(work), name=name, rules={}),
    )


def published(folder: ConfigFolder) -> list[Any]:
    return decode_properties(folder.properties.read_bytes())


def test_a_new_folder_has_an_organisation_and_keys_for_its_owner_alone(folder):
    with configuration(folder) as database, database.reading() as connection:
        [organisation] = organisations.all_of(connection, None)
        owner = keys.by_secret(connection, folder.owner_key.read_text().strip())
        feed = keys.by_secret(connection, folder.feed_key.read_text().strip())
    assert organisation["name"] == "Default"
    assert (owner["role"], owner["scopes"], owner["organisation_id"]) == (
        "owner",
        ["configure", "replay"],
        None,
    )
    assert (feed["role"], feed["scopes"]) == (None, ["feed"])
    for path in (folder.owner_key, folder.feed_key, folder.database):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert published(folder) == []


def test_the_next_start_finds_what_the_first_one_made(folder):
    with configuration(folder) as database:
        add_property(database)
        owner = folder.owner_key.read_text()
    with configuration(folder) as database, database.reading() as connection:
        assert folder.owner_key.read_text() == owner
        assert len(keys.all_of(connection)) == 4
        assert len(organisations.all_of(connection, None)) == 1


def test_a_start_publishes_what_was_saved_before_a_crash(folder):
    with configuration(folder) as database:
        new = add_property(database)
    assert published(folder) == []  # it died before it could
    with configuration(folder):
        assert [owner.property_id for owner in published(folder)] == [new.property_id]


def test_an_owner_key_that_was_deleted_does_not_come_back(folder):
    with configuration(folder):
        folder.owner_key.unlink()
    with configuration(folder):
        assert not folder.owner_key.exists()


def test_the_properties_of_a_file_are_taken_over_once(folder):
    made = create_in_file(
        folder.properties, name="Old", random_bytes=secrets.token_bytes, currency="EUR"
    )
    before = published(folder)
    for _ in range(2):
        with configuration(folder):
            assert published(folder) == before
    assert before[0].accepts_read_key(made.read_key, NOW)


def test_a_file_of_one_stream_and_key_a_property_is_taken_over_too(folder):
    row = {
        "property_id": 7, "name": "Old", "measurement_id": "G-ABCDE12345",
        "api_secret_hash": secret_hash("secret"), "read_key_hash": secret_hash("key"),
        "versions": [
            {"version": 1, "effective_at": None, "time_zone": "UTC", "currency": "EUR"},
            {"version": 4, "effective_at": NOW, "time_zone": "Asia/Tokyo", "currency": "EUR"},
        ],
    }  # fmt: skip
    folder.path.mkdir()
    folder.properties.write_bytes(orjson.dumps({"properties": [row]}))
    with configuration(folder):
        [owner] = published(folder)
    assert owner.property_id == 7
    assert owner.measurement_ids == ("G-ABCDE12345",)
    assert owner.data_streams[0].api_secrets == (HashedKey(key_hash=secret_hash("secret")),)
    assert owner.read_keys == (HashedKey(key_hash=secret_hash("key")),)
    assert [(one.version, one.rules.time_zone) for one in owner.versions] == [
        (1, "UTC"),
        (4, "Asia/Tokyo"),
    ]
    assert owner.current.effective_at == NOW


def test_a_broken_file_is_told_and_left_as_it_is(folder):
    folder.path.mkdir()
    folder.properties.write_text('{"properties": [{"property_id": 0}]}')
    with pytest.raises(InvalidPropertyError, match="property_id"), configuration(folder):
        pass
    assert folder.properties.read_text() == '{"properties": [{"property_id": 0}]}'


def test_an_older_state_is_never_published_over_a_newer_one(folder):
    with configuration(folder) as database:
        add_property(database, "One")
        publish(database, folder.properties)
        before = folder.properties.stat()
        publish(database, folder.properties)
        assert folder.properties.stat().st_ino == before.st_ino  # nothing to do, nothing done
        with database.reading() as old:
            old.exec_driver_sql("SELECT 1 FROM feed")
            add_property(database, "Two")
            publish(database, folder.properties)
        assert {owner.name for owner in published(folder)} == {"One", "Two"}


def test_keys_of_the_feed_are_made_anew_where_their_file_was_lost(folder):
    with configuration(folder):
        folder.feed_key.unlink()
    with configuration(folder) as database, database.reading() as connection:
        key = keys.by_secret(connection, folder.feed_key.read_text().strip())
    assert key is not None
    assert key["scopes"] == [Scope.FEED]


def test_a_configuration_that_is_not_published_is_there_all_the_same(folder):
    database = open_configuration(folder, now_us=lambda: NOW, publishes=False)
    try:
        new = add_property(database)
        with database.reading() as connection:
            assert properties.get(connection, new.property_id)["name"] == "Shop"
    finally:
        database.close()
    assert not folder.properties.exists()
