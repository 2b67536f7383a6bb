"""Endpoints of rules: their versions, what differs between them, and the way back."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from config_api import names, rules_versions
from config_api.calls import Call, Kind, Recorded, Reply, Request
from config_api.errors import InvalidConfigurationError
from config_api.models import Difference, ProblemAnswer
from config_api.property_rows import owner_of
from config_api.rules_documents import checked_rules
from config_api.rules_models import (
    DiffAsked,
    DifferencesAnswer,
    RollbackSent,
    RulesAnswer,
    RulesPreviewAnswer,
    RulesPreviewed,
    RulesSent,
    RulesTried,
    ValidationAnswer,
    VersionAnswer,
    VersionsAnswer,
)
from config_api.transaction import Transaction
from stores.rule_previews import TooLargeError
from tallymark.problems import Problem
from tallymark.replays import Span
from tallymark.rule_documents import parse_rules
from tallymark.rule_documents.inheritance import StatedRules
from tallymark.slots import HOUR_US

MAX_PREVIEW_HOURS: Final = 24 * 31


def _get(connection: Connection, request: Request) -> Reply:
    return _reply(rules_versions.get(connection, request.ids["property_id"]))


def _put(transaction: Transaction, request: Request) -> Reply:
    sent: RulesSent = request.body
    return _reply(
        rules_versions.save(
            transaction,
            request.ids["property_id"],
            sent.document,
            comment=sent.comment,
            expected=request.if_match,
        )
    )


def _list_versions(connection: Connection, request: Request) -> Reply:
    rows = rules_versions.all_of(connection, request.ids["property_id"])
    return Reply(answer=VersionsAnswer(versions=[VersionAnswer(**_facts(row)) for row in rows]))


def _get_version(connection: Connection, request: Request) -> Reply:
    ids = request.ids
    return _reply(rules_versions.get(connection, ids["property_id"], ids["version"]))


def _diff(connection: Connection, request: Request) -> Reply:
    asked: DiffAsked = request.query
    found = rules_versions.differences(
        connection, request.ids["property_id"], asked.before, asked.after
    )
    return Reply(answer=DifferencesAnswer(differences=[difference(each) for each in found]))


def _roll_back(transaction: Transaction, request: Request) -> Reply:
    sent: RollbackSent = request.body
    return _reply(
        rules_versions.roll_back(
            transaction,
            request.ids["property_id"],
            sent.version,
            comment=sent.comment,
            expected=request.if_match,
        )
    )


def _validate(connection: Connection, request: Request) -> Reply:
    sent: RulesTried = request.body
    defaults = rules_versions.defaults_of(connection, request.ids["property_id"])
    _, problems = checked_rules(sent.document, "", defaults=defaults)
    told = [problem_answer(problem) for problem in problems]
    return Reply(answer=ValidationAnswer(is_valid=not told, problems=told))


def _preview(recorded: Recorded, request: Request) -> Reply:
    sent: RulesPreviewed = request.body
    defaults = rules_versions.defaults_of(recorded.connection, request.ids["property_id"])
    rules, problems = checked_rules(sent.document, "document", defaults=defaults)
    hours = Span(sent.start // HOUR_US * HOUR_US, -(-sent.end // HOUR_US) * HOUR_US)
    if not 0 < len(hours) <= MAX_PREVIEW_HOURS:
        allowed = f"an instant after from, by {MAX_PREVIEW_HOURS} hours at most"
        problems.append(Problem(where="to", got=sent.end, allowed=allowed))
    if rules is None or problems:
        raise InvalidConfigurationError(problems)
    owner = owner_of(recorded.connection, request.ids["property_id"])
    try:
        found = recorded.previews.preview(owner, parse_rules(rules.whole), hours)
    except TooLargeError as error:
        raise InvalidConfigurationError(
            [Problem(where="from", got=sent.start, allowed=str(error))]
        ) from error
    return Reply(answer=RulesPreviewAnswer(**found))


def difference(each: Mapping[str, Any]) -> Difference:
    """What differs at a place, for an answer."""
    return Difference.model_validate(each)


def problem_answer(problem: Problem) -> ProblemAnswer:
    """What is wrong, for an answer."""
    return ProblemAnswer(where=problem.where, got=problem.got, allowed=problem.allowed)


def _reply(row: rules_versions.Row) -> Reply:
    rules = StatedRules(said=row["said"], whole=row["document"])
    answer = RulesAnswer(
        **_facts(row), document=rules.whole, said=rules.said, inherited=rules.inherited
    )
    return Reply(answer=answer, etag=row["number"])


def _facts(row: rules_versions.Row) -> dict[str, Any]:
    return {
        "name": names.rules_version(row["property_id"], row["number"]),
        "version": row["number"],
        "saved_at": row["saved_at"],
        "effective_at": row["effective_at"],
        "author": row["author"],
        "comment": row["comment"],
    }


_RULES: Final = "/v1/properties/{property_id}/rules"

CALLS: Final = (
    Call(
        name="get_rules", method="GET", path=_RULES, kind=Kind.READ, function=_get,
        summary="The newest version, whether it is in force yet or not", answer=RulesAnswer,
    ),
    Call(
        name="put_rules", method="PUT", path=_RULES, kind=Kind.WRITE, function=_put,
        summary="Save a version; If-Match says which one it was made from", body=RulesSent,
        answer=RulesAnswer, has_etag=True,
    ),
    Call(
        name="list_rules_versions", method="GET", path=f"{_RULES}/versions", kind=Kind.READ,
        function=_list_versions, summary="Every version, the newest first",
        answer=VersionsAnswer,
    ),
    Call(
        name="get_rules_version", method="GET", path=f"{_RULES}/versions/{{version}}",
        kind=Kind.READ, function=_get_version, summary="A version", answer=RulesAnswer,
    ),
    Call(
        name="diff_rules", method="GET", path=f"{_RULES}:diff", kind=Kind.READ, function=_diff,
        summary="What a version says otherwise than another", query=DiffAsked,
        answer=DifferencesAnswer,
    ),
    Call(
        name="roll_back_rules", method="POST", path=f"{_RULES}:rollback", kind=Kind.WRITE,
        function=_roll_back, summary="A new version that says what an old one said",
        body=RollbackSent, answer=RulesAnswer, has_etag=True,
    ),
    Call(
        name="validate_rules", method="POST", path=f"{_RULES}:validate", kind=Kind.READ,
        function=_validate, summary="All that is wrong with rules; nothing is saved",
        body=RulesTried, answer=ValidationAnswer,
    ),
    Call(
        name="preview_rules", method="POST", path=f"{_RULES}:preview", kind=Kind.PREVIEW,
        function=_preview, summary="What reports would have shown under rules that are not saved",
        body=RulesPreviewed, answer=RulesPreviewAnswer,
    ),
)  # fmt: skip
