"""Rules of every kind: what a hit is like before and after, alone and among hits of others."""

import json
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.processing import process_requests
from tallymark.properties import DataStream, Property, properties_frame
from tallymark.protocols.ga4_web import MAX_LINES
from tallymark.rule_documents.rewrites import MAX_CREATED
from tests.tallymark.recorded import frame, server, version, web

BASE = "v=2&cid=1.2&en=page_view"
SITE = "https://shop.example.com"


def owner(number: int, **rules: Any) -> Property:
    """A property that decides so."""
    return Property(
        property_id=number,
        name="Shop",
        data_streams=(DataStream(measurement_id=f"G-{number}"),),
        versions=(version(**rules),),
    )


def sent(page: str = "/", *, to: int = 1, more: str = "", **changes: Any) -> dict[str, Any]:
    """A page view of a page of the shop, or of another address."""
    address = page if "://" in page else SITE + page
    return web(f"{BASE}&tid=G-{to}&dl={quote(address, safe='')}{more}", **changes)


def after(request: dict[str, Any], *, with_params: bool = False, **rules: Any) -> dict[str, Any]:
    """The hit that a request comes to under rules, as streaming processes it or replay."""
    properties = properties_frame([owner(1, **rules)])
    found = process_requests(frame(request), lambda _: properties, with_params=with_params)
    assert found.dead_letters.is_empty()
    return found.hits.row(0, named=True)


REWRITES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "a path in lower case": (
        {"kind": "lower_case", "field": "path"},
        sent("/Shoes/RED"),
        {"path": "/shoes/red"},
    ),
    "parameters stripped, of any case": (
        {"kind": "strip_parameters", "names": ["sid", "Debug"]},
        sent("/?a=1&SID=x&sid=y&debug&b=2&sid2=3"),
        {"page_query": "a=1&b=2&sid2=3"},
    ),
    "the only parameter stripped": (
        {"kind": "strip_parameters", "names": ["sid"]},
        sent("/a?sid=x"),
        {"page_query": "", "path": "/a"},
    ),
    "parameters kept": (
        {"kind": "keep_parameters", "names": ["b", "utm_source"]},
        sent("/?a=1&utm_source=letter&b=2&utm_medium=email"),
        {"page_query": "utm_source=letter&b=2", "source": "letter", "medium": "(not set)"},
    ),
    "no parameter kept": (
        {"kind": "keep_parameters", "names": []},
        sent("/?a=1"),
        {"page_query": ""},
    ),
    "a host for others": (
        {"kind": "map_host", "from": ["m.shop.com", "old.shop.com"], "to": "shop.com"},
        sent("https://m.shop.com/a"),
        {"host": "shop.com"},
    ),
    "a host that is not named": (
        {"kind": "map_host", "from": ["m.shop.com"], "to": "shop.com"},
        sent("https://am.shop.com/a"),
        {"host": "am.shop.com"},
    ),
    "a pattern replaced wherever it is found": (
        {"kind": "replace", "field": "path", "pattern": "/([a-z]{2})/", "with": "/lang-${1}/"},
        sent("/de/x/fr/y"),
        {"path": "/lang-de/x/lang-fr/y"},
    ),
    "an event by another name, with all that follows from it": (
        {"kind": "rename_event", "from": "page_view", "to": "purchase"},
        sent(more="&epn.value=12.5&cu=USD"),
        {
            "event_name": "purchase",
            "is_page_view": False,
            "is_key_event": True,
            "value_micros": 12_500_000,
        },
    ),
    "a purchase that is none": (
        {"kind": "rename_event", "from": "purchase", "to": "test_purchase"},
        web("v=2&tid=G-1&cid=1.2&en=purchase&epn.value=12.5"),
        {"event_name": "test_purchase", "is_key_event": False, "value_micros": 0},
    ),
    "an event changed where a condition holds": (
        {
            "kind": "set",
            "fields": {"event_name": "sign_up", "title": "Thanks"},
            "when": {"field": "path", "is": "/thanks"},
        },
        sent("/thanks"),
        {"event_name": "sign_up", "title": "Thanks", "is_page_view": False},
    ),
    "an event left alone where it does not": (
        {
            "kind": "set",
            "fields": {"event_name": "sign_up"},
            "when": {"field": "path", "is": "/thanks"},
        },
        sent("/"),
        {"event_name": "page_view", "is_page_view": True},
    ),
    "a rewrite under a condition on a parameter": (
        {"kind": "lower_case", "field": "path", "when": {"field": "param.kind", "is": "loud"}},
        sent("/A", more="&ep.kind=loud"),
        {"path": "/a"},
    ),
    "a text longer than is kept": (
        {"kind": "replace", "field": "path", "pattern": "a", "with": "b" * 400},
        sent("/aaaa"),
        {"path": "/" + "b" * 999},
    ),
}


