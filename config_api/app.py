"""The configuration service: the table of calls as routes, its documentation, its health."""

import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import orjson
from flask import Flask, Response, current_app, g, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException

from config_api import answers, checks, idempotency, keys, names
from config_api.access import NEEDS, Caller
from config_api.authorisation import (
    Subject,
    caller_of,
    check_role,
    check_scope,
    subject_named,
    subject_of_ids,
)
from config_api.calls import (
    About,
    Asking,
    Call,
    Kind,
    Recorded,
    Reply,
    Request,
    drawn_wish_id,
)
from config_api.database import Database
from config_api.endpoints import CALLS
from config_api.errors import (
    DatabaseUnavailableError,
    InvalidConfigurationError,
    NotFoundError,
)
from config_api.metrics import ConfigMetrics
from config_api.pages import pages
from config_api.parts import Parts, parts_here
from config_api.transaction import Transaction
from stores.replay_wishes import ReplayWishes
from stores.rule_previews import RulePreviews
from tallymark.problems import Problem

MAX_BODY_BYTES: Final = 262_144
USE_NOTED_SECONDS: Final = 60
"""When a key was last used is kept so exactly, and no more often written."""
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_ETAG: Final = re.compile(r'"([1-9][0-9]{0,8})"')
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~]{1,200}")


