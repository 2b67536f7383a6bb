"""Passports of hits in an archive, held against the cells that counting them wrote."""

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import polars as pl
import pyarrow.parquet as pq
import pytest

from cli.passport_text import passport_lines
from stores.archive.damage import ArchiveDamageError
from stores.archive.found_requests import find_request
from stores.passports import HitNotFoundError, Passports
from tallymark import passports as domain
from tallymark.dead_letters import REASONS
from tallymark.hit_names import HitName
from tallymark.requests import REQUEST_SCHEMA
from tallymark.rollups import ROLLUPS
from tallymark.slots import HOUR_US, MINUTE_US
from tests.stores.passport_world import HOUR, NOW, PassportWorld, request_id

AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
)
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
OLD_MS = 73 * 3_600_000


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> PassportWorld:
    return PassportWorld(tmp_path)


def of(world: PassportWorld, name: str, owner: str = "") -> dict[str, Any]:
    return world.passports.passport(
        HitName.parse(name), world.rules.by_measurement_id(owner) if owner else None
    )


def test_a_hit_that_counts_names_the_rows_that_counting_wrote(world: PassportWorld) -> None:
    views = [world.view(HOUR + minute * MINUTE_US, minute) for minute in (1, 2)]
    world.archive(*views)
    world.count(*views)
    passport = of(world, views[1]["request_id"] + "-0000")
    assert passport["request"]["query"] == views[1]["query"]
    assert passport["request"]["archived_in"] == "2026-01-01T00Z"
    [hit] = passport["hits"]
    assert (hit["decoded"]["path"], hit["counts"]) == ("/tea", True)
    assert hit["why"] == "it counts, by version 1 of its property's rules"
    cells = {cell["rollup"]: cell for cell in hit["cells"]}
    assert list(cells) == [rollup.name for rollup in ROLLUPS if not rollup.within]
    expected = {
        "totals": ([], {"events": 2, "views": 2, "sessions": 1}),
        "pages": (["x.example", "/tea"], {"events": 2, "entrances": 1}),
        "events": (["page_view"], {"events": 2, "key_events": 0}),
        "minutes": (["02"], {"events": 1, "views": 1}),
    }
    for rollup, (keys, numbers) in expected.items():
        cell = cells[rollup]
        assert (cell["keys"], cell["is_stored"], cell["holds_client"]) == (keys, True, True)
        assert numbers.items() <= cell["numbers"].items()
        key = cell["row_key"].encode()
        assert world.rows.read_rows([key], ("n",)).height == 1


def test_a_row_that_is_not_stored_is_said_not_to_be(world: PassportWorld) -> None:
    view = world.view(HOUR)
    world.archive(view)
    world.count(world.view(HOUR, query=view["query"].replace("tea", "other").replace("1.1", "2.2")))
    cells = {cell["rollup"]: cell for cell in of(world, view["request_id"])["hits"][0]["cells"]}
    assert (cells["pages"]["is_stored"], cells["pages"]["numbers"]) == (False, None)
    assert (cells["totals"]["is_stored"], cells["totals"]["holds_client"]) == (True, False)


@pytest.mark.parametrize(
    ("changes", "excluded_by", "why"),
    [
        ({"user_agent": BOT}, "bot", "its user agent is that of a crawler"),
        ({"path": "/collect", "query": f"v=1&tid=ID&cid=1&t=pageview&qt={OLD_MS}"}, "too_old",
         "more than 72 hours"),
    ],
)  # fmt: skip
def test_an_excluded_hit_counts_in_no_cell_and_says_why(
    world: PassportWorld, changes: dict[str, Any], excluded_by: str, why: str
) -> None:
    view = world.view(HOUR) | changes
    view["query"] = view["query"].replace("=ID&", f"={world.my_id}&")
    world.archive(view)
    [hit] = of(world, view["request_id"])["hits"]
    assert (hit["excluded_by"], hit["counts"], hit["cells"]) == (excluded_by, False, [])
    assert why in hit["why"]


