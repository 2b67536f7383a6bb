"""What the configuration keeps, alike on every database."""

import shutil
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from sqlalchemy import insert, text

from config_api import (
    audit,
    data_streams,
    keys,
    members,
    organisations,
    properties,
    rules_versions,
)
from config_api.access import Role, Scope
from config_api.database import MIGRATIONS, Database
from config_api.errors import (
    ChangedMeanwhileError,
    ConfigurationError,
    ConflictError,
    DatabaseUnavailableError,
    DatabaseVersionError,
    InvalidConfigurationError,
    NotFoundError,
    PositionError,
)
from config_api.feed import awaited_changes, changes_after
from config_api.new_property import NewProperty, create_property
from config_api.property_rows import all_rows, looked_up
from config_api.tables import PROPERTIES
from config_api.takeover import take_over
from config_api.transaction import COMMIT_SECONDS, Transaction
from stores.rules_cache.documents import decode_properties, encode_properties
from tallymark.properties import SINCE_EVER, Property
from tallymark.rules_delay import RULES_DELAY_SECONDS
from tests.config_api.conftest import ACTOR, NOW, SECOND


def shop(database: Database, name: str = "Shop", **rules: Any) -> NewProperty:
    return database.write(
        ACTOR,
        lambda work: create_property(
            work, organisations.ensure_default(work), name=name, rules=rules
        ),
    )


def served(database: Database) -> list[Property]:
    """What workers are told."""
    with database.reading() as connection:
        rows = all_rows(connection).rows
    return decode_properties(orjson.dumps({"properties": rows}))


def saved(database: Database, property_id: int, **options: Any) -> Any:
    document = options.pop("document", {})
    return database.write(
        ACTOR, lambda work: rules_versions.save(work, property_id, document, **options)
    )


def test_a_new_property_is_served_with_its_stream_its_keys_and_rules_since_ever(database):
    new = shop(database, currency="EUR")
    [owner] = served(database)
    assert (owner.property_id, owner.name) == (new.property_id, "Shop")
    assert owner.measurement_ids == (new.measurement_id,)
    assert owner.data_streams[0].accepts_secret(new.api_secret, NOW)
    assert not owner.data_streams[0].accepts_secret(new.read_key, NOW)
    assert owner.accepts_read_key(new.read_key, NOW)
    assert not owner.accepts_read_key(new.api_secret, NOW)
    assert [version.effective_at for version in owner.versions] == [SINCE_EVER]
    assert owner.current.rules.currency == "EUR"


def test_no_secret_is_in_the_database(database):
    new = shop(database)
    with database.reading() as connection:
        rows = [
            str(row)
            for table in ("keys", "audit", "changes", "rules_versions")
            for row in connection.execute(text(f"SELECT * FROM {table}"))
        ]
    for secret in (new.api_secret, new.read_key):
        assert len(bytes.fromhex(secret)) == 16
        assert not any(secret in row for row in rows)


def test_a_property_begins_with_the_rules_of_its_organisation(database):
    defaults = {"time_zone": "Asia/Kathmandu", "currency": "NPR"}
    owner = database.write(
        ACTOR, lambda work: organisations.create(work, name="Inn", default_rules=defaults)
    )
    database.write(
        ACTOR,
        lambda work: properties.create(work, owner["id"], name="Shop", rules={"currency": "INR"}),
    )
    [served_one] = served(database)
    rules = served_one.current.rules
    assert (rules.time_zone, rules.currency) == ("Asia/Kathmandu", "INR")


def test_all_that_is_wrong_is_told_together_and_nothing_is_written(database):
    with pytest.raises(InvalidConfigurationError) as caught:
        shop(database, "", time_zone="Mars", session_gap_seconds=1)
    places = [problem.where for problem in caught.value.problems]
    assert places == ["name", "rules.time_zone", "rules.session_gap_seconds"]
    assert served(database) == []


def test_a_second_stream_and_a_new_secret_open_beside_the_first(database, clock):
    new = shop(database)
    clock.advance(1)
    stream = database.write(
        ACTOR,
        lambda work: data_streams.create(
            work, new.property_id, name="App", allowed_hosts=["app.test"],
            enhanced_measurement={"scrolls": False},
        ),
    )  # fmt: skip
    assert stream["enhanced_measurement"]["scrolls"] is False
    assert stream["enhanced_measurement"]["page_views"] is True
    [owner] = served(database)
    assert owner.measurement_ids == (new.measurement_id, stream["measurement_id"])
    assert owner.data_streams[1].allowed_hosts == ("app.test",)
    assert [each.switched_off for each in owner.data_streams] == [(), ("scrolls",)]
    assert not owner.data_streams[1].accepts_secret(new.api_secret, NOW)


