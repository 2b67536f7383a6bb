"""``tallymark rules``: show, change and compare the rules of a property."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cli.config_calls import Calls, calls_of, change_text, config_options, property_number
from cli.hour_range import HourRange
from cli.preview_text import preview_lines
from cli.printable import printable
from cli.rules_files import commented_text, read_rules, rules_text
from tallymark.replays import Span, hour_text

_PROPERTY = click.option(
    "--property", "owner", required=True, metavar="PROPERTY", help="By number or measurement id."
)
_COMMENT = click.option("--comment", default="", help="Why; it stays with the version.")
_YES = click.option("--yes", is_flag=True, help="Do it; without it the plan is printed alone.")
_JSON = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group(name="rules")
def rules_group() -> None:
    """Show, change and compare the rules of a property.

    Each change is a version, which takes effect 35 s after it was saved. The commands work on the
    database of a data folder, whether a stack runs on it or not, or on a service elsewhere
    (--config-url, --key-file).
    """


@rules_group.command()
@_PROPERTY
@click.option("--version", type=click.IntRange(1), help="[default: the newest]")
@click.option("--whole", is_flag=True, help="What is inherited as if the property said it itself.")
@config_options
@_JSON
def show(owner: str, version: int | None, whole: bool, as_json: bool, **where: Any) -> None:
    """Print the rules of a property as YAML, which ``apply`` takes back.

    Parts that the property does not say itself, and so inherits from the defaults of its account,
    are printed as comments; with --json they are left out.

    \b
    Example:
      tallymark rules show --property G-ABCDE12345 > rules.yaml
    """
    with calls_of(**where) as calls:
        number = property_number(calls, owner)
        found = _version(calls, number, version)
    click.echo(rules_text(found["document" if whole else "said"], as_json=as_json))
    if not (whole or as_json):
        inherited = {name: found["document"][name] for name in found["inherited"]}
        click.echo(commented_text("inherited", inherited))
    click.echo(_line(found), err=True)


@rules_group.command()
def schema() -> None:
    """Print the JSON Schema of a rules document, for editors that complete and check it.

    \b
    Example:
      tallymark rules schema > rules.schema.json
    """
    from tallymark.rule_documents import Rules  # noqa: PLC0415

    click.echo(json.dumps(Rules.model_json_schema(), indent=2))


@rules_group.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True,
                                        path_type=Path))  # fmt: skip
@_PROPERTY
@_COMMENT
@_YES
@config_options
@_JSON
def apply(file: Path, owner: str, comment: str, yes: bool, as_json: bool, **where: Any) -> None:
    """Save the rules in FILE (YAML or JSON) as a new version, after printing what changes.

    What the file leaves out is inherited from the defaults of the property's account.

    \b
    Examples:
      tallymark rules apply rules.yaml --property G-ABCDE12345
      tallymark rules apply rules.yaml --property G-ABCDE12345 --comment "new office" --yes
    """
    from tallymark.rule_documents import InvalidRulesError  # noqa: PLC0415
    from tallymark.rule_documents.inheritance import stated_rules  # noqa: PLC0415

    content = read_rules(file)
    with calls_of(**where) as calls:
        number = property_number(calls, owner)
        newest = calls.ask("get_rules", property_id=number)
        try:
            document = stated_rules(content, newest["document"]).said
        except InvalidRulesError as error:
            raise click.ClickException(f"{file}:\n{error}") from error
        plan = _differences(newest["said"], document)
        if _is_planned(plan, newest["version"], yes=yes, as_json=as_json):
            saved = calls.ask(
                "put_rules", property_id=number, if_match=newest["version"],
                body={"document": document, "comment": comment},
            )  # fmt: skip
            _told(saved, as_json=as_json)


@rules_group.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True,
                                        path_type=Path))  # fmt: skip
@click.argument("hours", type=HourRange(), metavar="RANGE")
@_PROPERTY
@config_options
@_JSON
def preview(file: Path, hours: Span, owner: str, as_json: bool, **where: Any) -> None:
    """Print what reports would have shown under the rules in FILE, which are not saved.

    They are tried on what the property received in a RANGE of past hours (UTC): a day, an hour, or
    A..B from A up to B. Of very much, some clients are drawn, which is told.

    \b
    Examples:
      tallymark rules preview rules.yaml 2026-01-31 --property G-ABCDE12345
      tallymark rules preview rules.yaml 2026-01-31T08..2026-01-31T20 --property G-ABCDE12345
    """
    with calls_of(**where) as calls:
        found = calls.ask(
            "preview_rules", property_id=property_number(calls, owner),
            body={"document": read_rules(file), "from": hours.start_us, "to": hours.end_us},
        )  # fmt: skip
    for line in [json.dumps(found)] if as_json else preview_lines(found):
        click.echo(printable(line))


@rules_group.command()
@click.argument("before", type=click.IntRange(1))
@click.argument("after", type=click.IntRange(1))
@_PROPERTY
@config_options
@_JSON
def diff(before: int, after: int, owner: str, as_json: bool, **where: Any) -> None:
    """Print what version AFTER says otherwise than version BEFORE.

    \b
    Example:
      tallymark rules diff 1 2 --property G-ABCDE12345
    """
    with calls_of(**where) as calls:
        found = calls.ask(
            "diff_rules", property_id=property_number(calls, owner),
            query={"from": before, "to": after},
        )["differences"]  # fmt: skip
    for change in found:
        click.echo(json.dumps(change) if as_json else printable(change_text(change)))
    if not found:
        click.echo("they say the same", err=True)


@rules_group.command()
@click.argument("version", type=click.IntRange(1))
@_PROPERTY
@_COMMENT
@_YES
@config_options
@_JSON
def rollback(
    version: int, owner: str, comment: str, yes: bool, as_json: bool, **where: Any
) -> None:
    """Save what VERSION said as a new version, after printing what changes.

    \b
    Example:
      tallymark rules rollback 1 --property G-ABCDE12345 --yes
    """
    with calls_of(**where) as calls:
        number = property_number(calls, owner)
        old = _version(calls, number, version)
        newest = calls.ask("get_rules", property_id=number)
        plan = _differences(newest["document"], old["document"])
        if _is_planned(plan, newest["version"], yes=yes, as_json=as_json):
            saved = calls.ask(
                "roll_back_rules", property_id=number, if_match=newest["version"],
                body={"version": version, "comment": comment},
            )  # fmt: skip
            _told(saved, as_json=as_json)


@rules_group.command()
@_PROPERTY
@config_options
@_JSON
def versions(owner: str, as_json: bool, **where: Any) -> None:
    """List the versions of a property's rules, the newest first.

    \b
    Example:
      tallymark rules versions --property G-ABCDE12345
    """
    with calls_of(**where) as calls:
        number = property_number(calls, owner)
        found = calls.ask("list_rules_versions", property_id=number)["versions"]
    for version in found:
        click.echo(json.dumps(version) if as_json else _line(version))


@rules_group.command()
@click.argument("hours", type=HourRange(), metavar="RANGE")
@_PROPERTY
@click.option(
    "--rules", default="in_force", show_default=True, metavar="in_force|latest|VERSION",
    help="Rules for its hits.",
)  # fmt: skip
@click.option("--publish", is_flag=True, help="Serve the outcome, if every check has passed.")
@_COMMENT
@config_options
@_JSON
def replay(
    hours: Span, *, owner: str, rules: str, publish: bool, comment: str, as_json: bool, **where: Any
) -> None:  # fmt: skip
    """Ask for a RANGE of past UTC hours of a property to be counted again, by rules of choice.

    Dagster computes it soon; `replays` tells what has become of it. Without --publish what
    reports show stays as it is until somebody has looked at the outcome.

    \b
    Example:
      tallymark rules replay 2026-01-31 --property G-ABCDE12345 --rules latest
    """
    body = {"from": hours.start_us, "to": hours.end_us, "rules": rules, "comment": comment}
    with calls_of(**where) as calls:
        asked = calls.ask(
            "replay_rules", property_id=property_number(calls, owner),
            body=body | {"publish": publish},
        )  # fmt: skip
    click.echo(json.dumps(asked) if as_json else _replay_line(asked))


@rules_group.command()
@_PROPERTY
@config_options
@_JSON
def replays(owner: str, as_json: bool, **where: Any) -> None:
    """List the replays of a property that were asked for, the newest first.

    \b
    Example:
      tallymark rules replays --property G-ABCDE12345
    """
    with calls_of(**where) as calls:
        number = property_number(calls, owner)
        found = calls.ask("list_replays", property_id=number)["replays"]
    for each in found:
        click.echo(json.dumps(each) if as_json else _replay_line(each))


def _replay_line(asked: dict[str, Any]) -> str:
    parts = (
        asked["name"], asked["state"], f"{hour_text(asked['from'])} to {hour_text(asked['to'])}",
        f"rules {asked['rules']}", asked["lineage"], f"by {asked['asked_by']}", asked["comment"],
        asked["reason"],
    )  # fmt: skip
    return printable("  ".join(part for part in parts if part))


def _version(calls: Calls, number: int, version: int | None) -> dict[str, Any]:
    if version is None:
        return calls.ask("get_rules", property_id=number)
    return calls.ask("get_rules_version", property_id=number, version=version)


def _differences(before: object, after: object) -> list[dict[str, object]]:
    from config_api.rules_documents import rules_differences  # noqa: PLC0415

    return rules_differences(before, after)


def _is_planned(plan: list[dict[str, object]], newest: int, *, yes: bool, as_json: bool) -> bool:
    """Say what would change; whether it is to be done."""
    for change in plan:
        click.echo(json.dumps(change) if as_json else printable(change_text(change)), err=yes)
    if not plan:
        click.echo(f"nothing changes: version {newest} says the same", err=True)
    elif not yes:
        click.echo("nothing was saved: --yes saves it", err=True)
    return yes and bool(plan)


def _told(saved: dict[str, Any], *, as_json: bool) -> None:
    click.echo(json.dumps(saved) if as_json else _line(saved))


def _line(version: dict[str, Any]) -> str:
    since = version["effective_at"]
    force = "since ever" if since is None else f"from {_instant(since)} on"
    parts = (
        f"version {version['version']}", force, f"saved {_instant(version['saved_at'])}",
        f"by {version['author']}", version["comment"],
    )  # fmt: skip
    return printable("  ".join(part for part in parts if part))


def _instant(us: int) -> str:
    return f"{datetime.fromtimestamp(us / 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
