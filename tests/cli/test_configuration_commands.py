"""``tallymark rules`` and ``tallymark keys``, on a data folder and on a service, alike."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from cli.main import main
from stores.rules_cache.documents import decode_properties
from tallymark.properties import Property
from tests.config_api.api import listening, running_api

Run = Callable[..., Result]


def run(*arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], **options)


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, Any]:
    """A property of a data folder."""
    made = run("property", "create", "--name", "Shop", "--data", tmp_path, "--json")
    document: dict[str, Any] = json.loads(made.output)
    return document


@pytest.fixture(params=["folder", "service"])
def tallymark(request: pytest.FixtureRequest, tmp_path: Path, shop: Any) -> Iterator[Run]:
    """Runs a command on the folder itself, or on a service over it with the owner's key."""
    if request.param == "folder":
        yield lambda *arguments, **options: run(*arguments, "--data", tmp_path, **options)
        return
    with running_api(tmp_path) as api, listening(api.app) as url:
        where = ("--config-url", url, "--key-file", api.folder.owner_key)
        yield lambda *arguments, **options: run(*arguments, *where, **options)


def published(tmp_path: Path) -> Property:
    [owner] = decode_properties((tmp_path / "rules" / "properties.json").read_bytes())
    return owner


def test_rules_go_out_and_come_back_as_a_new_version(tallymark, shop, tmp_path):
    by_number = ("--property", shop["property_id"])
    file = tmp_path / "rules.yaml"
    shown = tallymark("rules", "show", "--property", shop["measurement_id"])
    assert shown.exit_code == 0, shown.output
    file.write_text(shown.stdout)
    same = tallymark("rules", "apply", file, *by_number, "--yes")
    assert "nothing changes" in same.output

    rules = yaml.safe_load(shown.stdout) | {"currency": "EUR"}
    file.write_text(yaml.safe_dump(rules))
    plan = tallymark("rules", "apply", file, *by_number)
    assert plan.stdout == '+ currency: "EUR"\n'
    assert published(tmp_path).current.version == 1
    saved = tallymark(
        "rules", "apply", file, *by_number, "--yes", "--comment", "we moved", "--json"
    )
    assert json.loads(saved.stdout)["version"] == 2
    assert published(tmp_path).current.rules.currency == "EUR"

    versions = tallymark("rules", "versions", *by_number).stdout.splitlines()
    assert [line[:9] for line in versions] == ["version 2", "version 1"]
    assert "we moved" in versions[0]
    assert "since ever" in versions[1]
    diff = tallymark("rules", "diff", 1, 2, *by_number)
    assert diff.stdout == '~ currency: "USD" → "EUR"\n'
    back = tallymark("rules", "rollback", 1, *by_number)
    assert back.stdout == '~ currency: "EUR" → "USD"\n'
    assert published(tmp_path).current.version == 2
    assert tallymark("rules", "rollback", 1, *by_number, "--yes").exit_code == 0
    assert published(tmp_path).current.rules.currency == "USD"
    said = tallymark("rules", "show", *by_number, "--version", 1, "--json")
    assert json.loads(said.stdout) == {}
    assert "# currency: USD" in shown.stdout
    first = tallymark("rules", "show", *by_number, "--version", 1, "--json", "--whole")
    assert json.loads(first.stdout) == published(tmp_path).versions[0].rules.document()


def test_a_replay_is_asked_for_and_listed(tallymark, shop):
    by_number = ("--property", shop["property_id"])
    asked = tallymark(
        "rules", "replay", "2026-01-31T08", *by_number, "--rules", "latest", "--comment", "why"
    )
    assert asked.exit_code == 0, asked.output
    told = "waiting  2026-01-31T08Z to 2026-01-31T09Z  rules 1"
    assert told in asked.stdout
    assert tallymark("rules", "replays", *by_number).stdout == asked.stdout
    wrong = tallymark("rules", "replay", "2026-01-31T08", *by_number, "--rules", "7")
    assert "allowed: a version: 1 to 1" in wrong.output


def test_rules_that_cannot_be_are_told_whole_and_not_saved(tallymark, shop, tmp_path):
    file = tmp_path / "rules.json"
    file.write_text('{"currency": "eur", "session_gap_seconds": 1}')
    result = tallymark("rules", "apply", file, "--property", shop["property_id"], "--yes")
    assert result.exit_code == 1
    assert "currency: got 'eur'" in result.output
    assert "session_gap_seconds: got 1" in result.output
    assert published(tmp_path).current.version == 1


def test_a_property_is_made_and_listed_alike(tallymark, shop, tmp_path):
    made = json.loads(
        tallymark("property", "create", "--name", "Second", "--currency", "EUR", "--json").stdout
    )
    assert set(made) == {"property_id", "measurement_id", "api_secret", "read_key"}
    listed = tallymark("property", "list", "--json").stdout.splitlines()
    rows = {row["property_id"]: row for row in map(json.loads, listed)}
    assert set(rows) == {shop["property_id"], made["property_id"]}
    assert rows[made["property_id"]] == {
        "property_id": made["property_id"],
        "measurement_ids": [made["measurement_id"]],
        "name": "Second",
        "time_zone": "UTC",
        "currency": "EUR",
        "session_gap_seconds": 1800,
        "attribution_lookback_days": 90,
        "allowed_hosts": [],
    }
    owners = decode_properties((tmp_path / "rules" / "properties.json").read_bytes())
    [owner] = [one for one in owners if one.property_id == made["property_id"]]
    assert owner.accepts_read_key(made["read_key"], 0)
    assert owner.data_streams[0].accepts_secret(made["api_secret"], 0)
    nobody = tallymark("property", "create", "--name", "Third", "--account", "accounts/7")
    assert nobody.exit_code == 1
    assert "accounts/7" in nobody.output


