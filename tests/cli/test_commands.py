"""The commands that need no running stack."""

import json
import re
import socket
import stat
from pathlib import Path

import click
import orjson
import pytest
from click.testing import CliRunner

from cli import redaction
from cli.commands.status import _noted
from cli.data_folder import DataFolder
from cli.demo import ensure_demo_property, page_address
from cli.main import main
from cli.probes import Stillness
from cli.stack import StackSettings, port_problems, services_of, unshipped_spools
from cli.up_lock import FolderInUseError, UpLock, holder
from stores.rules_cache.documents import decode_properties
from tallymark import personal_data


def run(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def stack(tmp_path: Path, **changes) -> StackSettings:
    settings = {
        "data": tmp_path,
        "host": "127.0.0.1",
        "collector_port": 8000,
        "report_port": 8001,
        "pubsub_port": 8085,
        "wide_rows_url": "sqlite:x",
    }
    return StackSettings(**(settings | changes))


def commands(group: click.Group, path: tuple[str, ...] = ()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize(
    "path", [path for path, command in commands(main) if not command.hidden], ids=" ".join
)
def test_every_command_explains_itself(path):
    result = run(*path, "--help")
    assert result.exit_code == 0
    if not re.search(r"^Commands:$", result.output, re.MULTILINE):
        assert re.search(r"^  Examples?:\n    .*tallymark " + " ".join(path), result.output, re.M)


def test_a_created_property_is_listed(tmp_path):
    made = json.loads(
        run("property", "create", "--name", "Laden", "--time-zone", "Europe/Berlin",
            "--currency", "EUR", "--attribution-lookback-days", 30, "--allowed-host",
            "Shop.Example.com", "--allowed-host", "example.org", "--data", tmp_path,
            "--json").output
    )  # fmt: skip
    assert set(made) == {"property_id", "measurement_id", "api_secret", "read_key"}
    [listed] = run("property", "list", "--data", tmp_path, "--json").output.splitlines()
    assert json.loads(listed) == {
        "property_id": made["property_id"],
        "measurement_ids": [made["measurement_id"]],
        "name": "Laden",
        "time_zone": "Europe/Berlin",
        "currency": "EUR",
        "session_gap_seconds": 1800,
        "attribution_lookback_days": 30,
        "allowed_hosts": ["shop.example.com", "example.org"],
    }
    line = run("property", "list", "--data", tmp_path).output
    assert line.endswith("shop.example.com,example.org\n")


def test_a_property_that_cannot_be_says_all_that_is_wrong(tmp_path):
    result = run("property", "create", "--name", "x", "--time-zone", "Nowhere",
                 "--session-gap-seconds", 1, "--attribution-lookback-days", 91,
                 "--data", tmp_path)  # fmt: skip
    assert result.exit_code == 1
    assert "time_zone: got 'Nowhere'" in result.output
    assert "session_gap_seconds: got 1" in result.output
    assert "attribution_lookback_days: got 91" in result.output


def test_an_option_may_come_from_the_environment(tmp_path):
    result = CliRunner().invoke(
        main,
        ["property", "create", "--json"],
        env={"TALLYMARK_PROPERTY_CREATE_NAME": "Env shop", "TALLYMARK_DATA": str(tmp_path)},
    )
    assert result.exit_code == 0
    [owner] = decode_properties((tmp_path / "rules" / "properties.json").read_bytes())
    assert owner.name == "Env shop"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "either --measurement-id or --properties"),
        (["--measurement-id", "G-A=x"], "G-…=WEIGHT"),
        (["--measurement-id", "G-A", "--measurement-id", "G-B", "--api-secret", "s"], "got 1"),
        (["--measurement-id", "G-A", "--history-hours", "1"], "--api-secret"),
    ],
)
def test_a_simulation_that_cannot_be_says_what_is_expected(arguments, told):
    result = run("simulate", "--to", "http://127.0.0.1:9", *arguments)
    assert result.exit_code == 2
    assert told in result.output


def test_a_simulation_to_no_address_is_refused():
    result = run("simulate", "--to", "collector", "--measurement-id", "G-A", "--visits", 1)
    assert result.exit_code == 2
    assert "expected an address such as http://127.0.0.1:8000" in result.output


