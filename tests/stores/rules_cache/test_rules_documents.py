import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.rules_cache.documents import decode_properties, encode_properties
from stores.rules_cache.problems import InvalidPropertyError
from tallymark.exchange_rates import MAX_RATE, RATE_PLACES
from tallymark.properties import (
    SINCE_EVER,
    DataStream,
    HashedKey,
    Property,
    RulesVersion,
    secret_hash,
)
from tallymark.rule_documents import parse_rules

HASH = secret_hash("x")


A_KEY = {"hash": HASH, "expires_at": None}


def a_stream(**changes: object) -> dict[str, object]:
    return {
        "measurement_id": "G-ABCDE12345",
        "name": "Site",
        "allowed_hosts": [],
        "api_secrets": [A_KEY],
    } | changes


def a_row(**changes: object) -> dict[str, object]:
    return {
        "property_id": 1,
        "name": "Shop",
        "data_streams": [a_stream()],
        "read_keys": [A_KEY],
        "versions": [a_version()],
    } | changes


def a_version(**changes: object) -> dict[str, object]:
    return {
        "version": 1,
        "effective_at": None,
        "time_zone": "UTC",
        "currency": "EUR",
        "session_gap_seconds": 1800,
        "engagement_threshold_seconds": 10,
        "attribution_lookback_days": 30,
        "key_events": ["purchase"],
    } | changes


A_RATE = {"currency": "EUR", "since": "2026-01-01", "rate": "1.0834"}


def problems_of(*rows: object) -> list[str]:
    with pytest.raises(InvalidPropertyError) as caught:
        decode_properties(orjson.dumps({"properties": rows}))
    return [problem.where for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"property_id": 0}, "property_id"),
        ({"property_id": "1"}, "property_id"),
        ({"property_id": True}, "property_id"),
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"data_streams": None}, "data_streams"),
        ({"data_streams": [7]}, "data_streams[0]"),
        ({"read_keys": None}, "read_keys"),
        ({"read_keys": [A_KEY, 7]}, "read_keys[1]"),
        ({"read_keys": [A_KEY | {"hash": "key"}]}, "read_keys[0].hash"),
        ({"read_keys": [A_KEY | {"expires_at": "never"}]}, "read_keys[0].expires_at"),
        ({"read_keys": [{"hash": HASH}]}, "read_keys[0].expires_at"),
        ({"versions": []}, "versions"),
        ({"versions": [1]}, "versions[0]"),
    ],
)
def test_a_property_with_a_wrong_field_is_refused_naming_the_field(changes, where):
    assert problems_of(a_row(**changes)) == [f"properties[0].{where}"]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"measurement_id": "UA-1-1"}, "measurement_id"),
        ({"measurement_id": "G-ABCDE1234"}, "measurement_id"),
        ({"name": "a\nb"}, "name"),
        ({"allowed_hosts": ["Shop.test"]}, "allowed_hosts[0]"),
        ({"switched_off": "scrolls"}, "switched_off"),
        ({"switched_off": [7]}, "switched_off[0]"),
        ({"api_secrets": None}, "api_secrets"),
        ({"api_secrets": [A_KEY | {"hash": "secret"}]}, "api_secrets[0].hash"),
    ],
)
def test_a_data_stream_with_a_wrong_field_is_refused_naming_the_field(changes, where):
    rows = a_row(data_streams=[a_stream(), a_stream(**changes)])
    assert problems_of(rows) == [f"properties[0].data_streams[1].{where}"]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"version": 0}, "version"),
        ({"effective_at": "now"}, "effective_at"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"time_zone": None}, "time_zone"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "EURO"}, "currency"),
        ({"session_gap_seconds": 299}, "session_gap_seconds"),
        ({"session_gap_seconds": 14_401}, "session_gap_seconds"),
        ({"session_gap_seconds": 1800.0}, "session_gap_seconds"),
        ({"engagement_threshold_seconds": 0}, "engagement_threshold_seconds"),
        ({"attribution_lookback_days": 0}, "attribution_lookback_days"),
        ({"attribution_lookback_days": 91}, "attribution_lookback_days"),
        ({"attribution_lookback_days": None}, "attribution_lookback_days"),
        ({"key_events": "purchase"}, "key_events"),
        ({"key_events": ["sign up"]}, "key_events[0].event"),
        ({"allowed_hosts": "shop.test"}, "allowed_hosts"),
        ({"allowed_hosts": None}, "allowed_hosts"),
        ({"allowed_hosts": ["shop.test", "Shop.test"]}, "allowed_hosts[1]"),
        ({"allowed_hosts": ["https://shop.test"]}, "allowed_hosts[0]"),
        ({"allowed_hosts": ["shop.test:80"]}, "allowed_hosts[0]"),
        ({"allowed_hosts": [".shop.test"]}, "allowed_hosts[0]"),
        ({"allowed_hosts": ["*.shop.test"]}, "allowed_hosts[0]"),
        ({"allowed_hosts": ["shop.test\n"]}, "allowed_hosts[0]"),
        ({"exchange_rates": {}}, "exchange_rates"),
        ({"exchange_rates": [7]}, "exchange_rates[0]"),
        ({"exchange_rates": [A_RATE, A_RATE | {"currency": "eur"}]}, "exchange_rates[1].currency"),
        ({"exchange_rates": [A_RATE | {"since": "2026-02-30"}]}, "exchange_rates[0].since"),
        ({"exchange_rates": [A_RATE | {"since": "20260228"}]}, "exchange_rates[0].since"),
        ({"exchange_rates": [A_RATE | {"rate": 1.08}]}, "exchange_rates[0].rate"),
        ({"exchange_rates": [A_RATE | {"rate": "0"}]}, "exchange_rates[0].rate"),
        ({"exchange_rates": [A_RATE | {"rate": "-1"}]}, "exchange_rates[0].rate"),
        ({"exchange_rates": [A_RATE | {"rate": "1e3"}]}, "exchange_rates[0].rate"),
        ({"exchange_rates": [A_RATE | {"rate": "0.0000000001"}]}, "exchange_rates[0].rate"),
    ],
)
def test_a_version_with_a_wrong_field_is_refused_naming_the_field(changes, where):
    rows = a_row(versions=[a_version(**changes)])
    assert problems_of(rows) == [f"properties[0].versions[0].{where}"]