@pytest.mark.parametrize("with_params", [False, True], ids=["streaming", "replay"])
@pytest.mark.parametrize("case", REWRITES.values(), ids=list(REWRITES))
def test_a_rewrite_changes_a_hit_before_anything_is_found_out(
    case: tuple[dict[str, Any], dict[str, Any], dict[str, Any]], with_params: bool
) -> None:
    rewrite, request, expected = case

    hit = after(request, with_params=with_params, rewrites=[rewrite])

    assert {name: hit[name] for name in expected} == expected


def test_rewrites_follow_one_another() -> None:
    hit = after(
        sent("https://M.shop.com/DE/x"),
        rewrites=[
            {"kind": "map_host", "from": ["m.shop.com"], "to": "shop.com"},
            {"kind": "lower_case", "field": "path"},
            {"kind": "replace", "field": "path", "pattern": "^/de/", "with": "/"},
            {"kind": "set", "fields": {"title": "X"}, "when": {"field": "path", "is": "/x"}},
        ],
    )

    assert (hit["host"], hit["path"], hit["title"]) == ("shop.com", "/x", "X")


ADDRESSED = {"ip_network": "192.0.2.0/24"}
CONDITIONS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "is": ({"field": "path", "is": "/a"}, sent("/a"), True),
    "is not": ({"not": {"field": "path", "is": "/a"}}, sent("/a"), False),
    "is, in another case": ({"field": "path", "is": "/A"}, sent("/a"), False),
    "is, in any case": ({"field": "path", "is": "/A", "ignore_case": True}, sent("/a"), True),
    "in": ({"field": "path", "in": ["/b", "/a"]}, sent("/a"), True),
    "in, in any case": (
        {"field": "path", "in": ["/B", "/A"], "ignore_case": True},
        sent("/a"),
        True,
    ),
    "not in": ({"field": "path", "in": ["/b"]}, sent("/a"), False),
    "starts with": ({"field": "path", "starts_with": "/a"}, sent("/ab"), True),
    "ends with": ({"field": "host", "ends_with": ".test"}, sent("https://x.test/"), True),
    "contains, no pattern": ({"field": "path", "contains": "a.c"}, sent("/abc"), False),
    "contains": ({"field": "path", "contains": "bc"}, sent("/abc"), True),
    "matches": ({"field": "path", "matches": "^/a.c$"}, sent("/abc"), True),
    "matches, in any case": (
        {"field": "path", "matches": "^/A.C$", "ignore_case": True},
        sent("/abc"),
        True,
    ),
    "is set": ({"field": "title", "is_set": True}, sent("/", more="&dt=x"), True),
    "is not set": ({"field": "title", "is_set": False}, sent("/"), True),
    "a network": ({"in_network": ["192.0.2.0/24"]}, sent("/", **ADDRESSED), True),
    "a larger network": ({"in_network": ["10.0.0.0/8", "192.0.0.0/16"]}, sent(**ADDRESSED), True),
    "another network": ({"in_network": ["192.0.3.0/24", "::/0"]}, sent(**ADDRESSED), False),
    "a network of IPv6": (
        {"in_network": ["2001:db8::/32"]},
        sent(ip_network="2001:db8:1::/48"),
        True,
    ),
    "no network known": ({"in_network": ["0.0.0.0/0"]}, sent(), False),
    "a parameter": (
        {"field": "param.traffic_type", "is": "internal"},
        sent(more="&ep.traffic_type=internal"),
        True,
    ),
    "a parameter that was not sent": ({"field": "param.x", "is": ""}, sent(), True),
    "a parameter above": ({"field": "param.x", "above": 1.5}, sent(more="&epn.x=1.6"), True),
    "a parameter that is no number": (
        {"field": "param.x", "above": 1},
        sent(more="&ep.x=9"),
        False,
    ),
    "a parameter not sent below": ({"field": "param.x", "below": 1}, sent(), False),
    "a user property": (
        {"field": "user_property.plan", "is": "gold"},
        sent(more="&up.plan=gold"),
        True,
    ),
    "a value above": ({"field": "value", "above": 12}, sent(more="&epn.value=12.01"), True),
    "a value not above": ({"field": "value", "above": 12}, sent(more="&epn.value=12"), False),
    "engagement": ({"field": "engagement_seconds", "below": 2}, sent(more="&_et=1999"), True),
    "a channel": ({"field": "channel", "is": "Email"}, sent("/?utm_medium=email"), True),
    "a browser": (
        {"field": "browser", "is": "Firefox"},
        sent(user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        True,
    ),
    "all": (
        {"all": [{"field": "path", "is": "/a"}, {"field": "country", "is": "CH"}]},
        sent("/a"),
        True,
    ),
    "not all": (
        {"all": [{"field": "path", "is": "/a"}, {"field": "country", "is": "LI"}]},
        sent("/a"),
        False,
    ),
    "any": (
        {"any": [{"field": "path", "is": "/b"}, {"field": "country", "is": "CH"}]},
        sent("/a"),
        True,
    ),
    "groups in groups": (
        {"not": {"any": [{"not": {"field": "path", "is": "/a"}}, {"field": "host", "is": "x"}]}},
        sent("/a"),
        True,
    ),
}