@pytest.mark.parametrize(
    ("lineage", "counts", "why"),
    [("live-1", False, "once the hour of its event is sealed"), ("gen-1", True, "is a replay")],
)
def test_a_late_hit_counts_in_a_replay_alone(
    world: PassportWorld, lineage: str, counts: bool, why: str
) -> None:
    query = f"v=1&tid={world.my_id}&cid=1&t=pageview&qt={90 * 60_000}"
    view = world.view(HOUR + 2 * HOUR_US, path="/collect", query=query)
    world.archive(view)
    if lineage != "live-1":
        world.serve(lineage)
        world.count(view, lineage=lineage)
    [hit] = of(world, view["request_id"])["hits"]
    assert (hit["is_late"], hit["counts"], hit["lineage"]) == (True, counts, lineage)
    assert "received 1 h 30 min after it happened" in hit["why"]
    assert why in hit["why"]
    assert {cell["slot_start"] for cell in hit["cells"]} == {HOUR}
    assert {cell["lineage"] for cell in hit["cells"]} == {lineage}
    assert {cell["is_stored"] for cell in hit["cells"]} == {counts}


MP = {"path": "/mp/collect", "secret_verdict": "valid", "query": "measurement_id=ID&api_secret=*"}
UNCOUNTED = {
    "unknown_path": {"path": "/nowhere"},
    "not_utf8": {"body": "/v8=", "body_encoding": "base64"},
    "too_many_lines": {"body": "\n".join(["en=a"] * 100_000)},
    "too_many_events": MP
    | {"body": '{"client_id":"1","events":[' + '{"name":"a"},' * 999 + "{}]}"},
    "no_json": MP | {"body": "{"},
    "wrong_shape": MP | {"body": "[]"},
    "invalid_secret": MP | {"secret_verdict": "invalid", "body": "{}"},
    "missing_measurement_id": {"query": "v=2&cid=1&en=a"},
    "missing_client_id": {"query": "v=2&tid=ID&en=a", "visitor_hash": ""},
    "missing_event_name": {"query": "v=2&tid=ID&cid=1"},
    "unknown_measurement_id": {"query": "v=2&tid=G-NOBODY0000&cid=1&en=a"},
}
"""A request that becomes a dead letter of each reason."""


@pytest.mark.parametrize(("reason", "changes"), UNCOUNTED.items(), ids=UNCOUNTED)
def test_a_dead_letter_is_told_with_what_its_reason_means(
    world: PassportWorld, reason: str, changes: dict[str, Any]
) -> None:
    view = world.view(HOUR) | changes
    view["query"] = view["query"].replace("=ID", f"={world.my_id}")
    world.archive(view)
    passport = of(world, view["request_id"])
    assert [(one["reason"], one["meaning"]) for one in passport["dead_letters"]] == [
        (reason, REASONS[reason])
    ]
    assert passport["hits"] == []


def test_a_sale_that_no_rate_is_known_for_counts_and_says_what_it_lacks(
    world: PassportWorld,
) -> None:
    sale = f"v=2&tid={world.my_id}&cid=1.1&en=purchase&epn.value=5&cu=XTS"
    view = world.view(HOUR, query=sale)
    world.archive(view)
    passport = of(world, view["request_id"])
    assert [one["reason"] for one in passport["dead_letters"]] == ["missing_rate"]
    (hit,) = passport["hits"]
    assert (hit["decoded"]["sent_value_micros"], hit["rules"]["value_micros"]) == (5_000_000, 0)


def test_every_reason_that_a_request_can_have_is_tried() -> None:
    of_elsewhere = {"unreadable_block", "failed", "missing_rate", "rules_unavailable"}
    assert set(UNCOUNTED) == set(REASONS) - of_elsewhere


