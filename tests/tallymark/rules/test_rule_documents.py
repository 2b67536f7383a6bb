"""Rules documents: what is taken, and that all that is wrong is told together."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.problems import Problem
from tallymark.rule_documents import InvalidRulesError, Rules, parse_rules

WHOLE: dict[str, Any] = {
    "time_zone": "Europe/Zurich",
    "currency": "CHF",
    "session_gap_seconds": 600,
    "engagement_threshold_seconds": 20,
    "attribution_lookback_days": 30,
    "allowed_hosts": ["shop.example.com"],
    "referral_exclusions": ["pay.example.net"],
    "cross_domain_hosts": ["shop.example.com", "checkout.example.net"],
    "exchange_rates": [{"currency": "EUR", "since": "2026-01-01", "rate": "0.94"}],
    "consent": {
        "analytics_denied": "anonymise",
        "do_not_track": "exclude",
        "global_privacy_control": "count",
    },
    "ip_policy": "network",
    "retention_days": 425,
    "rewrites": [
        {"kind": "lower_case", "field": "path"},
        {"kind": "strip_parameters", "names": ["sid"]},
        {"kind": "keep_parameters", "names": []},
        {"kind": "map_host", "from": ["m.shop.example.com"], "to": "shop.example.com"},
        {"kind": "replace", "field": "path", "pattern": "^/(de|fr)/", "with": "/"},
        {"kind": "rename_event", "from": "buy", "to": "purchase"},
        {
            "kind": "set",
            "fields": {"event_name": "signed_up"},
            "when": {"field": "path", "is": "/thanks"},
        },
    ],
    "created_events": [
        {
            "event": "thanked",
            "when": {"field": "path", "is": "/thanks"},
            "fields": {"title": "Thanks"},
        }
    ],
    "filters": [
        {
            "name": "internal",
            "state": "off",
            "when": {
                "any": [
                    {"field": "param.traffic_type", "is": "internal", "ignore_case": True},
                    {"in_network": ["192.0.2.0/24", "2001:db8::/48"]},
                    {"not": {"all": [{"field": "value", "above": 1.5}]}},
                ]
            },
        }
    ],
    "key_events": [
        {"event": "purchase"},
        {
            "event": "sign_up",
            "when": {"field": "source", "is_set": True},
            "default_value": "12.50",
        },
    ],
    "custom_dimensions": [
        {"parameter": "colour", "scope": "item", "title": "Colour of the thing"},
        {"parameter": "plan", "scope": "user"},
    ],
    "custom_metrics": [
        {"parameter": "wait", "scope": "event", "unit": "seconds", "title": "Waited"},
    ],
    "channel_groups": [
        {
            "name": "partners",
            "title": "Partners",
            "channels": [
                {"name": "Resellers", "when": {"field": "source", "ends_with": ".example"}},
                {"name": "Post", "when": {"field": "channel", "in": ["Email", "SMS"]}},
            ],
        }
    ],
}


CHANNEL = {"name": "A", "when": {"field": "source", "is": "a"}}


def channels(*channels: dict[str, Any]) -> dict[str, Any]:
    """A document of one channel group."""
    return {"channel_groups": [{"name": "own", "channels": list(channels)}]}


def problems_of(document: object) -> list[tuple[str, str]]:
    """Where something is wrong, and what is allowed there."""
    with pytest.raises(InvalidRulesError) as caught:
        parse_rules(document)
    assert str(caught.value).count("allowed: ") >= len(caught.value.problems)
    return [(problem.where, problem.allowed) for problem in caught.value.problems]


def test_a_document_comes_back_as_it_was_read() -> None:
    assert parse_rules(WHOLE).document() == WHOLE


def test_nothing_has_to_be_said() -> None:
    assert parse_rules({}) == Rules()
    assert [event.event for event in Rules().key_events] == ["purchase"]


def test_a_name_alone_is_a_key_event() -> None:
    assert parse_rules({"key_events": ["a"]}) == parse_rules({"key_events": [{"event": "a"}]})


def when(condition: object) -> dict[str, Any]:
    """Rules with one filter."""
    return {"filters": [{"name": "some", "when": condition}]}


ONE_SHAPE = "one of all, any, not; or in_network; or a field with one of"
HOST = "a host in lower case, without scheme, port or path"
PATTERN = "a regular expression without look-around"


@pytest.mark.parametrize(
    ("document", "where", "allowed"),
    [
        (7, "document", "an object"),
        ([], "document", "an object"),
        ({"zone": 1}, "zone", "nothing of this name"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "a name of the IANA time zone database"),
        ({"time_zone": 7}, "time_zone", "a valid string"),
        ({"currency": "eur"}, "currency", "an ISO 4217 code of three capital letters"),
        ({"session_gap_seconds": 299}, "session_gap_seconds", "greater than or equal to 300"),
        ({"session_gap_seconds": "600"}, "session_gap_seconds", "a valid integer"),
        ({"session_gap_seconds": True}, "session_gap_seconds", "a valid integer"),
        ({"attribution_lookback_days": 91}, "attribution_lookback_days", "less than or equal"),
        ({"allowed_hosts": ["https://a.com"]}, "allowed_hosts[0]", HOST),
        ({"referral_exclusions": ["a.com", "A.com"]}, "referral_exclusions[1]", HOST),
        ({"cross_domain_hosts": ["https://a.com"]}, "cross_domain_hosts[0]", HOST),
        (
            {"exchange_rates": [{"currency": "EUR", "since": "2026-02-30", "rate": "1"}]},
            "exchange_rates[0].since",
            "a day, such as",
        ),
        (
            {"exchange_rates": [{"currency": "EUR", "since": "2026-02-20", "rate": "0"}]},
            "exchange_rates[0].rate",
            "the text of a decimal number above 0",
        ),
        ({"key_events": ["a b"]}, "key_events[0].event", "a letter, then up to 39"),
        *[
            (
                {"key_events": [{"event": "a", "default_value": value}]},
                "key_events[0].default_value",
                allowed,
            )
            for value, allowed in (
                ("-1", "the text of a decimal number from 0"),
                ("1e3", "the text of a decimal"),
                ("0.1234567", "the text of a decimal"),
                ("9" * 10, "the text of a decimal"),
                (12.5, "a valid string"),
            )
        ],
        ({"key_events": ["a", "b", "a"]}, "document", "key_events: each of them once; given"),
        (when(None), "filters[0].when", "object"),
        (when({}), "filters[0].when", ONE_SHAPE),
        (when({"field": "host"}), "filters[0].when", ONE_SHAPE),
        (when({"is": "a"}), "filters[0].when", ONE_SHAPE),
        (when({"field": "host", "is": "a", "contains": "a"}), "filters[0].when", ONE_SHAPE),
        (when({"all": [], "any": []}), "filters[0].when.all", "at least 1 item"),
        (when({"field": "hots", "is": "a"}), "filters[0].when.field", "one of event_name, host"),
        (when({"field": "param.", "is": "a"}), "filters[0].when.field", "one of event_name, host"),
        (when({"field": "value", "is": "3"}), "filters[0].when", "above, below or is_set, since"),
        (when({"field": "host", "above": 3}), "filters[0].when", "above and below of value"),
        (
            when({"any": [{"not": {"field": "path", "matches": "(?=a)"}}]}),
            "filters[0].when.any[0].not.matches",
            PATTERN,
        ),
        (when({"field": "path", "matches": r"(a)\1"}), "filters[0].when.matches", PATTERN),
        (when({"field": "path", "matches": "("}), "filters[0].when.matches", PATTERN),
        (
            when({"field": "path", "matches": r"(\w{1000}){1000}"}),
            "filters[0].when.matches",
            PATTERN,
        ),
        (when({"field": "path", "is": "a" * 501}), "filters[0].when.is", "at most 500 characters"),
        (when({"in_network": ["192.0.2.1/24"]}), "filters[0].when.in_network[0]", "a network in"),
        (
            when({"in_network": ["192.0.2.0/25"]}),
            "filters[0].when.in_network[0]",
            "a network of /24",
        ),
        (
            {"filters": [{"name": "bot", "when": {"field": "host", "is": "a"}}]},
            "filters[0]",
            "a name other than bot",
        ),
        (
            {
                "created_events": [
                    {
                        "event": "a",
                        "when": {"field": "path", "is": "/"},
                        "fields": {"event_name": "b"},
                    }
                ]
            },
            "created_events[0]",
            "fields other than event_name",
        ),
        ({"consent": {"do_not_track": "ignore"}}, "consent.do_not_track", "'count', 'anonymise'"),
        ({"consent": {"ads_denied": "count"}}, "consent.ads_denied", "nothing of this name"),
        ({"retention_days": 6}, "retention_days", "greater than or equal to 7"),
        ({"ip_policy": "address"}, "ip_policy", "'network', 'country_hint' or 'none'"),
        (
            {"ip_policy": "none", **when({"not": {"in_network": ["192.0.2.0/24"]}})},
            "document",
            "ip_policy network where a condition asks for networks (filters[0])",
        ),
        ({"rewrites": [{"kind": "erase"}]}, "rewrites[0]", "one of 'lower_case'"),
        ({"rewrites": [{"field": "path"}]}, "rewrites[0]", "kind"),
        (
            {"rewrites": [{"kind": "replace", "field": "path", "pattern": "a"}]},
            "rewrites[0].with",
            "something: it has to be said",
        ),
        (
            {"rewrites": [{"kind": "lower_case", "field": "value"}]},
            "rewrites[0].field",
            "'host', 'path'",
        ),
        (
            {
                "rewrites": [
                    {
                        "kind": "lower_case",
                        "field": "path",
                        "when": {"field": "channel", "is": "x"},
                    }
                ]
            },
            "rewrites[0].when",
            "fields that a hit is sent with",
        ),
        (
            channels({"name": "A", "when": {"field": "host", "is": "a"}}),
            "channel_groups[0].channels[0].when",
            "source, medium, campaign, channel (the default channel; groups do not refer to each",
        ),
        (
            channels(CHANNEL, CHANNEL),
            "channel_groups[0]",
            "channels: each of them once (any joins conditions); given more often: A",
        ),
        (channels(), "channel_groups[0].channels", "at least 1 item"),
        (
            {"custom_dimensions": [{"parameter": "a b", "scope": "event"}]},
            "custom_dimensions[0].parameter",
            "1 to 40 letters, digits",
        ),
        (
            {"custom_metrics": [{"parameter": "a", "scope": "user"}]},
            "custom_metrics[0].scope",
            "'event' or 'item'",
        ),
        (
            {"custom_metrics": [{"parameter": "a", "scope": "event", "unit": "parsecs"}]},
            "custom_metrics[0].unit",
            "'standard', 'currency'",
        ),
        (
            {"custom_dimensions": [{"parameter": "a", "scope": "user", "title": t} for t in "xy"]},
            "document",
            "custom_dimensions: each of them once; given more often: customUser:a",
        ),
        (
            {"custom_dimensions": [{"parameter": f"a{n}", "scope": "item"} for n in range(11)]},
            "document",
            "custom_dimensions: 10 of scope item at most, got 11",
        ),
        (
            {"custom_metrics": [{"parameter": f"a{n}", "scope": "event"} for n in range(51)]},
            "document",
            "custom_metrics: 50 of scope event at most, got 51",
        ),
        (
            {"channel_groups": 2 * channels(CHANNEL)["channel_groups"]},
            "document",
            "channel_groups: each of them once",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(document: object, where: str, allowed: str) -> None:
    found = problems_of(document)

    assert where in [place for place, _ in found]
    assert any(place == where and allowed in said for place, said in found), found


def test_all_problems_are_told_together() -> None:
    document = when({"any": [{"field": "a", "is": "b"}, {"field": "path", "matches": "("}]})

    places = [where for where, _ in problems_of(document | {"currency": "x", "time_zone": "y"})]

    assert places[:2] == ["time_zone", "currency"]
    assert {"filters[0].when.any[0].field", "filters[0].when.any[1].matches"} <= set(places)


def nested(depth: int) -> dict[str, Any]:
    """A condition in so many groups."""
    return {"field": "path", "is": "/"} if depth == 1 else {"not": nested(depth - 1)}


def test_groups_are_five_deep_at_most_however_deep_a_document_is() -> None:
    assert parse_rules(when(nested(5)))
    assert "5 deep at most" in str(problems_of(when(nested(6))))
    assert problems_of(when(nested(200)))
    hole: list[Any] = []
    for _ in range(100_000):
        hole = [hole]
    assert problems_of({"filters": hole})


def test_a_condition_has_a_hundred_tests_at_most() -> None:
    test = {"field": "path", "is": "/"}

    assert parse_rules(when({"any": [{"all": [test] * 50}, {"all": [test] * 50}]}))
    assert "100 tests at most" in str(
        problems_of(when({"any": [{"all": [test] * 51}, {"all": [test] * 50}]}))
    )


def test_a_document_that_is_too_large_is_not_read() -> None:
    assert problems_of({"key_events": ["a" * 200_001]}) == [("document", "up to 200000 bytes")]


def test_what_json_cannot_hold_is_refused() -> None:
    assert problems_of({"key_events": {1, 2}})[0][0] == "document"


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("purchase")
)
NAMES = st.one_of(
    st.sampled_from([*WHOLE, "when", "field", "is", "any", "name", "kind"]), st.text()
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=15,
)


@given(JSON | st.dictionaries(st.sampled_from(list(WHOLE)), JSON, max_size=5))
def test_whatever_comes_is_taken_or_refused_with_its_problems(document: object) -> None:
    rules, problems = read(document)

    if rules is None:
        assert problems
        assert all(problem.where and problem.allowed for problem in problems)
    else:
        assert parse_rules(rules.document()) == rules


@given(st.sampled_from(sorted(WHOLE)), JSON)
def test_one_broken_part_does_not_hide_that_the_rest_is_right(name: str, value: object) -> None:
    _, problems = read(WHOLE | {name: value})

    assert all(
        problem.where.startswith(name) or problem.allowed.startswith(name) for problem in problems
    )


def read(document: object) -> tuple[Rules | None, list[Problem]]:
    """The rules, or what is wrong with them."""
    try:
        return parse_rules(document), []
    except InvalidRulesError as error:
        return None, error.problems
