"""Privacy: what visitors said is kept, and what properties make of it."""

from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.processing import process_requests
from tallymark.properties import DataStream, Property, properties_frame
from tallymark.rule_documents.privacy import EXCLUDED_BY, MARKS
from tests.tallymark.recorded import SHOP, frame, server, version, web

VIEW = f"v=2&tid={SHOP}&cid=1.2&en=page_view&uid=u7&up.plan=gold&sid=17"


def hits(*requests: dict[str, Any], with_params: bool = True, **rules: Any) -> pl.DataFrame:
    """What requests come to under rules."""
    owner = Property(
        property_id=7,
        name="Shop",
        data_streams=(DataStream(measurement_id=SHOP),),
        versions=(version(**rules),),
    )
    properties = properties_frame([owner])
    return process_requests(frame(*requests), lambda _: properties, with_params=with_params).hits


def hit(request: dict[str, Any], **rules: Any) -> dict[str, Any]:
    """The one hit of a request."""
    return hits(request, **rules).row(0, named=True)


def backend(**said: Any) -> dict[str, Any]:
    """An event that a server sends."""
    document = {"client_id": "1.2", "user_id": "u7", "events": [{"name": "view"}]} | said
    return server(orjson.dumps(document).decode())


SAID: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": (web(VIEW), ""),
    "all granted": (
        web(f"{VIEW}&gcs=G111"),
        "analytics_storage=granted ad_storage=granted",
    ),
    "all denied": (web(f"{VIEW}&gcs=G100"), "analytics_storage=denied ad_storage=denied"),
    "only ads denied": (web(f"{VIEW}&gcs=G101"), "analytics_storage=granted ad_storage=denied"),
    "not needed": (web(f"{VIEW}&gcs=G1--"), ""),
    "no word on ads": (web(f"{VIEW}&gcs=G1-0"), "analytics_storage=denied"),
    "how it came about, all by default": (
        web(f"{VIEW}&gcd=13t3t3t3t1"),
        "analytics_storage=granted ad_storage=granted ad_user_data=granted "
        "ad_personalization=granted",
    ),
    "how it came about, each in another way": (
        web(f"{VIEW}&gcd=11p1q1m1n5"),
        "analytics_storage=denied ad_storage=denied ad_user_data=denied ad_personalization=granted",
    ),
    "how it came about, half of it": (web(f"{VIEW}&gcd=13l3r"), "analytics_storage=granted"),
    "how it came about, and how it stands": (
        web(f"{VIEW}&gcs=G111&gcd=13u3u3u3l1"),
        "analytics_storage=granted ad_storage=granted ad_user_data=denied",
    ),
    "no personal advertisements": (web(f"{VIEW}&npa=1"), "ad_personalization=denied"),
    "nonsense": (web(f"{VIEW}&gcs=G1&gcd=%F0%9F%8D%B5zz&npa=%0Ax"), ""),
    "Do Not Track": (web(VIEW, do_not_track=True), "do_not_track"),
    "both signals and consent": (
        web(f"{VIEW}&gcs=G101", do_not_track=True, global_privacy_control=True),
        "analytics_storage=granted ad_storage=denied do_not_track global_privacy_control",
    ),
    "a line of a batch": (
        web(f"v=2&tid={SHOP}&cid=1.2", "en=page_view&gcs=G110"),
        "analytics_storage=denied ad_storage=granted",
    ),
    "Universal Analytics": (
        web(f"v=1&tid={SHOP}&cid=1.2&t=pageview&gcs=G100&npa=1", path="/collect"),
        "analytics_storage=denied ad_storage=denied ad_personalization=denied",
    ),
    "a server": (
        backend(consent={"ad_user_data": "DENIED", "ad_personalization": "GRANTED"}),
        "ad_user_data=denied ad_personalization=granted",
    ),
    "a server, of storage": (
        backend(consent={"analytics_storage": "denied"}),
        "analytics_storage=denied",
    ),
    "a server, in the old way": (backend(non_personalized_ads=True), "ad_personalization=denied"),
    "a server, nonsense": (backend(consent={"ad_user_data": ["DENIED"], "x": "DENIED"}), ""),
    "a server, no object": (backend(consent="DENIED"), ""),
}


@pytest.mark.parametrize("with_params", [False, True], ids=["streaming", "replay"])
@pytest.mark.parametrize("case", SAID.values(), ids=list(SAID))
def test_what_was_said_of_consent_is_kept(
    case: tuple[dict[str, Any], str], with_params: bool
) -> None:
    request, expected = case

    assert hits(request, with_params=with_params).get_column("consent").to_list() == [expected]


MARKED: dict[str, dict[str, Any]] = {
    "analytics_denied": backend(consent={"analytics_storage": "DENIED"}),
    "do_not_track": web(VIEW, do_not_track=True),
    "global_privacy_control": web(VIEW, global_privacy_control=True),
}


@pytest.mark.parametrize("mark", MARKED)
def test_without_a_rule_a_hit_counts_as_it_was_sent(mark: str) -> None:
    found = hit(MARKED[mark])

    assert (found["client_id"], found["user_id"], found["excluded_by"]) == ("1.2", "u7", "")
    assert found == hit(MARKED[mark], consent={mark: "count"})