def test_a_rotated_key_opens_beside_its_successor_for_the_overlap(database):
    new = shop(database)
    with database.reading() as connection:
        old = keys.by_secret(connection, new.read_key)
    successor = database.write(ACTOR, lambda work: keys.rotate(work, old["id"], 60))
    [owner] = served(database)
    for after, opens in ((0, True), (59, True), (60, False)):
        assert owner.accepts_read_key(new.read_key, NOW + after * SECOND) is opens
        assert owner.accepts_read_key(successor.secret, NOW + after * SECOND)


def test_a_rotation_does_not_prolong_a_key(database, clock):
    new = shop(database)
    with database.reading() as connection:
        old = keys.by_secret(connection, new.read_key)
    database.write(ACTOR, lambda work: keys.rotate(work, old["id"], 60))
    database.write(ACTOR, lambda work: keys.rotate(work, old["id"], 600))
    with database.reading() as connection:
        assert keys.get(connection, old["id"])["expires_at"] == NOW + 60 * SECOND
    clock.advance(60)
    with pytest.raises(ConflictError, match="ended"):
        database.write(ACTOR, lambda work: keys.rotate(work, old["id"], 60))


def test_a_revoked_key_is_no_longer_served(database):
    new = shop(database)
    with database.reading() as connection:
        old = keys.by_secret(connection, new.read_key)
    database.write(ACTOR, lambda work: keys.revoke(work, old["id"]))
    [owner] = served(database)
    assert owner.read_keys == ()
    assert owner.data_streams[0].accepts_secret(new.api_secret, NOW)


def test_a_revoked_secret_is_served_with_its_end_so_that_hits_before_it_count_again(
    database, clock
):
    new = shop(database)
    with database.reading() as connection:
        old = keys.by_secret(connection, new.api_secret)
    clock.advance(60)
    database.write(ACTOR, lambda work: keys.revoke(work, old["id"]))
    [owner] = served(database)
    for after, opens in ((0, True), (59, True), (60, False)):
        stream = owner.data_streams[0]
        assert stream.accepts_secret(new.api_secret, NOW + after * SECOND) is opens


def test_a_read_key_of_an_organisation_opens_each_of_its_properties_and_no_other(database):
    ours = [shop(database, name) for name in ("One", "Two")]
    with database.reading() as connection:
        organisation_id = properties.get(connection, ours[0].property_id)["organisation_id"]
    other = database.write(
        ACTOR, lambda work: organisations.create(work, name="Other", default_rules={})
    )
    theirs = database.write(
        ACTOR, lambda work: create_property(work, other["id"], name="Theirs", rules={})
    )
    position = changes_after(database, 0).position
    holder = keys.Holder(organisation_id=organisation_id)
    key = database.write(
        ACTOR, lambda work: keys.create(work, holder, name="All", scopes=[Scope.READ])
    )
    opened = {one.property_id for one in served(database) if one.accepts_read_key(key.secret, NOW)}
    assert opened == {one.property_id for one in ours}
    told = changes_after(database, position).changes
    assert {change.property_id for change in told} == opened
    assert theirs.property_id not in opened


KEYS_THAT_CANNOT_BE = {
    "no scope": ({}, {"scopes": []}, "scopes"),
    "an unknown scope": ({}, {"scopes": ["write"]}, "scopes"),
    "reports of nobody": ({}, {"scopes": ["read"]}, "scopes"),
    "a role without a name": ({}, {"scopes": ["configure"]}, "role"),
    "an unknown role": ({"role": "king"}, {"scopes": ["configure"]}, "role"),
    "an end in the past": ({}, {"scopes": ["replay"], "expires_at": NOW}, "expires_at"),
    "no name": ({}, {"scopes": ["replay"], "name": ""}, "name"),
}


@pytest.mark.parametrize(
    ("holder", "fields", "where"), KEYS_THAT_CANNOT_BE.values(), ids=KEYS_THAT_CANNOT_BE
)
def test_a_key_that_cannot_be_is_refused_saying_why(database, holder, fields, where):
    fields = {"name": "Key"} | fields
    with pytest.raises(InvalidConfigurationError) as caught:
        database.write(ACTOR, lambda work: keys.create(work, keys.Holder(**holder), **fields))
    assert [problem.where for problem in caught.value.problems] == [where]