def test_a_key_is_made_rotated_listed_and_revoked(tallymark, shop, tmp_path):
    stream = ("--for", shop["measurement_id"])
    made = json.loads(
        tallymark("keys", "create", "--name", "Server", "--scope", "collect", *stream,
                  "--days", 30, "--json").stdout
    )  # fmt: skip
    rotated = json.loads(
        tallymark("keys", "rotate", made["name"], "--overlap-seconds", 60, "--json").stdout
    )
    now = made["created_at"]
    [told] = published(tmp_path).data_streams
    for after, old_opens in ((0, True), (3600, False)):
        at = now + after * 1_000_000
        assert told.accepts_secret(made["secret"], at) is old_opens
        assert told.accepts_secret(rotated["secret"], at)
    assert tallymark("keys", "revoke", rotated["name"]).exit_code == 0
    [told] = published(tmp_path).data_streams
    assert not told.accepts_secret(rotated["secret"], now + 3_600_000_000)
    listed = tallymark("keys", "list", *stream).stdout
    assert f"{rotated['name']}  collect" in listed
    assert "revoked" in listed
    assert made["secret"] not in listed


def test_a_read_key_for_a_measurement_id_is_one_of_its_property(tallymark, shop, tmp_path):
    key = tallymark(
        "keys", "create", "--name", "Reports", "--scope", "read", "--for", shop["measurement_id"],
        "--json",
    )  # fmt: skip
    assert published(tmp_path).accepts_read_key(json.loads(key.stdout)["secret"], 0)


REFUSED = {
    "no such property": (("rules", "show", "--property", 7), "properties/7"),
    "no such measurement id": (("rules", "show", "--property", "G-NOBODY0000"), "G-NOBODY0000"),
    "no such version": (("rules", "diff", 1, 9), "versions/9"),
    "no such key": (("keys", "revoke", "keys/7"), "keys/7"),
    "a key of nobody": (("keys", "create", "--name", "K", "--scope", "read"), "scopes: got"),
    "a key of no kind": (("keys", "list", "--for", "shop"), "parent: got 'shop'"),
    "no key at all": (("keys", "rotate", "shop"), "keys/NUMBER"),
}


@pytest.mark.parametrize(("arguments", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_refused_saying_why(tallymark, shop, arguments, told):
    if arguments[:2] == ("rules", "diff"):
        arguments = (*arguments, "--property", shop["property_id"])
    result = tallymark(*arguments)
    assert result.exit_code != 0
    assert told in result.output
    assert "Traceback" not in result.output


def test_who_saved_meanwhile_is_told_of(shop, tmp_path, monkeypatch):
    """Two people read version 1; the second one to save learns what the first has changed."""
    from cli import config_calls

    asked = config_calls.LocalCalls.ask
    file = tmp_path / "rules.yaml"
    file.write_text("currency: EUR\n")
    by_number = ("--property", shop["property_id"], "--data", tmp_path)

    def ask(self: Any, name: str, **options: Any) -> Any:
        if name == "put_rules":
            monkeypatch.setattr(config_calls.LocalCalls, "ask", asked)
            other = tmp_path / "other.yaml"
            other.write_text("time_zone: Asia/Tokyo\n")
            assert run("rules", "apply", other, *by_number, "--yes").exit_code == 0
        return asked(self, name, **options)

    monkeypatch.setattr(config_calls.LocalCalls, "ask", ask)
    result = run("rules", "apply", file, *by_number, "--yes")
    assert result.exit_code == 1
    assert '~ time_zone: "UTC" → "Asia/Tokyo"' in result.output
    assert published(tmp_path).current.rules.time_zone == "Asia/Tokyo"


def test_a_service_needs_a_key_and_has_to_be_there(shop, tmp_path):
    by_number = ("--property", shop["property_id"])
    result = run("rules", "show", *by_number, "--config-url", "http://127.0.0.1:9")
    assert result.exit_code == 2
    assert "--key-file" in result.output
    key = tmp_path / "key"
    key.write_text("0" * 32)
    result = run("rules", "show", *by_number, "--config-url", "http://127.0.0.1:9",
                 "--key-file", key)  # fmt: skip
    assert result.exit_code == 1
    assert "http://127.0.0.1:9" in result.output


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    result = run("keys", "list", "--data", tmp_path / "none")
    assert result.exit_code == 1
    assert not (tmp_path / "none").exists()


YAML = {
    "a day is a text": ("exchange_rates: [{currency: USD, since: 2026-01-31, rate: '1.5'}]", None),
    "off is a text": (
        "filters: [{name: office, when: {field: host, is: a.b}, state: off}]", None,
    ),
    "a name that stands twice": ("currency: EUR\ncurrency: USD", "second time"),
    "no YAML": ("currency: [", "expected YAML or JSON"),
    "no document": ("- 1", "document"),
    "an object": ("!!python/object/apply:os.system ['true']", "expected YAML or JSON"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "told"), YAML.values(), ids=YAML)
def test_yaml_is_read_as_it_is_meant(shop, tmp_path, content, told):
    file = tmp_path / "rules.yaml"
    file.write_text(content)
    result = run("rules", "apply", file, "--property", shop["property_id"], "--data", tmp_path)
    assert (result.exit_code == 0) is (told is None), result.output
    assert told is None or told in result.output


def test_a_database_of_another_kind_is_refused_without_its_password(tmp_path):
    result = run("serve", "config", "--data", tmp_path, "--database", "mysql://root:geheim@h/x")
    assert result.exit_code == 1
    assert "expected sqlite:PATH or postgresql://" in result.output
    assert "geheim" not in result.output