def test_a_request_that_processing_fails_on_is_told_as_the_stream_tells_it(
    world: PassportWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a fault of the code")

    monkeypatch.setattr(domain, "process_requests", fail)
    view = world.view(HOUR)
    world.archive(view)
    [letter] = of(world, view["request_id"])["dead_letters"]
    assert (letter["step"], letter["reason"]) == ("process", "failed")
    assert "a fault of the code" in letter["detail"]


def test_of_a_batch_one_hit_or_all_are_told(world: PassportWorld) -> None:
    lines = "en=page_view\nen=scroll\n\nen=click"
    batch = world.view(HOUR, query=f"v=2&tid={world.my_id}&cid=1.1", body=lines)
    world.archive(batch)
    name = batch["request_id"]
    every = of(world, name)["hits"]
    names = [hit["decoded"]["event_name"] for hit in every]
    assert names == ["page_view", "scroll", "click"]
    for hit in every:
        one = of(world, hit["hit_id"])
        assert (one["hits"], one["hits_of_request"]) == ([hit], 3)
    with pytest.raises(HitNotFoundError):
        of(world, f"{name}-0099")


@pytest.mark.parametrize("hours", [-1, 0, 1, 72])
def test_a_request_that_its_client_named_is_found_where_it_was_received(
    world: PassportWorld, hours: int
) -> None:
    named = request_id(NOW - 73 * HOUR_US + 5)
    received = NOW - 73 * HOUR_US + hours * HOUR_US + 7
    view = world.view(received, request_id=named, has_balancer_id=True)
    world.archive(view)
    assert of(world, named)["request"]["received_at"] == received


def test_a_request_that_came_twice_counts_once(world: PassportWorld) -> None:
    first = world.view(HOUR, has_balancer_id=True)
    world.archive(first | {"received_at": HOUR + 9}, first)
    request = of(world, first["request_id"])["request"]
    assert (request["received_at"], request["copies"]) == (HOUR, 2)


@pytest.mark.parametrize(
    ("at_us", "told"),
    [
        (HOUR, "there is no hit .* 2025-12-31T23Z to 2026-01-01T05Z were looked through"),
        (NOW - 30_000_000, "is not archived yet, if there is one.*Try again in a minute"),
        (NOW + HOUR_US * 3, "a time that has not come yet"),
        (2**48 * 1000 - 1000, "a time that has not come yet"),
        (0, "there is no hit"),
    ],
)
def test_a_hit_that_is_not_there_says_where_was_looked(
    world: PassportWorld, at_us: int, told: str
) -> None:
    world.archive(world.view(HOUR + 1))
    with pytest.raises(HitNotFoundError, match=told):
        of(world, request_id(at_us, 77))


def test_while_the_archive_lags_a_hit_is_not_archived_yet(world: PassportWorld) -> None:
    world.archive(world.view(NOW - 30 * MINUTE_US))
    with pytest.raises(HitNotFoundError, match="is not archived yet"):
        of(world, request_id(NOW - 20 * MINUTE_US))
    with pytest.raises(HitNotFoundError, match="there is no hit"):
        of(world, request_id(NOW - 40 * MINUTE_US))


def test_a_property_is_not_told_of_anothers_hits(world: PassportWorld) -> None:
    theirs = world.view(HOUR, query=f"v=2&tid={world.their_id}&cid=1.1&en=a")
    world.archive(theirs)
    name = theirs["request_id"]
    assert of(world, name, world.their_id)["hits"]
    with pytest.raises(HitNotFoundError) as refused:
        of(world, name, world.my_id)
    nobodys = request_id(HOUR, 99)
    with pytest.raises(HitNotFoundError) as absent:
        of(world, nobodys, world.my_id)
    assert str(refused.value) == str(absent.value).replace(nobodys, name)


def shared(world: PassportWorld) -> dict[str, Any]:
    """One request with a hit of each property, and a line of theirs that is a dead letter."""
    lines = [
        f"v=1&tid={world.my_id}&cid=1&t=pageview&dp=%2Fmine",
        f"v=1&tid={world.their_id}&cid=2&t=pageview&dp=%2Ftheir-secret",
        f"v=1&tid={world.their_id}&t=pageview&dp=%2Ftheir-secret",
    ]
    return world.view(HOUR, path="/batch", query="", body="\n".join(lines), visitor_hash="")


def test_of_a_request_of_two_properties_each_sees_its_own(world: PassportWorld) -> None:
    request = shared(world)
    world.archive(request)
    name = request["request_id"]
    passport = of(world, name, world.my_id)
    assert [hit["decoded"]["path"] for hit in passport["hits"]] == ["/mine"]
    assert "their-secret" not in str(passport)
    assert world.their_id not in str(passport)
    assert passport["dead_letters"] == []
    with pytest.raises(HitNotFoundError):
        of(world, f"{name}-0001", world.my_id)
    whole = of(world, name)
    assert "their-secret" in str(whole)
    assert [letter["reason"] for letter in whole["dead_letters"]] == ["missing_client_id"]


@pytest.mark.parametrize(
    ("query", "body", "is_told"),
    [
        ("v=2&tid=MINE&cid=1", "", True),
        ("v=2&tid=THEIRS&cid=1", "", False),
        ("v=2&tid=THEIRS&cid=1&dl=https%3A%2F%2Fx%2F%3Ftid%3DMINE", "", False),
        ("v=2&%74%69%64=THEIRS&cid=1&dt=tid%3DMINE", "", False),
        ("v=2&%74%69%64=THEIRS&cid=1&dt=tid=MINE", "", False),
        ("v=2&tid=MINE&cid=1", "tid=THEIRS&dt=%2Fsecret", False),
        ("v=2&cid=1", "", False),
    ],
)
def test_a_dead_letter_is_told_to_the_property_that_alone_is_named(
    world: PassportWorld, query: str, body: str, is_told: bool
) -> None:
    names = {"MINE": world.my_id, "THEIRS": world.their_id}
    for word, measurement_id in names.items():
        query, body = (text.replace(word, measurement_id) for text in (query, body))
    letter = world.view(HOUR, query=query, body=body)
    world.archive(letter)
    assert of(world, letter["request_id"])["dead_letters"]
    if is_told:
        assert of(world, letter["request_id"], world.my_id)["dead_letters"]
        return
    with pytest.raises(HitNotFoundError):
        of(world, letter["request_id"], world.my_id)


def visits(world: PassportWorld) -> list[dict[str, Any]]:
    """Visits of a few clients: sources, pauses, midnights, and hits that open no session."""
    random = Random(4)
    requests = []
    for number in range(27):
        at_us = HOUR - 9 * HOUR_US + random.randrange(12 * HOUR_US)
        client = random.choice(["1.1", "2.2", "3.3", "é/4 4"])
        page = f"https%3A%2F%2Fx.example%2F{random.choice('abc')}"
        campaign = random.choice(["", "", "%3Futm_source%3Dmail%26utm_medium%3Demail"])
        query = f"tid={world.my_id}&cid={quote(client)}&en=page_view&dl={page}{campaign}"
        view = world.view(at_us, number, query=f"v=2&{query}", user_agent=random.choice(AGENTS))
        if number % 9 == 0:  # known by its visitor hash alone
            view["query"] = view["query"].replace(f"&cid={quote(client)}", "")
        elif number % 7 == 0:
            event = {"client_id": client, "events": [{"name": "purchase", "params": {"value": 3}}]}
            view |= MP | {"body": json.dumps(event)}
            view["query"] = view["query"].replace("=ID", f"={world.my_id}")
        requests.append(view)
    return requests


def test_the_rows_that_all_passports_name_are_those_stored_hit_by_hit(
    world: PassportWorld,
) -> None:
    requests = visits(world)
    world.archive(*requests)
    world.count(*requests)
    named: Counter[tuple[Any, ...]] = Counter()
    stored = {}
    sessions = set()
    for request in requests:
        [hit] = of(world, request["request_id"])["hits"]
        sessions.add((hit["session"] or {}).get("session_start"))
        for cell in hit["cells"]:
            assert (cell["is_stored"], cell["holds_client"]) == (True, True), cell
            row = (cell["rollup"], cell["row_key"], cell["slot_start"], *cell["keys"])
            named[row] += 1
            stored[row] = cell["numbers"]["events"]
    assert named == stored
    usual = sum(1 for rollup in ROLLUPS if not rollup.within)
    assert named.total() == len(requests) * usual
    assert len(sessions) > 8
    assert None in sessions


def test_an_earlier_session_is_known_before_it_is_stored(world: PassportWorld) -> None:
    views = [world.view(HOUR + hour * HOUR_US, hour) for hour in (0, 2)]
    world.archive(*views)
    told = [of(world, view["request_id"])["hits"][0]["session"] for view in views]
    assert [session["session_start"] for session in told] == [HOUR, HOUR + 2 * HOUR_US]
    assert [session["new_vs_returning"] for session in told] == ["new", "returning"]


def test_a_sale_that_is_sent_again_is_told_to_be_worth_nothing(world: PassportWorld) -> None:
    sale = f"v=2&tid={world.my_id}&cid=1.1&en=purchase&epn.value=5&ep.transaction_id=T1"
    first, again = (world.view(HOUR + at, at, query=sale) for at in (0, 60_000_000))
    world.archive(first, again)
    told = [of(world, view["request_id"])["hits"][0] for view in (first, again)]
    assert [hit["repeats_sale"] for hit in told] == [False, True]
    assert [hit["rules"]["value_micros"] for hit in told] == [5_000_000, 5_000_000]
    said = "\n".join(passport_lines(of(world, again["request_id"])))
    assert "as it repeats a sale of the same transaction" in said


def test_a_key_event_that_another_of_its_session_stands_for_is_told(world: PassportWorld) -> None:
    query = f"v=2&tid={world.my_id}&cid=1.1&en=sign_up"
    views = [world.view(HOUR + at * MINUTE_US, at, query=query) for at in (0, 1, 40)]
    world.archive(*views)
    told = [of(world, view["request_id"])["hits"][0] for view in views]
    assert [hit["repeats_key_event"] for hit in told] == [False, True, False]
    assert all(hit["rules"]["is_key_event"] for hit in told)
    said = ["\n".join(passport_lines(of(world, view["request_id"]))) for view in views]
    assert ["as one of its session stands for it" in text for text in said] == [False, True, False]


def test_a_session_that_would_take_too_much_reading_is_not_told(world: PassportWorld) -> None:
    views = [world.view(HOUR + minute * MINUTE_US, minute) for minute in range(5)]
    world.archive(*views)
    world.count(*views)
    few = Passports(world.objects, world.rows, world.rules, lambda: NOW, most_requests=4)
    [hit] = few.passport(HitName.parse(views[0]["request_id"]))["hits"]
    assert hit["session"] is None
    assert hit["session_not_told"] == "5 requests would have to be read, 4 may be"
    told = {cell["rollup"]: cell["is_stored"] for cell in hit["cells"]}
    assert told == {
        rollup.name: True if rollup.grain != "piece" or not rollup.keys else None
        for rollup in ROLLUPS
        if not rollup.within
    }


def test_an_owner_is_not_told_what_the_collector_found_out_of_the_visitor(
    world: PassportWorld,
) -> None:
    view = world.view(HOUR)
    world.archive(view)
    told = str(of(world, view["request_id"], world.my_id))
    assert "203.0.113.0" not in told
    assert "0123456789abcdef" not in told
    assert "203.0.113.0" in str(of(world, view["request_id"]))


def test_only_row_groups_that_may_hold_the_id_are_read(
    world: PassportWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = [world.view(HOUR + minute * MINUTE_US, minute) for minute in range(60)]
    world.archive(views[0])
    [name] = [n for n in world.objects.names("raw/") if n.endswith(".parquet")]
    path = world.folder / "archive" / name
    block = pl.read_parquet(path).select("spool_id", "number")
    requests = pl.DataFrame(views, schema=REQUEST_SCHEMA).join(block, how="cross")
    requests.write_parquet(path, row_group_size=10)
    read, whole = [], pq.ParquetFile.read_row_group

    def note(file: pq.ParquetFile, group: int, **named: Any) -> Any:
        read.append(group)
        return whole(file, group, **named)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", note)
    name = HitName.parse(views[31]["request_id"])
    found = find_request(world.objects, name.request_id, name.named_at, NOW)
    assert found.requests.get_column("received_at").to_list() == [HOUR + 31 * MINUTE_US]
    assert set(read) == {3}


def test_a_file_that_holds_no_requests_is_named(world: PassportWorld) -> None:
    view = world.view(HOUR)
    world.archive(view)
    [name] = [n for n in world.objects.names("raw/") if n.endswith(".parquet")]
    pl.DataFrame({"what": ["else"]}).write_parquet(world.folder / "archive" / name)
    with pytest.raises(ArchiveDamageError, match=f"{name}.*expected the column request_id"):
        of(world, view["request_id"])


def test_columns_that_an_older_collector_did_not_know_are_empty(world: PassportWorld) -> None:
    view = world.view(HOUR)
    world.archive(view)
    [name] = [n for n in world.objects.names("raw/") if n.endswith(".parquet")]
    path = world.folder / "archive" / name
    pl.read_parquet(path).drop("country_hint").write_parquet(path)
    assert of(world, view["request_id"])["request"]["country_hint"] == ""