def test_a_version_takes_effect_when_every_worker_can_know_it(database, clock):
    new = shop(database)
    clock.advance(100)
    version = saved(database, new.property_id, document={"currency": "EUR"}, comment="we moved")
    assert (version["number"], version["saved_at"]) == (2, clock.us)
    assert version["effective_at"] == clock.us + (COMMIT_SECONDS + RULES_DELAY_SECONDS) * SECOND
    assert (version["author"], version["comment"]) == (ACTOR, "we moved")
    [owner] = served(database)
    assert [one.version for one in owner.versions] == [1, 2]
    assert owner.current.effective_at == version["effective_at"]


def test_rules_that_say_nothing_new_make_no_version(database):
    new = shop(database)
    again = saved(database, new.property_id, document={})
    assert again["number"] == 1
    assert changes_after(database, 0).position == 1


def test_a_clock_put_back_does_not_let_a_version_overtake_the_one_before(database, clock):
    new = shop(database)
    second = saved(database, new.property_id, document={"currency": "EUR"})
    clock.us -= 3600 * SECOND
    third = saved(database, new.property_id, document={"currency": "JPY"})
    assert third["effective_at"] == second["effective_at"] + 1
    assert [one.version for one in served(database)[0].versions] == [1, 2, 3]


def test_a_lost_update_is_refused_with_what_has_changed(database):
    new = shop(database)
    saved(database, new.property_id, document={"currency": "EUR"}, expected=1)
    with pytest.raises(ChangedMeanwhileError) as caught:
        saved(database, new.property_id, document={"time_zone": "Asia/Tokyo"}, expected=1)
    assert caught.value.current == 2
    assert caught.value.changes == [{"where": "currency", "from": "USD", "to": "EUR"}]


def test_a_rollback_is_a_new_version_with_the_old_rules(database):
    new = shop(database)
    saved(database, new.property_id, document={"currency": "EUR"})
    third = database.write(ACTOR, lambda work: rules_versions.roll_back(work, new.property_id, 1))
    with database.reading() as connection:
        first = rules_versions.get(connection, new.property_id, 1)
        assert rules_versions.differences(connection, new.property_id, 2, 3) == [
            {"where": "currency", "from": "EUR", "to": "USD"}
        ]
        numbers = [row["number"] for row in rules_versions.all_of(connection, new.property_id)]
    assert (third["number"], third["document"]) == (3, first["document"])
    assert numbers == [3, 2, 1]


def test_what_is_not_there_is_not_found(database):
    work: list[Any] = [
        lambda work: properties.get(work.connection, 7),
        lambda work: organisations.get(work.connection, 7),
        lambda work: data_streams.get(work.connection, 7, 7),
        lambda work: keys.get(work.connection, 7),
        lambda work: rules_versions.get(work.connection, 7),
        lambda work: members.user(work.connection, 7),
        lambda work: members.remove(work, 7, 7),
        lambda work: properties.create(work, 7, name="Shop", rules={}),
    ]
    for each in work:
        with pytest.raises(NotFoundError):
            database.write(ACTOR, each)


def test_members_have_one_role_and_one_address(database):
    def add(work: Transaction) -> tuple[int, int]:
        owner = organisations.ensure_default(work)
        user = members.create_user(work, email="Jane@Shop.example", name="Jane")
        members.set_role(work, owner, user["id"], "viewer")
        members.set_role(work, owner, user["id"], "editor")
        return owner, user["id"]

    owner, user = database.write(ACTOR, add)
    with database.reading() as connection:
        assert members.roles_of(connection, user) == {owner: Role.EDITOR}
        assert [row["email"] for row in members.users(connection, frozenset([owner]))] == [
            "jane@shop.example"
        ]
    with pytest.raises(ConflictError):
        database.write(
            ACTOR, lambda work: members.create_user(work, email="jane@shop.example", name="J")
        )
    database.write(ACTOR, lambda work: members.remove(work, owner, user))
    with database.reading() as connection:
        assert members.roles_of(connection, user) == {}


def test_every_change_is_in_the_audit_trail_in_its_order(database):
    new = shop(database)
    saved(database, new.property_id, document={"currency": "EUR"})
    with database.reading() as connection:
        lines = audit.newest(connection, property_id=new.property_id)
    actions = [line["action"] for line in reversed(lines)]
    assert actions == [
        "rules.save", "properties.create", "dataStreams.create", "keys.create", "keys.create",
        "rules.save",
    ]  # fmt: skip
    assert {line["actor"] for line in lines} == {ACTOR}