@pytest.mark.parametrize("gap", [300, 14_400])
def test_the_bounds_of_the_session_gap_are_allowed(gap):
    document = orjson.dumps({"properties": [a_row(versions=[a_version(session_gap_seconds=gap)])]})
    assert decode_properties(document)[0].current.rules.session_gap_seconds == gap


def test_a_version_that_names_no_lookback_has_the_default():
    version = a_version()
    del version["attribution_lookback_days"]
    document = orjson.dumps({"properties": [a_row(versions=[version])]})
    assert decode_properties(document)[0].current.rules.attribution_lookback_days == 90


def test_all_problems_are_reported_together():
    assert problems_of(a_row(name="", property_id=-1), 7) == [
        "properties[0].name",
        "properties[0].property_id",
        "properties[1]",
    ]


def test_versions_must_ascend_in_number_and_time():
    later = a_version(version=2, effective_at=10)
    assert problems_of(a_row(versions=[a_version(), later, a_version(version=2, effective_at=20)]))
    assert problems_of(a_row(versions=[a_version(), later, a_version(version=3, effective_at=10)]))


def test_ids_may_not_repeat():
    other = a_row(property_id=2)
    taken = "data_streams[0].measurement_id"
    assert problems_of(a_row(), other) == [f"properties[1].{taken}"]
    assert problems_of(a_row(), a_row(data_streams=[])) == ["properties[1].property_id"]
    twice = a_row(data_streams=[a_stream(), a_stream()])
    assert problems_of(twice) == ["properties[0].data_streams[1].measurement_id"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"properties": {}}'])
def test_a_document_of_another_shape_is_refused(content):
    with pytest.raises(InvalidPropertyError, match="document"):
        decode_properties(content)


RATES = st.builds(
    lambda currency, since, rate: {
        "currency": currency, "since": since.isoformat(), "rate": format(rate, "f"),
    },
    st.sampled_from(["EUR", "JPY"]),
    st.dates(),
    st.decimals(
        "0.000000001", MAX_RATE, places=RATE_PLACES, allow_nan=False, allow_infinity=False
    ),
)  # fmt: skip
RULES = st.fixed_dictionaries(
    {
        "time_zone": st.sampled_from(["UTC", "Asia/Kathmandu"]),
        "currency": st.from_regex(r"[A-Z]{3}", fullmatch=True),
        "session_gap_seconds": st.integers(300, 14_400),
        "engagement_threshold_seconds": st.integers(1, 60),
        "attribution_lookback_days": st.integers(1, 90),
        "key_events": st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True), unique=True),
        "exchange_rates": st.lists(
            RATES, max_size=3, unique_by=lambda rate: (rate["currency"], rate["since"])
        ),
        "filters": st.just(
            [{"name": "own", "when": {"not": {"field": "host", "is": "shop.test"}}}]
        ),
    }
)
VERSIONS = st.builds(
    RulesVersion,
    version=st.just(1),
    effective_at=st.sampled_from([SINCE_EVER, 0, 1_700_000_000_000_000]),
    rules=RULES.map(parse_rules),
)
KEYS = st.lists(
    st.builds(HashedKey, key_hash=st.just(HASH), expires_at=st.none() | st.integers(0, 2**62)),
    max_size=2,
).map(tuple)
PROPERTIES = st.builds(
    Property,
    property_id=st.integers(1, 2**53 - 1),
    name=st.from_regex(r"[A-Za-z ]{0,20}[a-z]", fullmatch=True),
    data_streams=st.lists(
        st.builds(
            DataStream,
            measurement_id=st.from_regex(r"G-[A-Z0-9]{10}", fullmatch=True),
            name=st.from_regex(r"[A-Za-z ]{0,20}", fullmatch=True),
            allowed_hosts=st.just(("shop.test",)),
            switched_off=st.sampled_from([(), ("scrolls",)]),
            api_secrets=KEYS,
        ),
        max_size=2,
    ).map(tuple),
    read_keys=KEYS,
    versions=VERSIONS.map(lambda version: (version,)),
)


def has_streams_of_their_own(properties: list[Property]) -> bool:
    ids = [one for owner in properties for one in owner.measurement_ids]
    return len(ids) == len(set(ids))


@given(
    st.lists(PROPERTIES, max_size=4, unique_by=lambda owner: owner.property_id).filter(
        has_streams_of_their_own
    )
)
def test_what_is_encoded_is_decoded_again_by_id(properties):
    expected = sorted(properties, key=lambda owner: owner.property_id)
    assert decode_properties(encode_properties(properties)) == expected
