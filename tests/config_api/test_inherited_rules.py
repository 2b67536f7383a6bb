"""Defaults of an organisation: what its properties do not say themselves, and follow."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, text, update

from config_api import inheritance, kept_documents, organisations, properties, rules_versions
from config_api.database import MIGRATIONS, Database
from config_api.errors import InvalidConfigurationError
from config_api.feed import changes_after
from config_api.property_rows import all_rows
from config_api.tables import MADE_WHOLE, PROPERTIES, RULES_VERSIONS
from config_api.transaction import MANY_COMMIT_SECONDS, Transaction
from tallymark.rule_documents import Rules, parse_rules
from tallymark.rule_documents.inheritance import differing_parts, stated_rules
from tallymark.rules_delay import RULES_DELAY_SECONDS
from tests.config_api.conftest import ACTOR, SECOND
from tests.config_api.test_configuration_storage import saved, served

OFFICE = {"name": "office", "when": {"field": "path", "is": "/"}, "state": "active"}


def organisation(database: Database, **defaults: Any) -> int:
    made = database.write(
        ACTOR, lambda work: organisations.create(work, name="Inn", default_rules=defaults)
    )
    return int(made["id"])


def add(database: Database, owner: int, **rules: Any) -> int:
    made = database.write(
        ACTOR, lambda work: properties.create(work, owner, name="Shop", rules=rules)
    )
    return int(made["id"])


def change(database: Database, owner: int, **defaults: Any) -> None:
    preparation = inheritance.prepare(database, ACTOR, owner, defaults)

    def work(transaction: Transaction) -> None:
        organisations.change(
            transaction, owner, name=None, default_rules=defaults, preparation=preparation
        )

    database.write(ACTOR, work)


def newest(database: Database, property_id: int) -> Any:
    with database.reading() as connection:
        return rules_versions.get(connection, property_id)


def test_what_a_property_does_not_say_follows_the_defaults_of_its_organisation(database, clock):
    owner = organisation(database, currency="EUR", time_zone="Europe/Berlin")
    says_currency, says_nothing = add(database, owner, currency="CHF"), add(database, owner)
    says_both = add(database, owner, currency="CHF", time_zone="Europe/Zurich")
    others = add(database, organisation(database, currency="EUR"))
    position = changes_after(database, 0).position
    clock.advance(60)

    change(database, owner, currency="GBP", time_zone="Europe/London")

    for one, currency in ((says_currency, "CHF"), (says_nothing, "GBP")):
        version = newest(database, one)
        assert version["number"] == 2
        assert version["document"]["currency"] == currency
        assert version["document"]["time_zone"] == "Europe/London"
        assert version["effective_at"] == (
            clock.us + (MANY_COMMIT_SECONDS + RULES_DELAY_SECONDS) * SECOND
        )
        assert (version["author"], version["saved_at"]) == (ACTOR, clock.us)
        assert version["comment"] == f"defaults of accounts/{owner} changed"
    assert newest(database, says_currency)["said"] == {"currency": "CHF"}
    assert [newest(database, one)["number"] for one in (says_both, others)] == [1, 1]
    told = [change.property_id for change in changes_after(database, position).changes]
    assert sorted(told) == sorted([says_currency, says_nothing])


def test_workers_are_told_whole_rules_alone(database):
    owner = organisation(database, currency="EUR")
    add(database, owner, time_zone="Europe/Berlin")
    change(database, owner, currency="GBP")
    with database.reading() as connection:
        [row] = all_rows(connection).rows
    assert all(set(Rules().document()) <= set(version) for version in row["versions"])
    [shop] = served(database)
    assert [one.rules.currency for one in shop.versions] == ["EUR", "GBP"]


def test_a_list_that_is_said_replaces_the_whole_list_of_the_defaults(database):
    owner = organisation(database, filters=[OFFICE], key_events=["purchase", "sign_up"])
    shop = add(database, owner, filters=[])
    rules = newest(database, shop)["document"]
    assert rules["filters"] == []
    assert [each["event"] for each in rules["key_events"]] == ["purchase", "sign_up"]
    change(database, owner, filters=[OFFICE | {"name": "other"}])
    rules = newest(database, shop)["document"]
    assert rules["filters"] == []
    assert [each["event"] for each in rules["key_events"]] == ["purchase"]


def test_defaults_that_say_the_same_in_other_words_make_no_version(database):
    owner = organisation(database, key_events=["purchase"])
    shop = add(database, owner)
    change(database, owner, key_events=[{"event": "purchase"}], currency="USD")
    assert newest(database, shop)["number"] == 1
    assert changes_after(database, 1).changes == ()


def test_saved_rules_inherit_what_they_do_not_say(database):
    owner = organisation(database, currency="EUR")
    shop = add(database, owner, time_zone="Asia/Tokyo")
    version = saved(database, shop, document={"session_gap_seconds": 600})
    assert version["said"] == {"session_gap_seconds": 600}
    assert version["document"]["currency"] == "EUR"
    assert version["document"]["time_zone"] == "UTC"
    assert saved(database, shop, document={"session_gap_seconds": 600})["number"] == 2


def test_a_part_that_is_said_stays_although_the_defaults_say_the_same(database):
    owner = organisation(database, currency="EUR")
    shop = add(database, owner)
    assert saved(database, shop, document={"currency": "EUR"})["number"] == 2
    change(database, owner, currency="GBP")
    assert newest(database, shop)["document"]["currency"] == "EUR"


def test_a_rollback_brings_back_what_was_inherited_then(database):
    owner = organisation(database, currency="EUR", time_zone="Europe/Berlin")
    shop = add(database, owner, session_gap_seconds=600)
    change(database, owner, currency="GBP", time_zone="Europe/Berlin")
    database.write(ACTOR, lambda work: rules_versions.roll_back(work, shop, 1))
    version = newest(database, shop)
    with database.reading() as connection:
        assert version["document"] == rules_versions.get(connection, shop, 1)["document"]
    assert version["said"] == {"session_gap_seconds": 600, "currency": "EUR"}
    change(database, owner, currency="GBP", time_zone="Europe/Paris")
    assert newest(database, shop)["document"]["time_zone"] == "Europe/Paris"


def test_no_version_of_the_defaults_overtakes_one_that_was_saved_before(database, clock):
    owner = organisation(database)
    shop, other = add(database, owner), add(database, owner)
    clock.advance(3600)
    second = saved(database, shop, document={"currency": "EUR"})
    clock.us -= 3600 * SECOND
    change(database, owner, time_zone="Asia/Tokyo")
    instants = {newest(database, one)["effective_at"] for one in (shop, other)}
    assert instants == {second["effective_at"] + 1}


LONG = [
    {"name": f"f{number}", "when": {"field": "path", "in": [f"/{number}/{'x' * 400}"] * 10}}
    for number in range(30)
]


def test_defaults_that_a_property_cannot_follow_are_refused_naming_it(database):
    owner = organisation(database)
    label = "x" * 60
    hosts = [f"{number}.{label}.{label}.{label}" for number in range(10)]
    rewrites = [{"kind": "map_host", "from": hosts, "to": "a.test"} for _ in range(50)]
    shop = add(database, owner, rewrites=rewrites)
    with pytest.raises(InvalidConfigurationError) as caught:
        change(database, owner, filters=LONG)
    [problem] = caught.value.problems
    assert f"properties/{shop}" in problem.where
    with database.reading() as connection:
        assert organisations.get(connection, owner)["default_rules"] == {}
    assert newest(database, shop)["number"] == 1


def test_many_different_properties_are_prepared_before_and_nothing_is_left_behind(
    database, monkeypatch
):
    monkeypatch.setattr(inheritance, "AT_A_TIME", 7)
    owner = organisation(database, currency="EUR")

    def fill(work: Transaction) -> None:
        for number in range(40):
            rules = {"allowed_hosts": [f"s{number}.test"]}
            properties.create(work, owner, name="Shop", rules=rules)

    database.write(ACTOR, fill)
    position = changes_after(database, 0).position
    preparation = inheritance.prepare(database, ACTOR, owner, {"currency": "GBP"})
    assert preparation is not None
    late = add(database, owner, currency="CHF", allowed_hosts=["late.test"])
    new = add(database, owner, allowed_hosts=["new.test"])
    database.write(
        ACTOR,
        lambda work: organisations.change(
            work, owner, name=None, default_rules={"currency": "GBP"}, preparation=preparation
        ),
    )
    found = served(database)
    assert len(found) == 42
    for shop in found:
        is_late = shop.property_id == late
        assert shop.current.rules.currency == ("CHF" if is_late else "GBP")
        assert shop.current.version == (1 if is_late else 2)
        assert len(shop.current.rules.allowed_hosts) == 1
    assert newest(database, new)["number"] == 2
    assert len({shop.current.effective_at for shop in found if shop.property_id != late}) == 1
    told = changes_after(database, position + 2).changes
    assert [change.sequence for change in told] == list(range(position + 3, position + 44))
    with database.reading() as connection:
        assert connection.execute(select(MADE_WHOLE)).all() == []


def test_the_feed_keeps_all_of_a_change_however_many_properties_it_has(database, monkeypatch):
    monkeypatch.setattr("config_api.transaction.KEPT_CHANGES", 5)
    owner = organisation(database)
    for _ in range(9):
        add(database, owner)
    position = changes_after(database, 9).position
    change(database, owner, currency="EUR")
    assert len(changes_after(database, position).changes) == 9


DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "currency": st.sampled_from(["EUR", "CHF"]),
        "session_gap_seconds": st.sampled_from([600, 1800]),
        "allowed_hosts": st.lists(st.sampled_from(["a.test", "b.test"]), max_size=2),
        "key_events": st.sampled_from([[], ["purchase"], ["sign_up"]]),
        "filters": st.sampled_from([[], [OFFICE]]),
    },
)


@given(said=DOCUMENTS, before=DOCUMENTS, after=DOCUMENTS)
def test_rules_change_with_defaults_in_the_parts_alone_that_they_do_not_say(said, before, after):
    first, second = stated_rules(said, before), stated_rules(said, after)
    changed = differing_parts(first.whole, second.whole)
    assert changed == differing_parts(before, after) - said.keys()
    assert first.said == second.said
    assert parse_rules(first.whole).document() == first.whole
    assert set(first.inherited) == set(first.whole) - set(said)
    assert stated_rules(first.said, before) == first


OLD_VERSION = """INSERT INTO rules_versions
    (property_id, number, saved_at, effective_at, author, comment, document)
    VALUES (:owner, :number, 5, :effective_at, 'Jane', 'why', :document)"""


def test_versions_from_before_keep_their_rules_and_follow_nobody(opened):
    """What the first tables held, in a database that is brought up to date."""

    from alembic import command
    from alembic.config import Config

    database = opened()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    documents = [
        Rules().document(), Rules(currency="CHF").document(), {"currency": "EUR"},
    ]  # fmt: skip
    with database._engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        columns = {"id": 7, "name": "Inn", "default_rules": "{}", "created_at": 1}
        connection.execute(
            text("INSERT INTO organisations VALUES (:id, :name, :default_rules, :created_at)"),
            columns,
        )
        for owner in range(1, 200):
            row = {"id": owner, "organisation_id": 7, "name": "Shop"}
            times = {"created_at": 1, "updated_at": 1}
            connection.execute(insert(PROPERTIES).values(row | times))
            for number, document in enumerate(documents, 1):
                connection.execute(
                    text(OLD_VERSION),
                    {"owner": owner, "number": number, "document": json.dumps(document),
                     "effective_at": None if number == 1 else number},
                )  # fmt: skip
    database.migrate()
    for shop in served(database):
        assert [version.rules for version in shop.versions] == [
            parse_rules(document) for document in documents
        ]
    with database.reading() as connection:
        second = rules_versions.get(connection, 199, 2)
        assert connection.execute(text("SELECT count(*) FROM rules_documents")).scalar() == 3
    assert (second["author"], second["comment"], second["saved_at"]) == ("Jane", "why", 5)
    assert second["said"] == second["document"] == documents[1]
    change(database, 7, currency="JPY")
    assert newest(database, 5)["number"] == 3


def test_rules_in_the_words_of_an_older_code_are_no_other_rules(database):
    """A document that lacks parts which are new in the code says the same as one with them."""
    owner = organisation(database, currency="EUR")
    shop = add(database, owner, currency="CHF")
    older = {name: part for name, part in newest(database, shop)["document"].items()
             if name != "created_events"}  # fmt: skip

    def age(work: Transaction) -> None:
        kept_documents.keep(work.connection, [older])
        where = RULES_VERSIONS.c.property_id == shop
        changes = {"whole_id": kept_documents.document_id(older)}
        work.connection.execute(update(RULES_VERSIONS).where(where).values(changes))

    database.write(ACTOR, age)
    change(database, owner, currency="GBP")
    assert saved(database, shop, document={"currency": "CHF"})["number"] == 1