def create_app(
    *,
    database: Database,
    publish: Callable[[], None],
    previews: RulePreviews,
    wishes: ReplayWishes,
    followers: int = 32,
) -> Flask:
    """The WSGI application.

    Args:
        database: Migrated.
        publish: Called after each commit, before it is answered: makes it known to workers.
        previews: Over the archive, for rules that are tried on it.
        wishes: For replays, where those who compute look for them.
        followers: How many may wait for changes at a time; more are answered at once.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    waiting = threading.BoundedSemaphore(followers)
    app.extensions["tallymark"] = Parts(
        database, publish, previews, wishes, ConfigMetrics(), waiting
    )
    app.register_blueprint(pages)
    for call in CALLS:
        rule = re.sub(r"\{(\w+)\}", r"<\1>", call.path)
        app.add_url_rule(rule, call.name, _view(call), methods=[call.method])
    for error in answers.REFUSED:
        app.register_error_handler(error, answers.refusal)
    app.register_error_handler(HTTPException, answers.http_refusal)
    app.before_request(_begin)
    app.after_request(_end)
    return app


def _view(call: Call) -> Callable[..., Response]:
    def answer(**ids: str) -> Response:
        caller = _caller()
        check_scope(call.name, caller)
        asked = Request(
            caller=caller,
            ids={name: names.number_in(name, text) for name, text in ids.items()},
            body=_body(call),
            query=_query(call),
            if_match=_if_match(call),
        )
        return _ANSWERS[call.kind](call, asked)

    return answer


def _read(call: Call, asked: Request) -> Response:
    with parts_here().database.reading() as connection:
        _authorise(connection, call, asked)
        return _response(call, call.function(connection, asked))


def _write(call: Call, asked: Request) -> Response:
    key = _idempotency_key(call)
    fingerprint = idempotency.fingerprint(request.method, request.path, request.get_data())
    parts = parts_here()
    with parts.database.reading() as connection:
        _authorise(connection, call, asked)
    asked = replace(asked, preparation=call.prepare(parts.database, asked))

    def work(transaction: Any) -> tuple[dict[str, Any], Reply | None]:
        _authorise(transaction.connection, call, asked)
        before = idempotency.answered(transaction, key, fingerprint) if key else None
        if before is not None:
            return before, None
        reply = call.function(transaction, asked)
        document = _document(reply)
        if key:
            idempotency.remember(transaction, key, fingerprint, document)
        return document, reply

    document, reply = parts.database.write(asked.caller.actor, work)
    try:
        parts.publish()
    except (DatabaseUnavailableError, OSError) as error:  # it is saved, and published later
        current_app.logger.warning("the properties are not published: %s", error)
    response = answers.document(document, call.status)
    if reply is None:
        response.headers["Idempotent-Replayed"] = "true"
    elif reply.etag is not None:
        response.headers["ETag"] = f'"{reply.etag}"'
    return response


def _follow(call: Call, asked: Request) -> Response:
    parts = parts_here()
    with parts.database.reading() as connection:
        _authorise(connection, call, asked)
    has_place = parts.followers.acquire(blocking=False)
    try:
        if not has_place and hasattr(asked.query, "wait"):
            query = asked.query.model_copy(update={"wait": 0.0})
            asked = Request(caller=asked.caller, ids=asked.ids, body=asked.body, query=query)
        return _response(call, call.function(parts.database, asked))
    finally:
        if has_place:
            parts.followers.release()


def _preview(call: Call, asked: Request) -> Response:
    parts = parts_here()
    with parts.database.reading() as connection:
        _authorise(connection, call, asked)
        recorded = Recorded(connection=connection, previews=parts.previews)
        return _response(call, call.function(recorded, asked))


def _ask(call: Call, asked: Request) -> Response:
    parts = parts_here()
    wish_id = drawn_wish_id(parts.database.now_us())

    def ask(transaction: Transaction, request: Request) -> Reply:
        asking = Asking(transaction=transaction, wishes=parts.wishes, wish_id=wish_id)
        return call.function(asking, request)

    return _write(replace(call, function=ask), asked)


def _look(call: Call, asked: Request) -> Response:
    parts = parts_here()
    with parts.database.reading() as connection:
        _authorise(connection, call, asked)
    return _response(call, call.function(parts.wishes, asked))


_ANSWERS: Final = {
    Kind.READ: _read,
    Kind.WRITE: _write,
    Kind.FOLLOW: _follow,
    Kind.PREVIEW: _preview,
    Kind.ASK: _ask,
    Kind.LOOK: _look,
}


def _authorise(connection: Any, call: Call, asked: Request) -> None:
    if call.about is About.VISIBLE:
        return
    if call.about is About.PARENT:
        parent = (asked.body or asked.query).parent
        resource = parent or "deployment"
        subject = _parent(connection, parent)
    else:
        subject, resource = subject_of_ids(connection, asked.ids)
    check_role(NEEDS[call.name].role, asked.caller, subject, resource)


def _parent(connection: Any, parent: str | None) -> Subject:
    try:
        return subject_named(connection, parent)
    except NotFoundError as error:
        raise NotFoundError(parent or "") from error  # told as if it were another's


def _caller() -> Caller:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    secret = token.strip() if scheme.lower() == "bearer" else ""
    database = parts_here().database
    now_us = database.now_us()
    with database.reading() as connection:
        caller, row = caller_of(connection, secret, now_us)
    if now_us - (row["last_used_at"] or 0) > USE_NOTED_SECONDS * 1_000_000:
        # It is no reason to refuse what was asked, nor to let those wait who only read.
        with suppress(DatabaseUnavailableError):
            database.write(caller.actor, lambda work: keys.note_use(work, row["id"]), waits=False)
    return caller


def _body(call: Call) -> Any:
    if call.body is None:
        return None
    try:
        return call.body.model_validate(orjson.loads(request.get_data()))
    except orjson.JSONDecodeError as error:
        problem = Problem(where="body", got=str(error), allowed="a JSON object")
        raise InvalidConfigurationError([problem]) from error
    except ValidationError as error:
        raise checks.invalid(error, "body") from error


def _query(call: Call) -> BaseModel | None:
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    unknown = list(request.args) if call.query is None else []
    problems = [
        Problem(where=name, got=request.args.getlist(name), allowed="one value")
        for name in repeated
    ]
    problems += [
        Problem(where=name, got=request.args[name], allowed="nothing of this name")
        for name in unknown
    ]
    if problems:
        raise InvalidConfigurationError(problems)
    if call.query is None:
        return None
    try:
        return call.query.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise checks.invalid(error, "query") from error


def _if_match(call: Call) -> int | None:
    text = request.headers.get("If-Match", "").strip() if call.has_etag else ""
    if text in ("", "*"):
        return None
    found = _ETAG.fullmatch(text)
    if found is None:
        allowed = 'the ETag of an answer, such as "3", or *'
        raise InvalidConfigurationError([Problem(where="If-Match", got=text, allowed=allowed)])
    return int(found[1])


def _idempotency_key(call: Call) -> str:
    key = request.headers.get("Idempotency-Key") if call.method == "POST" else None
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        problem = Problem(
            where="Idempotency-Key", got=key, allowed="1 to 200 printable ASCII characters"
        )
        raise InvalidConfigurationError([problem])
    return key or ""


def _document(reply: Reply) -> dict[str, Any]:
    return reply.answer.model_dump(mode="json")


def _response(call: Call, reply: Reply) -> Response:
    response = answers.document(_document(reply), call.status)
    if reply.etag is not None:
        response.headers["ETag"] = f'"{reply.etag}"'
    return response


def _begin() -> None:
    g.began = time.perf_counter()


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    call = (request.endpoint or "unknown").rpartition(".")[2]
    parts_here().metrics.answered(call, response.status_code, seconds)
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