@pytest.mark.parametrize("with_params", [False, True], ids=["streaming", "replay"])
@pytest.mark.parametrize("case", CONDITIONS.values(), ids=list(CONDITIONS))
def test_a_filter_tags_the_hits_that_its_condition_holds_for(
    case: tuple[dict[str, Any], dict[str, Any], bool], with_params: bool
) -> None:
    condition, request, holds = case

    hit = after(request, with_params=with_params, filters=[{"name": "mine", "when": condition}])

    assert hit["excluded_by"] == ("mine" if holds else "")


ANY: dict[str, Any] = {"field": "event_name", "is_set": True}


def test_the_first_filter_that_applies_is_told_and_one_that_is_off_is_none() -> None:
    def filters(*states: str) -> list[dict[str, Any]]:
        return [
            {"name": f"filter_{place}", "when": ANY, "state": state}
            for place, state in enumerate(states)
        ]

    assert after(sent(), filters=filters("active", "active"))["excluded_by"] == "filter_0"
    assert after(sent(), filters=filters("off", "active"))["excluded_by"] == "filter_1"
    assert after(sent(), filters=filters("off"))["excluded_by"] == ""


@pytest.mark.parametrize("with_params", [False, True], ids=["streaming", "replay"])
@pytest.mark.parametrize(
    ("path", "internal", "expected"),
    [
        ("/a", "", "first"),
        ("/ab", "", "first"),
        ("/b", "", "second"),
        ("/c", "", ""),
        ("/a", "&ep.traffic_type=internal", None),
    ],
)
def test_a_filter_that_is_tested_marks_hits_that_count(
    path: str, internal: str, expected: str | None, with_params: bool
) -> None:
    filters: list[dict[str, Any]] = [
        {"name": "first", "when": {"field": "path", "contains": "a"}, "state": "testing"},
        {"name": "active", "when": {"field": "param.traffic_type", "is": "internal"}},
        {"name": "second", "when": {"field": "path", "contains": "b"}, "state": "testing"},
    ]

    hit = after(sent(path, more=internal), with_params=with_params, filters=filters)

    assert hit["excluded_by"] == ("active" if internal else "")
    marks = [] if expected is None else [expected]
    assert hit["customs"] == [
        {"name": "testDataFilterName", "value": value, "micros": None} for value in marks
    ]


def test_what_is_tested_stands_beside_what_is_defined() -> None:
    hit = after(
        sent(more="&ep.author=Ada"),
        filters=[{"name": "all", "when": ANY, "state": "testing"}],
        custom_dimensions=[{"parameter": "author", "scope": "event"}],
    )

    assert {each["name"]: each["value"] for each in hit["customs"]} == {
        "testDataFilterName": "all",
        "customEvent:author": "Ada",
    }


def test_what_tagged_a_hit_before_stays() -> None:
    crawler = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    filters = [{"name": "mine", "when": ANY}]

    assert after(sent(user_agent=crawler), filters=filters)["excluded_by"] == "bot"
    other_host = after(sent(), filters=filters, allowed_hosts=["other.test"])
    assert other_host["excluded_by"] == "host"


