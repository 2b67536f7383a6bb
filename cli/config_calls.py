"""Calls of the configuration: on the database of a data folder, or on a service elsewhere.

Both take and give the same documents, those of ``config_api.calls``.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

import click
import httpx
from pydantic import ValidationError

from cli.configuration import LocalConfiguration, configuration
from cli.data_folder import data_option
from cli.who import who
from config_api.access import Caller, Role, Scope
from config_api.calls import Asking, Call, Kind, Recorded, Request, drawn_wish_id
from config_api.checks import invalid
from config_api.endpoints import CALLS
from config_api.errors import ChangedMeanwhileError, ConfigurationError
from stores.wide_rows.port import WideRowsUnavailableError

TIMEOUT_SECONDS: Final = 120.0
_BY_NAME: Final = {call.name: call for call in CALLS}

Document = dict[str, Any]


class Calls(Protocol):
    """What a command asks of the configuration."""

    def ask(
        self,
        name: str,
        *,
        body: Document | None = None,
        query: Document | None = None,
        if_match: int | None = None,
        **ids: int,
    ) -> Document:
        """The answer of a call, by its name in the table.

        Raises:
            click.ClickException: when it is refused, with all that is wrong.
        """


class LocalCalls:
    """On the database itself: who may write the data folder may do everything."""

    def __init__(self, opened: LocalConfiguration) -> None:
        self._opened = opened

    def ask(
        self,
        name: str,
        *,
        body: Document | None = None,
        query: Document | None = None,
        if_match: int | None = None,
        **ids: int,
    ) -> Document:
        """See ``Calls``."""
        call = _BY_NAME[name]
        caller = Caller(actor=who(), scopes=frozenset(Scope), role=Role.OWNER)
        try:
            asked = Request(
                caller=caller,
                ids=ids,
                body=None if call.body is None else call.body.model_validate(body or {}),
                query=None if call.query is None else call.query.model_validate(query or {}),
                if_match=if_match,
            )
            reply = self._reply(call, asked)
        except ChangedMeanwhileError as error:
            raise _refused(str(error), changes=error.changes) from error
        except ValidationError as error:
            raise _refused(str(invalid(error, "request"))) from error
        except (ConfigurationError, WideRowsUnavailableError) as error:
            raise _refused(str(error)) from error
        document: Document = reply.answer.model_dump(mode="json")
        return document

    def _reply(self, call: Call, asked: Request) -> Any:
        if call.kind is Kind.WRITE:
            prepared = replace(asked, preparation=call.prepare(self._opened.database, asked))
            return self._opened.write(lambda work: call.function(work, prepared))
        if call.kind is Kind.ASK:
            wish_id = drawn_wish_id(self._opened.database.now_us())
            wishes = self._opened.wishes
            return self._opened.write(
                lambda work: call.function(
                    Asking(transaction=work, wishes=wishes, wish_id=wish_id), asked
                )
            )
        if call.kind is Kind.LOOK:
            return call.function(self._opened.wishes, asked)
        with self._opened.database.reading() as connection:
            if call.kind is Kind.PREVIEW:
                previews = self._opened.previews
                return call.function(Recorded(connection=connection, previews=previews), asked)
            return call.function(connection, asked)


class RemoteCalls:
    """On a service, with a key of one's own."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(
        self,
        name: str,
        *,
        body: Document | None = None,
        query: Document | None = None,
        if_match: int | None = None,
        **ids: int,
    ) -> Document:
        """See ``Calls``."""
        call = _BY_NAME[name]
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        given = {key: value for key, value in (query or {}).items() if value is not None}
        try:
            answer = self._client.request(
                call.method,
                call.path.format(**ids),
                json=None if call.body is None else body or {},
                params=given,
                headers=headers,
            )
            document: Document = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise click.ClickException(f"--config-url {self._client.base_url}: {error}") from error
        if answer.is_success:
            return document
        error_body = document.get("error", {})
        problems = "".join(
            f"\n{each['where']}: got {each['got']!r}; allowed: {each['allowed']}"
            for each in error_body.get("problems", [])
        )
        message = error_body.get("message", f"answered {answer.status_code}")
        raise _refused(f"{message}{problems}", changes=error_body.get("changes") or [])


def config_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--data``, ``--config-url`` and ``--key-file``."""
    for option in (
        click.option(
            "--key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="File that holds the key for --config-url.",
        ),
        click.option(
            "--config-url", metavar="URL",
            help="A Data Configuration service  [default: the database in --data]",
        ),
        data_option,
    ):  # fmt: skip
        command = option(command)
    return command


@contextmanager
def calls_of(data: Path, config_url: str | None, key_file: Path | None) -> Iterator[Calls]:
    """What the options of ``config_options`` name.

    Raises:
        click.ClickException: when there is nothing of that name.
    """
    if config_url is None:
        if not data.exists():
            raise click.ClickException(f"--data {data}: expected a data folder, there is none")
        with configuration(data) as opened:
            yield LocalCalls(opened)
        return
    if key_file is None:
        raise click.UsageError("--config-url needs --key-file, with a key of scope configure")
    headers = {"Authorization": f"Bearer {key_file.read_text().strip()}"}
    try:
        client = httpx.Client(base_url=config_url, headers=headers, timeout=TIMEOUT_SECONDS)
    except (httpx.InvalidURL, ValueError) as error:
        raise click.UsageError(f"--config-url: {error}") from error
    with client:
        yield RemoteCalls(client)


def all_properties(calls: Calls) -> Iterator[Document]:
    """The properties that the key may see, page by page."""
    token: int | None = 0
    while token is not None:
        page = calls.ask("list_properties", query={"page_size": 1_000, "page_token": token})
        yield from page["properties"]
        token = page["next_page_token"]


def property_number(calls: Calls, text: str) -> int:
    """The number of the property of a number or a measurement id.

    Raises:
        click.ClickException: when none is called so.
    """
    return int(resource_named(calls, text).split("/")[1])


def resource_named(calls: Calls, text: str) -> str:
    """What a number, a measurement id, or a name such as ``accounts/ID`` stands for.

    Raises:
        click.ClickException: when none is called so.
    """
    if text.isascii() and text.isdecimal():
        return f"properties/{text}"
    if not text.startswith("G-"):
        return text
    for owner in all_properties(calls):
        number = int(owner["name"].split("/")[1])
        for stream in calls.ask("list_data_streams", property_id=number)["data_streams"]:
            if stream["measurement_id"] == text:
                return str(stream["name"])
    raise click.ClickException(f"expected a property or a data stream, none has the id {text!r}")


def _refused(message: str, changes: list[dict[str, object]] | None = None) -> click.ClickException:
    told = "".join(f"\n  {change_text(each)}" for each in changes or [])
    return click.ClickException(message + told)


def change_text(change: dict[str, object]) -> str:
    """A difference between two documents, on a line."""
    before, after = change["from"], change["to"]
    if before is None:
        return f"+ {change['where']}: {_value(after)}"
    if after is None:
        return f"- {change['where']}: {_value(before)}"
    return f"~ {change['where']}: {_value(before)} → {_value(after)}"


def _value(value: object) -> str:

    return json.dumps(value, ensure_ascii=False)
