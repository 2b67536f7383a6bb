"""Previews over the archive: the hours asked for, one property, a share of clients of very many."""

from pathlib import Path
from typing import Any

import pytest

from stores.rule_previews import RulePreviews, TooLargeError
from tallymark.replays import Span
from tallymark.rule_documents import parse_rules
from tallymark.slots import HOUR_US
from tests.stores.passport_world import HOUR, PassportWorld

DRAFT = parse_rules({"filters": [{"name": "tea", "when": {"field": "path", "is": "/tea"}}]})
MINUTE_US = 60_000_000


@pytest.fixture
def world(tmp_path: Path) -> PassportWorld:
    return PassportWorld(tmp_path)


def by(world: PassportWorld, client: int, at_us: int, number: int = 0) -> dict[str, Any]:
    """A view by one of many clients."""
    request = world.view(at_us, number)
    return request | {"query": request["query"].replace("cid=1.1", f"cid={client}.1")}


def previewed(world: PassportWorld, hours: Span, **limits: int) -> dict[str, Any]:
    return RulePreviews(world.objects, **limits).preview(world.mine.created, DRAFT, hours)


def test_what_was_received_in_the_hours_of_the_property_alone_is_looked_at(
    world: PassportWorld,
) -> None:
    theirs = world.view(HOUR + 5, 9)
    world.archive(
        by(world, 1, HOUR),
        by(world, 2, HOUR + HOUR_US - 1),
        by(world, 3, HOUR + HOUR_US),
        theirs | {"query": theirs["query"].replace(world.my_id, world.their_id)},
    )

    found = previewed(world, Span(HOUR, HOUR + HOUR_US))

    assert (found["from"], found["to"]) == ("2026-01-01T00Z", "2026-01-01T01Z")
    assert (found["requests_read"], found["hits"], found["changed_hits"]) == (3, 2, 2)
    assert found["metrics"]["users"] == {"before": 2, "after": 0, "change": -2}
    assert (found["sampled"], found["share_of_clients"]) == (False, 1.0)


def test_nothing_recorded_is_told_as_nothing(world: PassportWorld) -> None:
    found = previewed(world, Span(HOUR, HOUR + 24 * HOUR_US))

    assert (found["requests_read"], found["hits"], found["sampled"]) == (0, 0, False)


def test_of_very_much_whole_clients_are_drawn_and_it_is_said(world: PassportWorld) -> None:
    world.archive(
        *(
            by(world, client, HOUR + visit * 20 * MINUTE_US + client, client)
            for client in range(400)
            for visit in range(2)
        )
    )

    found = previewed(world, Span(HOUR, HOUR + HOUR_US), most_previewed=200)

    assert found["sampled"]
    assert found["share_of_clients"] in (0.25, 0.125)
    assert 50 <= found["hits"] <= 200
    # Whoever is drawn is there with both visits.
    assert found["hits"] == 2 * found["metrics"]["users"]["before"]


def test_a_range_that_holds_too_much_is_refused_with_what_to_do(world: PassportWorld) -> None:
    world.archive(by(world, 1, HOUR), by(world, 2, HOUR + 1))

    with pytest.raises(TooLargeError, match=r"hold 2 requests, .* 1 can be read .*choose fewer"):
        previewed(world, Span(HOUR, HOUR + HOUR_US), most_read=1)
