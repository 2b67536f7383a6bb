"""The service as its callers see it: who may do what, lost updates, repeats, errors, the feed."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from config_api.access import NEEDS, Role, Scope
from config_api.calls import About, Call
from config_api.endpoints import CALLS
from stores.rules_cache.documents import decode_properties
from tallymark.rules_delay import RULES_DELAY_SECONDS
from tallymark.slots import HOUR_US
from tests.config_api.api import Api, running_api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("data")) as running:
        yield running


@dataclass
class World:
    """Two accounts with a property each, and a stream and a key of the first."""

    account: str
    ours: str
    theirs: str
    stream: str
    member: str

    def request(self, api: Api, call: Call) -> tuple[str, Any]:
        """A request of a call on what is ours, that can be done."""
        bodies: dict[str, Any] = {
            "create_account": {"display_name": "New"},
            "change_account": {"display_name": "Inn"},
            "create_property": {"parent": self.account, "display_name": "New"},
            "change_property": {"display_name": "Shop"},
            "create_data_stream": {"display_name": "New"},
            "change_data_stream": {"display_name": "Site"},
            "put_rules": {"document": {}},
            "validate_rules": {"document": {}},
            "preview_rules": {"document": {}, "from": 0, "to": 1},
            "roll_back_rules": {"version": 1},
            "replay_rules": {"from": 0, "to": 1},
            "create_key": {"display_name": "New", "scopes": ["read"], "parent": self.ours},
            "rotate_key": {},
            "create_user": {"email": f"{time.monotonic_ns()}@x.y", "display_name": "New"},
            "create_membership": {
                "email": f"{time.monotonic_ns()}@x.y", "display_name": "New", "role": "viewer",
            },
            "put_membership": {"role": "viewer"},
            "lookup_properties": {},
        }  # fmt: skip
        queries = {
            "diff_rules": "?from=1&to=1",
            "list_keys": f"?parent={self.ours}",
            "list_audit": f"?parent={self.ours}",
        }
        path = call.path
        if "{key_id}" in path:
            body = {"display_name": "Old", "scopes": ["read"], "parent": self.ours}
            path = path.replace("{key_id}", api.made("/v1/keys", body)["name"].split("/")[1])
        if "{replay_id}" in path:
            name = api.made(f"/v1/{self.ours}/rules:replay", {"from": 0, "to": 1})["name"]
            path = path.replace("{replay_id}", name.split("/")[-1])
        if call.name == "delete_membership":
            body = {"email": f"{time.monotonic_ns()}@x.y", "display_name": "Z", "role": "viewer"}
            name = api.made(f"/v1/{self.account}/memberships", body)["name"]
            path = path.replace("{user_id}", name.split("/")[-1])
        for field, name in (
            ("{account_id}", self.account), ("{property_id}", self.ours),
            ("{stream_id}", self.stream), ("{user_id}", self.member), ("{version}", "1"),
        ):  # fmt: skip
            path = path.replace(field, name.split("/")[-1])
        return path + queries.get(call.name, ""), bodies.get(call.name)


@pytest.fixture(scope="module")
def world(api: Api) -> World:
    account, other = api.account("Inn"), api.account("Other")
    ours, theirs = api.property(account), api.property(other)
    stream = api.made(f"/v1/{ours}/dataStreams", {"display_name": "Site"})["name"]
    body = {"email": "jane@x.y", "display_name": "Jane", "role": "viewer"}
    member = api.made(f"/v1/{account}/memberships", body)["name"]
    return World(account, ours, theirs, stream, member)


def expected(call: Call, role: Role) -> int:
    """What a key of our account is answered."""
    needs = NEEDS[call.name]
    if needs.scope is Scope.FEED:
        return 403
    has_subject = call.about is not About.PATH or "{" in call.path
    return 200 if role >= needs.role and has_subject else 403


EACH_CALL = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)


@EACH_CALL
@pytest.mark.parametrize("role", Role, ids=lambda role: role.name.lower())
def test_each_role_may_do_what_the_table_says_and_nothing_else(api, world, call, role):
    key = api.key(world.account, ["configure", "replay"], role.name.lower())
    path, body = world.request(api, call)
    answer = api.ask(call.method, path, body, key)
    assert answer.status_code == expected(call, role), answer.text


@EACH_CALL
def test_a_key_of_another_account_finds_nothing_of_ours(api, world, call):
    other = api.ask("GET", f"/v1/{world.theirs}").json["parent"]
    key = api.key(other, ["configure", "replay"], "owner")
    path, body = world.request(api, call)
    answer = api.ask(call.method, path, body, key)
    if call.about is About.VISIBLE:
        assert answer.status_code == 200
        assert world.account not in answer.text
        assert world.ours not in answer.text
    else:
        needs_deployment = call.about is About.PATH and "{" not in call.path
        assert answer.status_code == (403 if needs_deployment else 404)


@EACH_CALL
def test_a_key_of_one_property_finds_nothing_of_another_of_its_account(api, world, call):
    sibling = api.property(world.account, "Sibling")
    key = api.key(sibling, ["configure", "replay"], "owner")
    path, body = world.request(api, call)
    answer = api.ask(call.method, path, body, key)
    if call.about is About.VISIBLE:
        assert world.ours not in answer.text
    else:
        needs_deployment = call.about is About.PATH and "{" not in call.path
        assert answer.status_code == (403 if needs_deployment else 404)


@EACH_CALL
def test_nothing_is_done_without_a_key_or_with_one_of_another_scope(api, world, call):
    path, body = world.request(api, call)
    for key in ("", "0" * 32):
        answer = api.ask(call.method, path, body, key)
        assert (answer.status_code, answer.json["error"]["status"]) == (401, "UNAUTHENTICATED")
    reader = api.key(world.ours, ["read", "collect"])
    assert api.ask(call.method, path, body, reader).status_code == 403


@EACH_CALL
@pytest.mark.parametrize("scope", Scope)
def test_a_key_of_one_scope_opens_the_calls_of_that_scope_alone(api, world, call, scope):
    role = "owner" if scope is Scope.CONFIGURE else None
    key = api.key(None if scope is Scope.FEED else world.ours, [scope], role)
    path, body = world.request(api, call)
    answer = api.ask(call.method, path, body, key)
    is_open = NEEDS[call.name].scope is scope
    has_no_scope = "does not have the scope" in answer.text
    assert has_no_scope is not is_open, answer.text


def test_every_call_is_in_the_table_of_needs():
    assert {call.name for call in CALLS} == set(NEEDS)


def test_what_is_anothers_is_told_as_what_is_not_there(api, world):
    key = api.key(world.ours, ["configure"], "owner")
    nobody = "properties/999999999999"
    for path in ("", "/rules", "/rules/versions/1", "/dataStreams", "/dataStreams/7"):
        theirs = api.ask("GET", f"/v1/{world.theirs}{path}", key=key)
        none = api.ask("GET", f"/v1/{nobody}{path}", key=key)
        assert theirs.status_code == none.status_code == 404
        assert theirs.text.replace(world.theirs, nobody) == none.text


def test_an_ended_key_opens_nothing(api, world):
    made = api.made(
        "/v1/keys",
        {"display_name": "K", "scopes": ["configure"], "role": "viewer", "parent": world.ours},
    )
    assert api.ask("GET", f"/v1/{world.ours}", key=made["secret"]).status_code == 200
    assert api.ask("DELETE", f"/v1/{made['name']}").status_code == 200
    assert api.ask("GET", f"/v1/{world.ours}", key=made["secret"]).status_code == 401


def test_a_user_may_what_its_membership_says_when_it_asks(api, world):
    user = "users/" + world.member.split("/")[-1]
    body = {"display_name": "Jane's", "scopes": ["configure"], "parent": world.account,
            "user": user}  # fmt: skip
    key = api.made("/v1/keys", body)["secret"]
    rename = {"display_name": "Shop"}
    assert api.ask("GET", f"/v1/{world.ours}", key=key).status_code == 200
    assert api.ask("PATCH", f"/v1/{world.ours}", rename, key=key).status_code == 403
    api.ask("PUT", f"/v1/{world.member}", {"role": "editor"})
    assert api.ask("PATCH", f"/v1/{world.ours}", rename, key=key).status_code == 200
    api.ask("PUT", f"/v1/{world.member}", {"role": "viewer"})


@pytest.mark.parametrize(
    ("scopes", "role"),
    [(["configure"], "viewer"), (["configure"], "owner"), (["replay"], None)],
)
def test_nobody_hands_out_or_renews_a_key_that_can_do_more_than_it_may_give(
    api, world, scopes, role
):
    editor = api.key(world.account, ["configure"], "editor")
    body = {"display_name": "K", "scopes": scopes, "role": role, "parent": world.ours}
    assert api.ask("POST", "/v1/keys", body, editor).status_code == 403
    made = api.made("/v1/keys", body)
    assert api.ask("POST", f"/v1/{made['name']}:rotate", {}, editor).status_code == 403
    assert api.ask("DELETE", f"/v1/{made['name']}", key=editor).status_code == 403


def test_a_secret_is_shown_once(api, world):
    body = {"display_name": "K", "scopes": ["read"], "parent": world.ours}
    first = api.made("/v1/keys", body, Idempotency_Key="once")
    again = api.ask("POST", "/v1/keys", body, Idempotency_Key="once")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == first | {"secret": None}
    assert first["secret"] not in api.ask("GET", f"/v1/keys?parent={world.ours}").text
    assert first["secret"] not in api.ask("GET", f"/v1/audit?parent={world.ours}").text


def test_a_post_that_is_sent_again_is_done_once(api, world):
    body = {"parent": world.account, "display_name": "Once"}

    def send() -> str:
        return api.made("/v1/properties", body, Idempotency_Key="again")["name"]

    with ThreadPoolExecutor(4) as pool:
        names = {sent.result() for sent in [pool.submit(send) for _ in range(8)]}
    assert len(names) == 1
    other = api.ask("POST", "/v1/properties", body | {"display_name": "X"}, Idempotency_Key="again")
    assert (other.status_code, other.json["error"]["status"]) == (409, "ALREADY_EXISTS")
    key = api.key(world.account, ["configure"], "editor")
    assert api.made("/v1/properties", body, key, Idempotency_Key="again")["name"] not in names


def test_a_request_that_failed_may_be_sent_again_under_its_key(api, world):
    body = {"parent": "accounts/7", "display_name": "X"}
    for _ in range(2):
        answer = api.ask("POST", "/v1/properties", body, Idempotency_Key="failed")
        assert answer.status_code == 404


def test_a_lost_update_is_answered_412_with_what_has_changed(api, world):
    name = api.property(world.account)
    etag = api.ask("GET", f"/v1/{name}/rules").headers["ETag"]
    first = api.ask("PUT", f"/v1/{name}/rules", {"document": {"currency": "EUR"}}, If_Match=etag)
    assert (first.status_code, first.headers["ETag"]) == (200, '"2"')
    lost = api.ask("PUT", f"/v1/{name}/rules", {"document": {}}, If_Match=etag)
    assert lost.status_code == 412
    error = lost.json["error"]
    assert error["version"] == 2
    assert error["changes"] == [{"where": "currency", "from": "USD", "to": "EUR"}]
    assert api.ask("PUT", f"/v1/{name}/rules", {"document": {}}, If_Match="*").json["version"] == 3
    back = api.ask("POST", f"/v1/{name}/rules:rollback", {"version": 2}, If_Match='"2"')
    assert (back.status_code, back.json["error"]["version"]) == (412, 3)


def test_saved_rules_are_published_before_they_are_answered(api, world):
    name = api.property(world.account)
    saved = api.ask("PUT", f"/v1/{name}/rules", {"document": {"currency": "JPY"}}).json
    owners = decode_properties(api.folder.properties.read_bytes())
    [owner] = [one for one in owners if name.endswith(str(one.property_id))]
    assert owner.current.rules.currency == "JPY"
    assert owner.current.effective_at == saved["effective_at"]


WRONG = {
    "rules": (
        "PUT", "rules", {"document": {"currency": "eur", "session_gap_seconds": 1}},
        ["currency", "session_gap_seconds"],
    ),
    "fields": (
        "POST", "dataStreams", {"display_name": 7, "hosts": []}, ["display_name", "hosts"],
    ),
    "hosts": (
        "POST", "dataStreams", {"display_name": "A", "allowed_hosts": ["a.b", "A", "/"]},
        ["allowed_hosts[1]", "allowed_hosts[2]"],
    ),
    "no JSON": ("POST", "dataStreams", None, ["body"]),
    "a query": ("GET", "rules:diff?from=0&since=1", None, ["from", "to", "since"]),
    "a query of a call without": ("GET", "rules?a=1", None, ["a"]),
    "one thing twice": ("GET", "rules:diff?from=1&to=1&to=2", None, ["to"]),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_all_that_is_wrong_is_told_with_its_place(api, world, wrong):
    method, path, body, places = wrong
    answer = api.ask(method, f"/v1/{world.ours}/{path}", body)
    assert (answer.status_code, answer.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    problems = answer.json["error"]["problems"]
    assert [problem["where"] for problem in problems] == places
    assert all(set(problem) == {"where", "got", "allowed"} for problem in problems)


@pytest.mark.parametrize("header", [{"If_Match": "3"}, {"If_Match": 'W/"3"'}])
def test_an_etag_of_another_shape_is_refused(api, world, header):
    answer = api.ask("PUT", f"/v1/{world.ours}/rules", {"document": {}}, **header)
    assert [each["where"] for each in answer.json["error"]["problems"]] == ["If-Match"]


def test_rules_are_tried_without_being_saved(api, world):
    body = {"document": {"time_zone": "Mars"}}
    answer = api.made(f"/v1/{world.ours}/rules:validate", body)
    assert answer["is_valid"] is False
    assert [each["where"] for each in answer["problems"]] == ["time_zone"]
    assert api.made(f"/v1/{world.ours}/rules:validate", {"document": {}})["is_valid"] is True


def test_the_feed_waits_for_a_change_and_dates_its_answer_before_it(api, world):
    position = api.ask("GET", "/v1/changes?after=0", key=api.feed).json["position"]
    began = time.time_ns() // 1000
    with ThreadPoolExecutor(1) as pool:
        path = f"/v1/changes?after={position}&wait=20"
        waiting = pool.submit(api.ask, "GET", path, None, api.feed)
        time.sleep(0.1)
        saved = api.ask("PUT", f"/v1/{world.ours}/rules", {"document": {"currency": "CHF"}}).json
        answer = waiting.result().json
    [change] = answer["changes"]
    assert world.ours == f"properties/{change['property_id']}"
    assert change["sequence"] == answer["position"] == position + 1
    assert began <= answer["answered_at"]
    later = api.ask("GET", f"/v1/changes?after={answer['position']}&wait=0.1", key=api.feed).json
    assert later["changes"] == []
    assert saved["effective_at"] > answer["answered_at"] + RULES_DELAY_SECONDS * 1_000_000


def test_a_position_beyond_the_end_is_gone(api):
    answer = api.ask("GET", "/v1/changes?after=1000000", key=api.feed)
    assert (answer.status_code, answer.json["error"]["status"]) == (410, "OUT_OF_RANGE")


def test_workers_look_properties_up_with_their_hashes(api, world):
    number = int(world.ours.split("/")[1])
    body = {"property_ids": [number, 7], "measurement_ids": ["G-NOBODY0000"]}
    answer = api.made("/v1/properties:lookup", body, api.feed)
    [row] = answer["properties"]
    assert row["property_id"] == number
    owners = decode_properties(api.folder.properties.read_bytes())
    published = next(one for one in owners if one.property_id == number)
    assert [stream["measurement_id"] for stream in row["data_streams"]] == list(
        published.measurement_ids
    )
    feed = api.ask("GET", "/v1/changes?after=0", key=api.feed).json
    assert answer["database_id"] == feed["database_id"]
    assert answer["position"] == feed["position"]


def test_workers_list_all_properties_a_page_at_a_time(api, world):
    found: list[dict[str, Any]] = []
    page: list[dict[str, Any]] = [{"property_id": 0}]
    while page:
        after = page[-1]["property_id"]
        answer = api.ask("GET", f"/v1/properties:page?after={after}&limit=2", key=api.feed).json
        page = answer["properties"]
        found += page
    published = decode_properties(api.folder.properties.read_bytes())
    assert len(found) >= 2
    assert decode_properties(orjson.dumps({"properties": found})) == published
    assert [row["property_id"] for row in found] == [one.property_id for one in published]


def test_lists_are_told_in_pages(api, world):
    key = api.key(world.account, ["configure"], "viewer")
    whole = api.ask("GET", "/v1/properties", key=key).json["properties"]
    found: list[Any] = []
    token: int | None = 0
    while token is not None:
        path = f"/v1/properties?page_size=1&page_token={token}"
        page = api.ask("GET", path, key=key).json
        found += page["properties"]
        token = page["next_page_token"]
    assert found == whole
    assert len(found) > 1


def test_the_use_of_a_key_is_noted(api, world):
    body = {"display_name": "K", "scopes": ["configure"], "role": "viewer", "parent": world.ours}
    made = api.made("/v1/keys", body)
    api.ask("GET", f"/v1/{world.ours}", key=made["secret"])
    keys = api.ask("GET", f"/v1/keys?parent={world.ours}").json["keys"]
    [row] = [each for each in keys if each["name"] == made["name"]]
    assert row["last_used_at"] >= made["created_at"]


def test_the_pages_need_no_key_and_no_third_party(api):
    client = api.app.test_client()
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/static/docs.js"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "http" not in client.get("/docs").text
    assert (
        'tallymark_config_answers_total{call="openapi",status="200"}' in client.get("/metrics").text
    )


def test_everything_else_is_refused_in_the_shape_of_errors(api):
    for method, path, code in (("GET", "/v2", 404), ("DELETE", "/v1/accounts", 405)):
        answer = api.ask(method, path)
        assert answer.status_code == code
        assert set(answer.json["error"]) == {"code", "status", "message", "problems"}
    assert "GET" in api.ask("DELETE", "/v1/accounts").headers["Allow"]


def test_a_database_that_is_gone_is_told_and_not_waited_for_long(tmp_path: Path):
    with running_api(tmp_path) as api:
        owner = api.owner
        api.folder.database.unlink()
        api.database.close()
        answer = api.ask("GET", "/v1/accounts", key=owner)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert api.ask("GET", "/readyz").status_code == 503
        assert api.ask("GET", "/healthz").status_code == 200


def test_more_followers_than_there_is_room_for_are_answered_at_once(api):
    held = [api.app.extensions["tallymark"].followers for _ in range(32)]
    for each in held:
        assert each.acquire(blocking=False)
    try:
        position = api.ask("GET", "/v1/changes?after=0", key=api.feed).json["position"]
        began = time.monotonic()
        api.ask("GET", f"/v1/changes?after={position}&wait=20", key=api.feed)
        assert time.monotonic() - began < 10
    finally:
        for each in held:
            each.release()


def test_rules_are_tried_on_what_was_recorded_before_they_are_saved(api, world):
    draft = {"filters": [{"name": "mine", "when": {"field": "path", "is": "/"}}]}
    body = {"document": draft, "from": 0, "to": 2 * HOUR_US}

    found = api.made(f"/v1/{world.ours}/rules:preview", body)

    assert (found["from"], found["to"], found["hits"]) == ("1970-01-01T00Z", "1970-01-01T02Z", 0)
    assert found["rules"][0] == {"where": "filters[0]", "name": "mine", "hits": 0}
    assert api.ask("GET", f"/v1/{world.ours}/rules").json["document"]["filters"] == []


def test_what_is_wrong_with_a_preview_is_told_together(api, world):
    body = {"document": {"currency": "x", "filters": 7}, "from": 5, "to": 5 + 800 * HOUR_US}

    answer = api.ask("POST", f"/v1/{world.ours}/rules:preview", body)

    assert answer.status_code == 400
    places = [problem["where"] for problem in answer.json["error"]["problems"]]
    assert places == ["document.currency", "document.filters", "to"]


def test_a_replay_is_asked_for_once_and_told(api, world):
    name = api.property(world.account, "Old")
    api.ask("PUT", f"/v1/{name}/rules", {"document": {"currency": "CHF"}})
    body = {"from": HOUR_US + 1, "to": 3 * HOUR_US, "rules": "latest", "comment": "new filter"}
    path = f"/v1/{name}/rules:replay"
    asked = api.made(path, body, Idempotency_Key="replay")
    assert asked["state"] == "waiting"
    assert (asked["from"], asked["to"], asked["rules"]) == (HOUR_US, 3 * HOUR_US, "2")
    assert api.made(path, body, Idempotency_Key="replay") == asked
    later = api.made(path, body | {"rules": "in_force", "publish": True})
    assert (later["rules"], later["publish"]) == ("in_force", True)
    listed = api.ask("GET", f"/v1/{name}/replays").json["replays"]
    assert listed == [later, asked]
    assert api.ask("GET", f"/v1/{asked['name']}").json == asked
    lines = api.ask("GET", f"/v1/audit?parent={name}").json["lines"]
    assert [line["resource"] for line in lines if line["action"] == "rules.replay"] == [
        later["name"], asked["name"],
    ]  # fmt: skip
    assert (
        api.ask("GET", f"/v1/{world.ours}/replays/{asked['name'].split('/')[-1]}").status_code
        == 404
    )


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"from": 5 * HOUR_US, "to": HOUR_US}, "to"),
        ({"from": 0, "to": 2**52}, "to"),
        ({"from": 0, "to": 1, "rules": "9"}, "rules"),
        ({"from": 0, "to": 1, "rules": "newest"}, "rules"),
    ],
)
def test_a_replay_that_cannot_be_is_refused_with_its_place(api, world, body, where):
    answer = api.ask("POST", f"/v1/{world.ours}/rules:replay", body)
    assert answer.status_code == 400
    assert [each["where"] for each in answer.json["error"]["problems"]] == [where]


def test_what_a_version_inherits_is_told(api):
    account = api.account("Chain")
    name = api.property(account, currency="CHF")
    api.ask("PATCH", f"/v1/{account}", {"default_rules": {"time_zone": "Europe/Zurich"}})
    told = api.ask("GET", f"/v1/{name}/rules").json
    assert told["comment"] == f"defaults of {account} changed"
    assert told["said"] == {"currency": "CHF"}
    assert (told["document"]["time_zone"], told["document"]["currency"]) == (
        "Europe/Zurich", "CHF",
    )  # fmt: skip
    assert "time_zone" in told["inherited"]
    assert "currency" not in told["inherited"]