@pytest.mark.parametrize("mark", MARKED)
def test_an_anonymised_hit_counts_without_an_identity(mark: str) -> None:
    found = hit(MARKED[mark], consent={mark: "anonymise"})

    assert found["client_id"].startswith("anonymous.")
    assert found["client_hash"] != hit(MARKED[mark])["client_hash"]
    assert (found["user_id"], found["client_session_id"], found["user_properties"]) == ("", "", [])
    assert (found["event_name"], found["excluded_by"]) == (hit(MARKED[mark])["event_name"], "")


@pytest.mark.parametrize("mark", MARKED)
def test_an_excluded_hit_is_kept_without_an_identity_and_says_why(mark: str) -> None:
    found = hit(MARKED[mark], consent={mark: "exclude"})

    assert found["excluded_by"] == EXCLUDED_BY[mark]
    assert (found["client_id"] != "1.2", found["user_id"]) == (True, "")


@pytest.mark.parametrize("mark", MARKED)
def test_others_are_left_alone(mark: str) -> None:
    others = {other: "exclude" for other in MARKS if other != mark}

    assert hit(MARKED[mark], consent=others) == hit(MARKED[mark])


def test_what_tagged_a_hit_before_is_told() -> None:
    crawler = web(VIEW, do_not_track=True, user_agent="Googlebot/2.1")
    staging = {"name": "all", "when": {"field": "event_name", "is": "page_view"}}
    objecting = web(VIEW, do_not_track=True)

    assert hit(crawler, consent={"do_not_track": "exclude"})["excluded_by"] == "bot"
    found = hit(objecting, consent={"do_not_track": "exclude"}, filters=[staging])
    assert found["excluded_by"] == "do_not_track"


def test_of_several_marks_the_strictest_answer_wins() -> None:
    both = web(VIEW, do_not_track=True, global_privacy_control=True)

    found = hit(both, consent={"do_not_track": "anonymise", "global_privacy_control": "exclude"})

    assert found["excluded_by"] == "global_privacy_control"


def test_a_condition_may_ask_for_consent() -> None:
    ads = {"field": "consent", "contains": "ad_storage=denied"}

    found = hit(web(f"{VIEW}&gcs=G101"), filters=[{"name": "no_ads", "when": ads}])

    assert found["excluded_by"] == "no_ads"


def test_no_rule_sees_the_identity_of_an_anonymised_hit() -> None:
    filters = [
        {"name": "gold", "when": {"field": "user_property.plan", "is": "gold"}},
        {"name": "known", "when": {"field": "client_id", "is": "1.2"}},
    ]

    found = hits(
        MARKED["do_not_track"],
        with_params=False,
        consent={"do_not_track": "anonymise"},
        filters=filters,
    )

    assert found.get_column("excluded_by").to_list() == [""]


@given(
    clients=st.lists(st.text(max_size=8).filter(str.strip), min_size=1, max_size=6),
    salts=st.lists(st.sampled_from(["", "0123456789abcdef", "fedcba9876543210"]), min_size=1),
)
def test_clients_are_told_apart_on_a_day_and_cannot_be_linked_over_days(
    clients: list[str], salts: list[str]
) -> None:
    requests = [
        backend(client_id=client) | {"do_not_track": True, "visitor_hash": salt}
        for client in clients
        for salt in salts
    ]
    sent = hits(*requests)
    found = hits(*requests, consent={"do_not_track": "anonymise"})

    pairs = list(zip(sent["client_id"], [one["visitor_hash"] for one in requests], strict=True))
    seen: dict[str, tuple[str, str]] = {}
    for number, (pair, client) in enumerate(zip(pairs, found["client_id"], strict=True)):
        day = pair if pair[1] else (pair[0], str(number))  # without a hash each request is alone
        assert seen.setdefault(client, day) == day
    assert len(set(found["client_hash"])) == len(set(seen.values())) == len(seen)


def test_a_visitor_without_a_client_id_stays_the_visitor_of_the_day() -> None:
    refused = web(f"{VIEW}&gcs=G100")

    found = hit(refused, consent={"analytics_denied": "anonymise"})

    assert found["client_id"] == hit(refused)["client_id"] == "visitor.0123456789abcdef"


SWISS = {"ip_network": "130.60.0.0/24"}
PLACES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "of the network": (
        web(VIEW, country_hint="", **SWISS),
        {"network": "CH", "country_hint": "", "none": ""},
    ),
    "of a proxy": (
        web(VIEW, country_hint="LI", **SWISS),
        {"network": "LI", "country_hint": "LI", "none": ""},
    ),
    "of a server": (
        backend(user_location={"country_id": "AT"}) | SWISS,
        {"network": "AT", "country_hint": "AT", "none": "AT"},
    ),
    "of an old client": (
        web(f"v=1&tid={SHOP}&cid=1.2&t=pageview&geoid=at", path="/collect", **SWISS),
        {"network": "AT", "country_hint": "AT", "none": "AT"},
    ),
}


@pytest.mark.parametrize("policy", ["network", "country_hint", "none"])
@pytest.mark.parametrize("case", PLACES.values(), ids=list(PLACES))
def test_a_country_is_known_as_far_as_the_policy_lets(
    case: tuple[dict[str, Any], dict[str, str]], policy: str
) -> None:
    request, expected = case

    assert hit(request, ip_policy=policy)["country"] == expected[policy]