def test_the_feed_tells_of_each_changed_property_once_a_transaction(database):
    first, second = shop(database, "One"), shop(database, "Two")
    found = changes_after(database, 0)
    assert [
        (change.sequence, change.property_id, change.measurement_ids) for change in found.changes
    ] == [
        (1, first.property_id, (first.measurement_id,)),
        (2, second.property_id, (second.measurement_id,)),
    ]
    assert found.position == 2
    assert changes_after(database, 2).changes == ()
    assert changes_after(database, 2).position == 2


def test_a_position_that_the_log_does_not_have_is_refused(database):
    shop(database)
    for position in (-1, 2):
        with pytest.raises(PositionError, match="0 to 1"):
            changes_after(database, position)


def test_an_answer_cut_short_is_as_old_as_its_last_change(database, clock):
    shop(database, "One")
    saved_at = clock.us
    clock.advance(3600)
    shop(database, "Two")
    assert changes_after(database, 0, limit=1).answered_at == saved_at
    assert changes_after(database, 0, limit=2).answered_at == clock.us
    assert changes_after(database, 1, limit=1).answered_at == clock.us


def test_readers_never_see_a_change_before_the_one_below_it(opened, database):
    """Many write at once, through connections of their own, while one follows."""
    writers, each = 4, 8
    done = threading.Event()
    seen: list[int] = []

    def follow() -> None:
        position, reader = 0, opened()
        while True:
            was_done = done.is_set()
            found = changes_after(reader, position, limit=3)
            seen.extend(change.sequence for change in found.changes)
            position = found.position
            if was_done and not found.changes:
                return

    def fill(number: int) -> None:
        writer = opened()
        for index in range(each):
            shop(writer, f"Shop {number} {index}")

    with ThreadPoolExecutor(writers + 1) as pool:
        follower = pool.submit(follow)
        try:
            for filled in [pool.submit(fill, number) for number in range(writers)]:
                filled.result()
        finally:
            done.set()
        follower.result()
    assert seen == list(range(1, writers * each + 1))


def test_who_waits_for_a_change_is_told_of_one_made_by_another_process(opened, database):
    def wait() -> Any:
        return awaited_changes(database, 0, wait_seconds=20, stopwatch=time.monotonic)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        new = shop(opened())
        found = waiting.result()
    assert [change.property_id for change in found.changes] == [new.property_id]


def test_a_transaction_that_takes_too_long_is_done_again_and_given_up_at_last(database, clock):
    new = shop(database)
    tries: list[int] = []

    def slow(work: Transaction, times: int) -> Any:
        tries.append(work.now_us)
        if len(tries) <= times:
            clock.seconds += COMMIT_SECONDS + 1
            clock.advance(COMMIT_SECONDS + 1)
        return rules_versions.save(work, new.property_id, {"currency": "EUR"})

    version = database.write(ACTOR, lambda work: slow(work, 1))
    assert len(tries) == 2
    assert (version["number"], version["saved_at"]) == (2, tries[1])
    tries.clear()
    with pytest.raises(DatabaseUnavailableError, match="longer"):
        database.write(ACTOR, lambda work: slow(work, 9))
    assert served(database)[0].current.version == 2
    assert changes_after(database, 0).position == 2


def test_what_does_not_wait_is_not_done_where_another_writes(database, opened):
    """When a key was used is noted so: who only reads is not to wait for a locked database."""
    other, began = opened(), time.monotonic()

    def meanwhile(work: Transaction) -> None:
        with pytest.raises(DatabaseUnavailableError):
            other.write(ACTOR, lambda _: None, waits=False)

    database.write(ACTOR, meanwhile)
    assert time.monotonic() - began < 5
    assert other.write(ACTOR, lambda _: "done", waits=False) == "done"
    shop(other)


def test_taking_many_properties_over_may_take_its_time(database, clock):
    shops = [Property(property_id=100_000_000 + number, name="Shop") for number in range(3)]

    def work(transaction: Transaction) -> int:
        taken = take_over(transaction, encode_properties(shops))
        clock.seconds += 10 * COMMIT_SECONDS
        return taken

    assert database.write(ACTOR, work) == len(shops)