@pytest.mark.parametrize(
    ("referrer", "source"),
    [
        ("https://pay.test/done", ""),
        ("https://www.pay.test/done", ""),
        ("https://nopay.test/", "nopay.test"),
        ("https://blog.test/?from=pay.test", "blog.test"),
    ],
)
def test_hosts_that_visitors_come_back_from_are_no_source(referrer: str, source: str) -> None:
    request = sent(more=f"&dr={quote(referrer, safe='')}")

    for rule in ("referral_exclusions", "cross_domain_hosts"):
        hit = after(request, **{rule: ["other.test", "pay.test"]})
        assert (hit["source"], hit["referrer"]) == (source, referrer)


def test_a_campaign_counts_on_a_page_that_another_host_of_the_site_leads_to() -> None:
    request = sent("/?utm_source=letter", more="&dr=https%3A%2F%2Fcheckout.test%2F")

    assert after(request, cross_domain_hosts=["checkout.test"])["source"] == "letter"


def test_what_hands_a_client_over_is_stripped_before_any_rule_asks() -> None:
    rules = {"filters": [{"name": "clean", "when": {"field": "page_query", "is": "a=1"}}]}

    hit = after(sent("/?_gl=1*x&a=1&_tml=2*3.4*5*6"), **rules)

    assert (hit["page_query"], hit["excluded_by"]) == ("a=1", "clean")


@pytest.mark.parametrize(("path", "is_key_event"), [("/thanks", True), ("/", False)])
def test_a_key_event_may_have_a_condition(path: str, is_key_event: bool) -> None:
    events = ["purchase", {"event": "page_view", "when": {"field": "path", "is": "/thanks"}}]

    assert after(sent(path), key_events=events)["is_key_event"] == is_key_event
    assert after(web("v=2&tid=G-1&cid=1.2&en=purchase"), key_events=events)["is_key_event"]


@pytest.mark.parametrize(
    ("event", "path", "expected"),
    [
        pytest.param({"event": "page_view"}, "/a", (True, False), id="by its name"),
        pytest.param(
            {"event": "page_view", "counting_method": "once_per_event"}, "/a", (True, False),
            id="every one",
        ),
        pytest.param(
            {"event": "page_view", "counting_method": "once_per_session"}, "/a", (True, True),
            id="the first of a session",
        ),
        pytest.param(
            {
                "event": "page_view", "counting_method": "once_per_session",
                "when": {"field": "path", "is": "/a"},
            },
            "/b", (False, False),
            id="the first of those that it is",
        ),
        pytest.param(
            {"event": "other", "counting_method": "once_per_session"}, "/a", (False, False),
            id="one of another name",
        ),
    ],
)  # fmt: skip
def test_a_key_event_may_count_once_a_session(
    event: dict[str, Any], path: str, expected: tuple[bool, bool]
) -> None:
    hit = after(sent(path), key_events=["purchase", event])

    assert (hit["is_key_event"], hit["is_once_per_session"]) == expected
    bought = after(web("v=2&tid=G-1&cid=1.2&en=purchase"), key_events=["purchase", event])
    assert (bought["is_key_event"], bought["is_once_per_session"]) == (True, False)


DEFAULTS: dict[str, Any] = {
    "currency": "CHF",
    "exchange_rates": [{"currency": "EUR", "since": "2020-01-01", "rate": "0.5"}],
    "key_events": [
        {"event": "sign_up", "default_value": "12.5"},
        {
            "event": "page_view",
            "default_value": "3",
            "when": {"field": "path", "is": "/thanks"},
        },
        "purchase",
    ],
}


@pytest.mark.parametrize("with_params", [False, True], ids=["streaming", "replay"])
@pytest.mark.parametrize(
    ("event", "page", "more", "micros"),
    [
        ("sign_up", "/", "", 12_500_000),
        ("sign_up", "/", "&epn.value=0", 0),
        ("sign_up", "/", "&epn.value=4&cu=EUR", 2_000_000),
        ("sign_up", "/", "&epn.value=4&cu=USD", None),
        ("page_view", "/thanks", "", 3_000_000),
        ("page_view", "/", "", None),
        ("page_view", "/", "&epn.value=1.5", 1_500_000),
        ("purchase", "/", "", None),
    ],
)
def test_a_key_event_without_a_value_is_worth_its_default(
    event: str, page: str, more: str, micros: int | None, with_params: bool
) -> None:
    request = sent(page, more=more)
    query = request["query"].replace("en=page_view", f"en={event}")

    hit = after(request | {"query": query}, with_params=with_params, **DEFAULTS)

    expected = [] if micros is None else [{"name": "eventValue", "value": "", "micros": micros}]
    assert hit["customs"] == expected
    assert hit["value_micros"] == 0


