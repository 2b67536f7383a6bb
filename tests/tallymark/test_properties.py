"""Properties: keys are known by their hash, and every version is a row."""

from tallymark.properties import (
    PROPERTY_SCHEMA,
    SINCE_EVER,
    Property,
    RulesVersion,
    properties_frame,
    secret_hash,
)


def shop(**changes: object) -> Property:
    values: dict[str, object] = {
        "property_id": 7,
        "name": "Shop",
        "measurement_id": "G-SHOP",
        "api_secret_hash": secret_hash("écrire"),
        "read_key_hash": secret_hash("lire"),
    }
    return Property(**(values | changes))  # type: ignore[arg-type]


def test_a_secret_opens_one_door() -> None:
    owner = shop()
    assert owner.accepts_secret("écrire")
    assert owner.accepts_read_key("lire")
    for wrong in ("lire", "", "ecrire", secret_hash("écrire")):
        assert not owner.accepts_secret(wrong)
    assert not owner.accepts_read_key("écrire")


def test_secrets_are_kept_as_hashes() -> None:
    assert "lire" not in repr(shop())


def test_a_new_property_has_rules_since_ever() -> None:
    assert shop().current == RulesVersion(version=1)
    assert shop().current.effective_at == SINCE_EVER


def test_a_frame_has_a_row_a_version() -> None:
    later = RulesVersion(version=2, effective_at=5, session_gap_seconds=300, key_events=())
    owner = shop(versions=(RulesVersion(version=1), later))
    frame = properties_frame([owner, shop(property_id=8, measurement_id="G-OTHER")])
    assert frame.schema == PROPERTY_SCHEMA
    assert frame.select("property_id", "rules_version", "session_gap_seconds").rows() == [
        (7, 1, 1800),
        (7, 2, 300),
        (8, 1, 1800),
    ]
    assert frame.get_column("key_events").to_list() == [["purchase"], [], ["purchase"]]
    assert owner.current is later


def test_no_properties_give_an_empty_frame() -> None:
    assert properties_frame([]).schema == PROPERTY_SCHEMA
