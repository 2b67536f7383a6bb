"""Endpoints of replays: hours of a property are asked to be computed again, by others than this."""

from typing import Final

from config_api import checks, names, rules_versions
from config_api.calls import Asking, Call, Kind, Reply, Request
from config_api.errors import NotFoundError
from config_api.properties import get as get_property
from config_api.replay_models import ReplayAnswer, ReplaysAnswer, ReplaySent
from config_api.transaction import Transaction
from stores.replay_wishes import ReplayWishes
from tallymark.problems import Problem
from tallymark.replay_wishes import ReplayWish
from tallymark.replays import Span
from tallymark.rules_choice import AS_RECEIVED
from tallymark.slots import HOUR_US

MAX_HOURS: Final = 24 * 366
_IN_FORCE: Final = "in_force"


def _ask(asking: Asking, request: Request) -> Reply:
    sent: ReplaySent = request.body
    transaction, property_id = asking.transaction, request.ids["property_id"]
    hours = Span(sent.start // HOUR_US * HOUR_US, -(-sent.end // HOUR_US) * HOUR_US)
    problems = checks.comment_problems(sent.comment)
    if not 0 < len(hours) <= MAX_HOURS or hours.end_us > transaction.now_us + HOUR_US:
        allowed = f"an instant after from, by {MAX_HOURS} hours at most, that is past"
        problems.append(Problem(where="to", got=sent.end, allowed=allowed))
    checks.refuse_if(problems)
    wish = ReplayWish(
        wish_id=asking.wish_id,
        property_id=property_id,
        start_us=hours.start_us,
        end_us=hours.end_us,
        asked_at=transaction.now_us,
        rules=_chosen(transaction, property_id, sent.rules),
        who=transaction.actor,
        why=sent.comment,
        publishes=sent.publish,
    )
    _note(transaction, wish)
    return Reply(answer=_answer(asking.wishes.ask(wish)))


def _chosen(transaction: Transaction, property_id: int, rules: str) -> str:
    """``latest`` is what is the newest now, whatever is saved until it is computed."""
    if rules == _IN_FORCE:
        return AS_RECEIVED
    number = None if rules == "latest" else int(rules)
    try:
        return str(rules_versions.get(transaction.connection, property_id, number)["number"])
    except NotFoundError:
        newest = rules_versions.get(transaction.connection, property_id)["number"]
        checks.refuse_if([Problem(where="rules", got=rules, allowed=f"a version: 1 to {newest}")])
        raise


def _note(transaction: Transaction, wish: ReplayWish) -> None:
    transaction.note(
        "rules.replay",
        names.replay(wish.property_id, wish.wish_id),
        organisation_id=get_property(transaction.connection, wish.property_id)["organisation_id"],
        property_id=wish.property_id,
        details={"from": wish.start_us, "to": wish.end_us, "rules": wish.rules,
                 "publish": wish.publishes, "comment": wish.why},
    )  # fmt: skip


def _list(wishes: ReplayWishes, request: Request) -> Reply:
    found = wishes.of_property(request.ids["property_id"])
    return Reply(answer=ReplaysAnswer(replays=[_answer(wish) for wish in found]))


def _get(wishes: ReplayWishes, request: Request) -> Reply:
    ids = request.ids
    found = wishes.get(ids["property_id"], ids["replay_id"])
    if found is None:
        raise NotFoundError(names.replay(ids["property_id"], ids["replay_id"]))
    return Reply(answer=_answer(found))


def _answer(wish: ReplayWish) -> ReplayAnswer:
    facts = {
        "name": names.replay(wish.property_id, wish.wish_id),
        "state": wish.state,
        "reason": wish.reason,
        "from": wish.start_us,
        "to": wish.end_us,
        "rules": _IN_FORCE if wish.rules == AS_RECEIVED else wish.rules,
        "comment": wish.why,
        "publish": wish.publishes,
        "asked_by": wish.who,
        "asked_at": wish.asked_at,
        "run": wish.run_id,
        "lineage": wish.lineage,
    }
    return ReplayAnswer.model_validate(facts)


_PROPERTY: Final = "/v1/properties/{property_id}"

CALLS: Final = (
    Call(
        name="replay_rules", method="POST", path=f"{_PROPERTY}/rules:replay", kind=Kind.ASK,
        function=_ask, summary="Ask for past hours to be counted again, by rules of choice",
        body=ReplaySent, answer=ReplayAnswer,
    ),
    Call(
        name="list_replays", method="GET", path=f"{_PROPERTY}/replays", kind=Kind.LOOK,
        function=_list, summary="Replays that were asked for, the newest first",
        answer=ReplaysAnswer,
    ),
    Call(
        name="get_replay", method="GET", path=f"{_PROPERTY}/replays/{{replay_id}}",
        kind=Kind.LOOK, function=_get, summary="What has become of a replay",
        answer=ReplayAnswer,
    ),
)  # fmt: skip