def test_what_fails_leaves_nothing_behind(database):
    def fail(work: Transaction) -> None:
        organisations.create(work, name="Half", default_rules={})
        raise ConflictError("no")

    with pytest.raises(ConfigurationError):
        database.write(ACTOR, fail)
    with database.reading() as connection:
        assert organisations.all_of(connection, None) == []


def test_properties_are_looked_up_by_either_id(database):
    ours, other, third = (shop(database, name) for name in ("One", "Two", "Three"))
    with database.reading() as connection:
        found = looked_up(
            connection,
            measurement_ids=[ours.measurement_id, "G-NOBODY0000"],
            property_ids=[other.property_id, 7],
        )
    ids = {row["property_id"] for row in found.rows}
    assert ids == {ours.property_id, other.property_id}
    assert third.property_id not in ids
    assert found.position == 3


def test_migrations_run_once_however_many_start_at_once(opened, url):
    with ThreadPoolExecutor(4) as pool:
        for started in [pool.submit(opened().migrate) for _ in range(4)]:
            started.result()
    database = opened()
    shop(database)
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM feed")).scalar() == 1


def test_a_new_sqlite_file_is_opened_by_many_at_once_and_its_owners_alone(tmp_path):
    def open_and_read(path: Any) -> None:
        database = Database(f"sqlite:{path}", now_us=lambda: NOW, random_bytes=bytes)
        with database.reading() as connection:
            connection.execute(text("SELECT 1"))
        database.close()

    for number in range(40):
        path = tmp_path / str(number) / "config.sqlite"
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(open_and_read, [path] * 4))
        assert not list(path.parent.glob(".*"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_bytes()[18:20] == bytes([2, 2])  # the file format's word for WAL


def test_a_database_of_a_newer_version_is_left_alone(database, opened):
    with database._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseVersionError, match="newer Tallymark"):
        opened().migrate()


NEXT_MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = "{head}"

def upgrade():
    for name in ("organisations", "properties"):
        with op.batch_alter_table(name, recreate="{recreate}") as table:
            table.alter_column("name", type_=sa.String(200), existing_nullable=False)
            table.add_column(sa.Column("colour", sa.String(10), server_default="red"))
"""


def test_readers_and_writers_go_on_while_a_filled_database_is_migrated(
    opened, database, url, tmp_path
):
    """By a migration to come, which makes tables anew that others refer to."""
    made = [shop(database, f"Shop {number}") for number in range(20)]
    migrations = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, migrations)
    with database.reading() as connection:
        head = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    recreate = "always" if url.startswith("sqlite") else "auto"
    content = NEXT_MIGRATION.format(head=head, recreate=recreate)
    (migrations / "versions" / "m9000_colours.py").write_text(content)
    stop = threading.Event()
    written = []

    def read() -> int:
        reader, times = opened(), 0
        while not stop.is_set():
            assert len(served(reader)) >= len(made)
            times += 1
        return times

    def write() -> None:
        writer = opened()
        while not stop.is_set():
            written.append(shop(writer, "New"))

    with ThreadPoolExecutor(2) as pool:
        reading, writing = pool.submit(read), pool.submit(write)
        try:
            opened().migrate(migrations)
            before = len(written)
            while len(written) < before + 3 and not writing.done():
                time.sleep(0.01)
        finally:
            stop.set()
        writing.result()
        assert reading.result() > 0
    with database.reading() as connection:
        colours = connection.execute(text("SELECT DISTINCT colour FROM properties")).scalars()
        assert list(colours) == ["red"]
    ids = {owner.property_id for owner in served(database)}
    assert ids == {new.property_id for new in [*made, *written]}


def test_the_tables_are_those_that_the_code_names(database):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from config_api.tables import METADATA

    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_key_of_a_large_organisation_is_told_to_the_feed_of_all_of_it(database):
    count = 1_200

    def fill(work: Transaction) -> int:
        owner = organisations.ensure_default(work)
        times = {"created_at": NOW, "updated_at": NOW}
        rows = [
            {"id": number, "organisation_id": owner, "name": "Shop"} | times
            for number in range(1, count + 1)
        ]
        work.connection.execute(insert(PROPERTIES), rows)
        return owner

    owner = database.write(ACTOR, fill)
    holder = keys.Holder(organisation_id=owner)
    database.write(ACTOR, lambda work: keys.create(work, holder, name="All", scopes=["read"]))
    first = changes_after(database, 0)
    rest = changes_after(database, first.position)
    told = [change.property_id for change in first.changes + rest.changes]
    assert told == list(range(1, count + 1))
