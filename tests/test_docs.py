"""The commands in the documents are run as they stand, against a real small stack."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.configuration import configuration
from config_api import organisations
from config_api.names import account
from tests.e2e.stack import Site, Stack, running

COMMAND_SECONDS = 180
"""An upgrade starts a stream, a replay three processes one after the other."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(COMMAND_SECONDS + 20)]

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FOLDERS = (
    "tallymark", "stores", "collector", "beam_pipelines", "assets", "dagster_project",
    "report_api", "config_api", "cli", "deploy",
)  # fmt: skip
RUNS_UNTIL_STOPPED = ("tallymark up --demo",)
"""Commands that do not end; what they do is tested by the stack that runs for all the others."""


def commands() -> list[tuple[str, str, str]]:
    """(document, command, expected output) of every ``$`` line in a console block."""
    found = []
    for document in DOCUMENTS:
        blocks = re.findall(r"^```console\n(.*?)^```", document.read_text(), re.M | re.S)
        for block in blocks:
            for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
                found.append((document.name, command, output))
    return found


RUN = [entry for entry in commands() if not entry[1].startswith(RUNS_UNTIL_STOPPED)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running(tmp_path_factory.mktemp("documents"), "--flush-seconds=1") as stack:
        yield stack


@pytest.fixture(scope="module")
def site(stack) -> Site:
    return stack.create_property("Documented shop")


def account_of(stack: Stack) -> str:
    """The name of the account that a new stack begins with."""
    with configuration(stack.data) as opened, opened.database.reading() as connection:
        [first] = organisations.all_of(connection, None)
    return account(first["id"])


def as_here(command: str, stack: Stack, site: Site) -> str:
    """A command with the addresses, ids and secrets of the stack that runs here."""
    for written, here in (
        ("http://127.0.0.1:8000", stack.collector_url),
        ("http://127.0.0.1:8001", stack.report_url),
        ("http://127.0.0.1:8002", stack.config_url),
        ("http://127.0.0.1:3000", stack.dagster_url),
        ("G-ABCDE12345", site.measurement_id),
        ("READ_KEY", site.read_key),
        ("accounts/ACCOUNT", account_of(stack)),
        ("OWNER_KEY", (stack.data / "rules" / "owner_key").read_text().strip()),
        ("SECRET", site.api_secret),
        ("/properties/PROPERTY", f"/properties/{site.property_id}"),
        ("--property PROPERTY", f"--property {site.property_id}"),
        ("--data data", f"--data {stack.data}"),
    ):
        command = command.replace(written, here)
    return command


@pytest.mark.parametrize(
    ("document", "command", "output"), RUN, ids=[f"{entry[0]}: {entry[1][:60]}" for entry in RUN]
)
def test_a_documented_command_works(document, command, output, stack, site):
    done = subprocess.run(
        ["bash", "-c", as_here(command, stack, site)],
        check=False,
        capture_output=True,
        text=True,
        cwd=stack.folder,
        timeout=COMMAND_SECONDS,
        env=stack.environment() | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
    )
    assert done.returncode == 0, f"{document}: {command}\n{done.stdout}{done.stderr}"
    if command.startswith("curl"):
        assert '"error"' not in done.stdout
    if output:
        assert done.stdout == output


def test_the_documents_hold_commands():
    assert {document for document, _, _ in RUN} >= {
        "sites.md",
        "merchants.md",
        "operators.md",
        "data-engineers.md",
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_only_files_that_are_there(document):
    text = document.read_text()
    linked = re.findall(r"\]\((?!https?://)([^)#]+)", text)
    assert [link for link in linked if not (document.parent / link).exists()] == []
    named = re.findall(
        r"`((?:tallymark|stores|collector|beam_pipelines|assets|dagster_project|report_api|config_api|cli|deploy)/[\w/.]*)`",
        text,
    )
    assert [path for path in named if not (ROOT / path).exists()] == []
