"""Properties: keys are known by their hash, and every version is a row."""

from tallymark.properties import (
    PROPERTY_SCHEMA,
    SINCE_EVER,
    DataStream,
    HashedKey,
    Property,
    properties_frame,
    secret_hash,
)
from tests.tallymark.recorded import version


def a_stream(measurement_id: str, *secrets: HashedKey) -> DataStream:
    return DataStream(measurement_id=measurement_id, api_secrets=secrets)


def shop(**changes: object) -> Property:
    values: dict[str, object] = {
        "property_id": 7,
        "name": "Shop",
        "data_streams": (a_stream("G-SHOP"),),
        "read_keys": (HashedKey(key_hash=secret_hash("lire")),),
    }
    return Property(**(values | changes))  # type: ignore[arg-type]


def test_a_secret_opens_one_door() -> None:
    stream = a_stream("G-SHOP", HashedKey(key_hash=secret_hash("écrire")))
    owner = shop(data_streams=(stream, a_stream("G-APP")))
    assert stream.accepts_secret("écrire", 0)
    assert owner.accepts_read_key("lire", 0)
    for wrong in ("lire", "", "ecrire", secret_hash("écrire")):
        assert not stream.accepts_secret(wrong, 0)
    assert not owner.data_streams[1].accepts_secret("écrire", 0)
    assert not owner.accepts_read_key("écrire", 0)


def test_a_key_that_has_ended_opens_nothing_and_those_beside_it_do() -> None:
    old = HashedKey(key_hash=secret_hash("old"), expires_at=100)
    new = HashedKey(key_hash=secret_hash("new"))
    owner = shop(read_keys=(old, new))
    assert [owner.accepts_read_key("old", now) for now in (0, 99, 100)] == [True, True, False]
    assert owner.accepts_read_key("new", 100)


def test_secrets_are_kept_as_hashes() -> None:
    assert "lire" not in repr(shop())


def test_a_new_property_has_rules_since_ever() -> None:
    assert shop().current == version(1)
    assert shop().current.effective_at == SINCE_EVER


def test_a_frame_has_a_row_a_version() -> None:
    later = version(2, 5, session_gap_seconds=300, key_events=())
    owner = shop(versions=(version(), later))
    frame = properties_frame([owner, shop(property_id=8, data_streams=(a_stream("G-OTHER"),))])
    assert frame.schema == PROPERTY_SCHEMA
    assert frame.select("property_id", "rules_version", "session_gap_seconds").rows() == [
        (7, 1, 1800),
        (7, 2, 300),
        (8, 1, 1800),
    ]
    assert frame.get_column("key_events").to_list() == [["purchase"], [], ["purchase"]]
    secrets = [[key["hash"] for key in keys] for keys in frame.get_column("api_secrets").to_list()]
    assert secrets == [
        [key.key_hash for key in stream.api_secrets]
        for stream in (*owner.data_streams, *owner.data_streams, a_stream("G-OTHER"))
    ]
    assert owner.current is later


def test_every_data_stream_of_a_property_has_its_rules() -> None:
    owner = shop(data_streams=(a_stream("G-SITE"), a_stream("G-APP")))
    assert properties_frame([owner]).select("measurement_id", "property_id").rows() == [
        ("G-SITE", 7),
        ("G-APP", 7),
    ]
    assert owner.label == "G-SITE, G-APP"
    assert shop(data_streams=()).label == "no data stream"


def test_no_properties_give_an_empty_frame() -> None:
    assert properties_frame([]).schema == PROPERTY_SCHEMA
