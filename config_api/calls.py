"""Calls: the table of all that this service can be asked, each a row with its function."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection

from config_api.access import Caller
from config_api.database import Database
from config_api.models import Nothing
from config_api.transaction import Transaction
from stores.replay_wishes import ReplayWishes
from stores.rule_previews import RulePreviews


class Kind(StrEnum):
    """What a call does with the database, and so what its function is given to work with."""

    READ = "read"  # a connection that sees one moment
    WRITE = "write"  # a transaction
    FOLLOW = "follow"  # the database: it waits between looks
    PREVIEW = "preview"  # what is recorded, and a connection that sees one moment
    ASK = "ask"  # a transaction, and the wishes for replays
    LOOK = "look"  # the wishes for replays


class About(StrEnum):
    """Where a call says what it is about, which is what the caller has to have a role in."""

    PATH = "path"  # in the numbers of its path; without any it is the deployment
    PARENT = "parent"  # in ``parent`` of what is sent or asked; without it the deployment
    VISIBLE = "visible"  # whatever the caller may see; the function looks to it


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request of somebody who may make it.

    Attributes:
        caller: Who.
        ids: The numbers in the path.
        body: What was sent, as the model of the call; ``None`` where it takes nothing.
        query: What the query string says, likewise.
        if_match: The version in ``If-Match``; ``None`` for any.
        preparation: What ``Call.prepare`` has given.
    """

    caller: Caller
    ids: Mapping[str, int]
    body: Any = None
    query: Any = None
    if_match: int | None = None
    preparation: int | None = None


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a preview goes by.

    Attributes:
        connection: To the configuration.
        previews: Over the archive of recorded requests.
    """

    connection: Connection
    previews: RulePreviews


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What a wish for a replay is written with.

    Attributes:
        transaction: In which it is noted who asked; done again it writes the same wish.
        wishes: Where wishes are.
        wish_id: Drawn for it.
    """

    transaction: Transaction
    wishes: ReplayWishes
    wish_id: int


def drawn_wish_id(now_us: int) -> int:
    """A number of 18 digits that ascends with time and that nobody else draws."""
    return now_us // 1_000 * 100_000 + secrets.randbelow(100_000)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is answered.

    Attributes:
        answer: The document.
        etag: Version of what is answered, for ``If-Match``.
    """

    answer: BaseModel
    etag: int | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """A row of the table.

    Attributes:
        name: Stands in ``access.NEEDS``.
        method: HTTP's.
        path: With the names of its numbers in braces.
        summary: For the documentation.
        kind: What it does with the database.
        function: What does it: it takes what ``kind`` says and the ``Request``.
        prepare: Of a call that writes: does what takes long before its transaction, if it may.
        answer: Model of the answer.
        body: Model of what is sent.
        query: Model of the query string.
        status: Of an answer.
        has_etag: Whether it understands ``If-Match``.
    """

    name: str
    method: str
    path: str
    summary: str
    kind: Kind
    function: Callable[[Any, Request], Reply]
    prepare: Callable[[Database, Request], int | None] = lambda _database, _request: None
    answer: type[BaseModel] = Nothing
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    about: About = About.PATH
    status: int = 200
    has_etag: bool = False