MANY = {f"p{number}": number for number in range(30)}
"""More parameters than are kept of an event."""


def posted(params: dict[str, Any], name: str = "sign_up") -> dict[str, Any]:
    """An event by Measurement Protocol."""
    event = {"name": name, "params": params}
    body = json.dumps({"client_id": "1.2", "events": [event]})
    return server(body, query="measurement_id=G-1&api_secret=*")


def universal(query: str) -> dict[str, Any]:
    """A hit of Universal Analytics."""
    return web(f"v=1&tid=G-1&cid=1.2&t=event&ec=a&ea=sign_up{query}", path="/collect")


@pytest.mark.parametrize("with_params", [False, True], ids=["streaming", "replay"])
@pytest.mark.parametrize(
    ("request_", "micros"),
    [
        pytest.param(posted({}), 12_500_000, id="posted without a value"),
        pytest.param(posted({"value": 4, "currency": "EUR"}), 2_000_000, id="posted with one"),
        pytest.param(posted({"value": "4"}), 4_000_000, id="posted as text"),
        pytest.param(posted({"value": "x"}), 12_500_000, id="posted as no number"),
        pytest.param(posted(MANY | {"value": 4}), 4_000_000, id="posted beyond what is kept"),
        pytest.param(universal(""), 12_500_000, id="Universal Analytics without a value"),
        pytest.param(universal("&ev=7"), 7_000_000, id="Universal Analytics with one"),
    ],
)
def test_default_values_hold_for_every_protocol(
    request_: dict[str, Any], micros: int, with_params: bool
) -> None:
    hit = after(request_, with_params=with_params, **DEFAULTS)
    assert hit["customs"] == [{"name": "eventValue", "value": "", "micros": micros}]


def test_what_a_sale_is_worth_is_its_event_value_wherever_it_was_sent() -> None:
    rules = DEFAULTS | {"key_events": [{"event": "purchase", "default_value": "9"}]}
    hit = after(posted(MANY | {"value": 4}, "purchase"), **rules)
    assert hit["value_micros"] == hit["customs"][0]["micros"] == 4_000_000


@pytest.mark.parametrize("with_params", [False, True], ids=["streaming", "replay"])
@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (posted({"x": "1"}), "t"),
        (posted({"x": 1}), "t"),
        (posted({"x": 2}), ""),
        (universal("&ev=1"), ""),
        (web("v=2&tid=G-1&cid=1.2&en=a&ep.x=1"), "t"),
    ],
)
def test_a_tested_filter_tells_the_hits_of_every_protocol(
    request_: dict[str, Any], told: str, with_params: bool
) -> None:
    when = {"field": "param.x", "is": "1"}
    rules = {"filters": [{"name": "t", "when": when, "state": "testing"}]}
    hit = after(request_, with_params=with_params, **rules)
    assert hit["customs"] == [{"name": "testDataFilterName", "value": told, "micros": None}]


def created(*requests: dict[str, Any], with_params: bool = False, **rules: Any) -> pl.DataFrame:
    """The hits that requests come to."""
    properties = properties_frame([owner(1, **rules)])
    found = process_requests(frame(*requests), lambda _: properties, with_params=with_params)
    assert found.entered.len() == found.hits.height + found.rejected.len()
    return found.hits


THANKED = {
    "event": "thanked",
    "when": {"field": "path", "is": "/thanks"},
    "fields": {"title": "Thanks"},
}


@pytest.mark.parametrize("with_params", [False, True], ids=["streaming", "replay"])
def test_an_event_is_created_beside_the_one_that_it_is_of(with_params: bool) -> None:
    hits = created(
        sent("/thanks", more="&_et=5000&_fv=1&dt=Order"),
        sent("/"),
        with_params=with_params,
        created_events=[THANKED, {"event": "seen", "when": ANY}],
        key_events=["thanked"],
    )

    first = f"{0:032x}"
    assert hits.select(
        "hit_id", "event_name", "title", "is_page_view", "is_key_event", "engagement_ms",
        "is_first_visit",
    ).rows() == [
        (f"{first}-0000", "page_view", "Order", True, False, 5000, True),
        (f"{first}-1000", "thanked", "Thanks", False, True, 0, False),
        (f"{first}-2000", "seen", "Order", False, False, 0, False),
        (f"{1:032x}-0000", "page_view", "", True, False, 0, False),
        (f"{1:032x}-1000", "seen", "", False, False, 0, False),
    ]  # fmt: skip
    same = ["client_id", "event_at", "received_at", "host", "path", "property_id", "rules_version"]
    assert hits[:3].select(same).unique().height == 1