def test_script_and_log_of_a_simulation_name_the_same_requests(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        result = run(
            "simulate",
            "--to",
            url,
            "--measurement-id",
            "G-A",
            "--visits",
            3,
            "--rate",
            999,
            "--script",
            tmp_path / "s",
            "--log",
            tmp_path / "l",
        )
    assert result.exit_code == 1
    script = [orjson.loads(line) for line in (tmp_path / "s").read_bytes().splitlines()]
    log = [orjson.loads(line) for line in (tmp_path / "l").read_bytes().splitlines()]
    assert {row["request"] for row in log} == {
        hit["request"] for row in script for hit in row["hits"]
    }
    assert {row["outcome"] for row in log} == {"unsent"}


def test_a_port_that_is_taken_names_its_option(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        [problem] = port_problems(stack(tmp_path, report_port=port))
        result = run("up", "--data", tmp_path, "--report-port", port)
    assert f"port {port}" in problem
    assert "--report-port" in problem
    assert result.exit_code == 1
    assert "choose another with --report-port" in result.output


def test_two_services_may_not_share_a_port(tmp_path):
    assert any(
        "expected different ports" in problem
        for problem in port_problems(stack(tmp_path, report_port=8000))
    )


def test_a_second_stack_on_a_folder_is_told_of_the_first(tmp_path):
    first = {"pid": 4711, "addresses": {"collector": "http://127.0.0.1:8000"}}
    run_folder = tmp_path / "run"
    with UpLock(run_folder, first):
        assert holder(run_folder) == first
        with pytest.raises(FolderInUseError, match=r"pid 4711; collector http://127.0.0.1:8000"):
            UpLock(run_folder, {}).__enter__()
        result = run("up", "--data", tmp_path)
        assert result.exit_code == 1
        assert "pid 4711" in result.output
    assert holder(run_folder) == {}
    with UpLock(run_folder, {}):
        pass


def test_status_of_a_folder_without_a_stack_is_not_well(tmp_path):
    result = run("status", "--data", tmp_path)
    assert result.exit_code == 1
    assert "no stack runs" in result.output
    assert json.loads(run("status", "--data", tmp_path, "--json").output)["healthy"] is False


@pytest.mark.parametrize("bigtable", ["a/b", "a//c", "a/b/c/d"])
def test_a_table_of_another_shape_is_refused(tmp_path, bigtable):
    result = run("up", "--data", tmp_path, "--wide-rows", "bigtable", "--bigtable", bigtable)
    assert result.exit_code == 2
    assert "PROJECT/INSTANCE/TABLE" in result.output


def test_services_start_after_those_they_need(tmp_path):
    stages = {
        service.name: service.stage
        for service in services_of(stack(tmp_path, demo_hits_per_second=5))
    }
    assert stages["pubsub"] < stages["stream"] == stages["archiver"] < stages["shipper"]
    assert stages["shipper"] < stages["collector"] < stages["demo"]
    assert stages["reports"] < stages["stream"]  # so it is stopped after it
    assert stages["demo"] < stages["dagster-code"] < stages["dagster"] == stages["dagster-daemon"]
    assert stages["dagster"] == stages["compactor"]
    assert "demo" not in {service.name for service in services_of(stack(tmp_path))}


def test_a_small_machine_runs_no_dagster_and_needs_none_of_its_ports(tmp_path):
    small = stack(tmp_path, has_dagster=False, dagster_port=8000)
    assert not [service for service in services_of(small) if "dagster" in service.name]
    assert "compactor" not in {service.name for service in services_of(small)}
    assert not [problem for problem in port_problems(small) if "different" in problem]


def test_every_service_is_a_command_that_the_command_line_knows(tmp_path):
    for service in services_of(stack(tmp_path, demo_hits_per_second=5, trusted_proxies=("::1",))):
        _, _, module, *arguments = service.command
        assert module == "cli.main"
        group = main.get_command(click.Context(main), arguments[0])
        command = group.get_command(click.Context(group), arguments[1])
        command.make_context(arguments[1], list(arguments[2:]))


def test_the_demo_property_is_made_once_and_its_keys_are_for_the_owner(tmp_path):
    folder = DataFolder(tmp_path)
    first, second = ensure_demo_property(folder), ensure_demo_property(folder)
    assert first == second
    [owner] = decode_properties(folder.rules_path.read_bytes())
    assert owner.name == "Demo shop"
    assert owner.accepts_read_key(first["read_key"], 0)
    assert owner.data_streams[0].accepts_secret(first["api_secret"], 0)
    assert stat.S_IMODE(folder.demo.stat().st_mode) == 0o600
    address = page_address(stack(tmp_path))
    assert address.startswith("http://127.0.0.1:8001/")
    assert first["read_key"] not in address.partition("#")[0]
    assert first["read_key"] in address


def test_spools_are_counted_until_they_are_shipped(tmp_path):
    assert unshipped_spools(tmp_path / "spools") == 0
    (tmp_path / "spools" / "one").mkdir(parents=True)
    (tmp_path / "spools" / ".done-two").mkdir()
    assert unshipped_spools(tmp_path / "spools") == 1


def test_stillness_needs_its_time_without_a_change():
    now, seen = [0.0], ["a"]
    still = Stillness(lambda: seen[0], seconds=2, clock=lambda: now[0])
    answers = []
    for at, what in ((0, "a"), (1.9, "a"), (2, "a"), (3, "b"), (4.9, "b"), (5, "b")):
        now[0], seen[0] = at, what
        answers.append(still())
    assert answers == [False, False, True, False, False, True]


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        ([], "mail,phone,card"),
        (["--redact", "card, mail"], "mail,card"),
        (["--redact", "none"], "none"),
    ],
)
def test_what_is_redacted_is_told_to_the_shipper(tmp_path, given, kinds):
    command = main.get_command(click.Context(main), "up")
    context = command.make_context("up", [*given, "--data", str(tmp_path)])
    settings = stack(tmp_path, redact=context.params["redact"])
    [shipper] = [one for one in services_of(settings) if one.name == "shipper"]
    assert shipper.command[-2:] == ("--redact", kinds)


@pytest.mark.parametrize("given", ["", "mail,none", "iban"])
def test_a_kind_of_personal_data_that_nobody_knows_is_refused(tmp_path, given):
    result = run("serve", "shipper", "--redact", given, "--data", tmp_path)
    assert result.exit_code == 2
    assert "expected some of mail,phone,card, or none" in result.output


def test_the_command_line_knows_all_kinds_of_personal_data():
    assert redaction.PRESETS == personal_data.PRESETS


def test_status_says_what_was_redacted(tmp_path):
    note = {"noted_at": 0, "redacted": {"mail": 2, "card": 0}, "requests_withheld": 1}
    (tmp_path / "shipper.json").write_text(json.dumps(note))
    assert _noted(tmp_path / "shipper.json") == "; requests_withheld 1; redacted 2 mail, 0 card"
    (tmp_path / "stream.json").write_text('{"rules_cut_off_seconds": 95.1}')
    assert _noted(tmp_path / "stream.json") == "; rules_cut_off_seconds 95.1"
    (tmp_path / "shipper.json").write_text('{"redacted": {}}')
    assert "switched off" in _noted(tmp_path / "shipper.json")
