"""The passport of a hit, for who has the read key of its property."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from report_api.app import create_app
from tests.stores.passport_world import HOUR, NOW, PassportWorld, request_id


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> PassportWorld:
    return PassportWorld(tmp_path)


def client_of(world: PassportWorld, *, has_archive: bool = True) -> FlaskClient:
    app = create_app(
        wide_rows=world.rows,
        rules_cache=world.rules,
        now_us=lambda: NOW,
        archive=world.objects if has_archive else None,
    )
    return app.test_client()


@pytest.fixture(name="client")
def _client(world: PassportWorld) -> FlaskClient:
    return client_of(world)


def place(world: PassportWorld, hit_id: str) -> str:
    return f"/v1/properties/{world.mine.created.property_id}/hits/{hit_id}"


def my_key(world: PassportWorld) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.mine.read_key}"}


def test_the_owner_reads_a_passport_as_json_that_no_browser_runs(
    client: FlaskClient, world: PassportWorld
) -> None:
    view = world.view(HOUR, referer="https://x.example/<script>alert(1)</script>")
    world.archive(view)
    world.count(view)
    answer = client.get(place(world, view["request_id"]), headers=my_key(world))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    [hit] = answer.json["hits"]
    assert hit["decoded"]["path"] == "/tea"
    assert all(cell["is_stored"] for cell in hit["cells"] if cell["keys"] is not None)
    assert answer.json["request"]["referer"] == view["referer"]


def test_anothers_hit_is_answered_as_one_that_does_not_exist(
    client: FlaskClient, world: PassportWorld
) -> None:
    theirs = world.view(HOUR, query=f"v=2&tid={world.their_id}&cid=1.1&en=a")
    world.archive(theirs)
    names = [theirs["request_id"], f"{theirs['request_id']}-0000", request_id(HOUR, 9)]
    answers = [client.get(place(world, name), headers=my_key(world)) for name in names]
    texts = {answer.text.replace(name, "ID") for answer, name in zip(answers, names, strict=True)}
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert len(texts) == 1
    assert answers[0].json["error"]["status"] == "NOT_FOUND"
    heads = [
        {name: value for name, value in answer.headers if name != "Content-Length"}
        for answer in answers
    ]
    assert heads[0] == heads[1] == heads[2]


@pytest.mark.parametrize(
    ("key", "status"),
    [(None, 401), ("wrong", 403), ("theirs", 403)],
)
def test_only_the_propertys_own_key_opens_it(
    client: FlaskClient, world: PassportWorld, key: str | None, status: int
) -> None:
    view = world.view(HOUR)
    world.archive(view)
    key = world.theirs.read_key if key == "theirs" else key
    headers = {"X-Goog-Api-Key": key} if key else {}
    answer = client.get(place(world, view["request_id"]), headers=headers)
    assert answer.status_code == status
    assert "tea" not in answer.text


@pytest.mark.parametrize("name", ["x", "..", "018bcfe56800700a8000000000000000-3", "%00"])
def test_a_malformed_name_is_refused(client: FlaskClient, world: PassportWorld, name: str) -> None:
    answer = client.get(place(world, name), headers=my_key(world))
    assert answer.status_code == 400
    assert "expected the 32 hex digits" in answer.json["error"]["message"]


def test_without_an_archive_it_says_so(world: PassportWorld) -> None:
    client = client_of(world, has_archive=False)
    answer = client.get(place(world, request_id(HOUR)), headers=my_key(world))
    assert answer.status_code == 501
    assert "has no archive" in answer.json["error"]["message"]
    assert client.get(place(world, request_id(HOUR))).status_code == 401


def test_a_damaged_file_is_not_named_to_the_owner(
    client: FlaskClient, world: PassportWorld
) -> None:
    view = world.view(HOUR)
    world.archive(view)
    [name] = [one for one in world.objects.names("raw/") if one.endswith(".parquet")]
    world.objects.put(name, b"no parquet")
    answer = client.get(place(world, view["request_id"]), headers=my_key(world))
    assert (answer.status_code, answer.json["error"]["status"]) == (500, "DATA_LOSS")
    assert "raw/" not in answer.text