def test_events_are_created_of_what_rewrites_leave_and_create_nothing_themselves() -> None:
    hits = created(
        sent("/Thanks"),
        rewrites=[{"kind": "lower_case", "field": "path"}],
        created_events=[
            THANKED,
            {"event": "again", "when": {"field": "event_name", "is": "thanked"}},
        ],
    )

    assert hits["event_name"].to_list() == ["page_view", "thanked"]


def test_each_event_of_the_largest_request_creates_its_own() -> None:
    lines = "\n".join(f"en=e{number}" for number in range(MAX_LINES))
    request = web("v=2&cid=1.2&tid=G-1", lines)
    events = [{"event": f"seen_{number}", "when": ANY} for number in range(MAX_CREATED)]

    hits = created(request, created_events=events)

    assert hits.height == MAX_LINES * (1 + MAX_CREATED)
    assert hits["hit_id"].n_unique() == hits.height
    assert hits["hit_id"].max() == f"{0:032x}-8999"


def test_a_rule_that_asks_for_a_parameter_leaves_other_hits_without_any() -> None:
    asking = owner(1, filters=[{"name": "mine", "when": {"field": "param.x", "is": "y"}}])
    properties = properties_frame([asking, owner(2)])
    requests = frame(sent(more="&ep.x=y"), sent(to=2, more="&ep.x=y"), sent(more="&ep.x=z"))

    hits = process_requests(requests, lambda _: properties, with_params=False).hits

    assert hits["excluded_by"].to_list() == ["mine", "", ""]
    assert hits["params"].list.len().to_list() == [1, 0, 1]


def test_server_events_have_rules_too() -> None:
    document = '{"client_id":"1.2","events":[{"name":"buy","params":{"value":3,"plan":"gold"}}]}'
    request = server(document, query="measurement_id=G-1&api_secret=*")

    hit = after(
        request,
        rewrites=[
            {
                "kind": "set",
                "fields": {"event_name": "purchase"},
                "when": {"field": "param.plan", "is": "gold"},
            }
        ],
    )

    assert (hit["event_name"], hit["value_micros"]) == ("purchase", 3_000_000)


RULES = st.fixed_dictionaries(
    {},
    optional={
        "rewrites": st.lists(
            st.sampled_from([case[0] for case in REWRITES.values()]), min_size=1, max_size=4
        ),
        "filters": st.lists(
            st.builds(
                lambda number, case: {"name": f"filter_{number}", "when": case[0]},
                st.integers(0, 99),
                st.sampled_from(list(CONDITIONS.values())),
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda each: each["name"],
        ),
        "referral_exclusions": st.just(["pay.test"]),
        "cross_domain_hosts": st.just(["pay.test", "shop.test"]),
        "created_events": st.just([THANKED, {"event": "seen", "when": ANY}]),
        "key_events": st.just([{"event": "page_view", "when": {"field": "path", "is": "/a"}}]),
    },
)
REQUESTS = [case[1] for case in (*REWRITES.values(), *CONDITIONS.values())]


@given(
    st.lists(RULES, min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from(REQUESTS)), max_size=12),
    st.booleans(),
)
def test_hits_of_many_rule_sets_come_to_what_each_comes_to_alone(
    rules: list[dict[str, Any]], chosen: list[tuple[int, dict[str, Any]]], with_params: bool
) -> None:
    properties = properties_frame(
        owner(number, **said) for number, said in enumerate(rules, start=1)
    )
    requests = frame(
        *(request | {"query": request["query"].replace("G-1", f"G-{to}")} for to, request in chosen)
    )

    def processed(some: pl.DataFrame) -> pl.DataFrame:
        return process_requests(some, lambda _: properties, with_params=with_params).hits

    together = processed(requests)

    alone = [processed(requests[place : place + 1]) for place in range(requests.height)]
    assert together.equals(pl.concat([processed(requests[:0]), *alone]))
