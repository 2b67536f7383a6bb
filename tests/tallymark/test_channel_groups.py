"""Channel groups of a property's own: which channel a source is in, and reports by them."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.channel_groups import channels_of
from tallymark.channels import CHANNELS
from tallymark.report_names import STANDARD, ReportNames, names_of
from tallymark.reports import InvalidRequestError
from tallymark.reports.catalogue import metadata_document
from tallymark.rule_documents import parse_rules
from tallymark.rule_documents.channel_groups import SOURCE_FIELDS, ChannelGroup
from tests.tallymark.report_cells import asks, report_of, values

OWN: list[dict[str, Any]] = [
    {"name": "Own", "when": {"field": "source", "ends_with": ".shop.example"}},
    {
        "name": "Spring",
        "when": {
            "all": [
                {"field": "campaign", "matches": "^spring", "ignore_case": True},
                {"not": {"field": "medium", "in": ["cpc", "ppc"]}},
            ]
        },
    },
    {"name": "Search", "when": {"field": "channel", "ends_with": "Search"}},
]


def group(*channels: dict[str, Any], name: str = "own") -> ChannelGroup:
    document = {"name": name, "title": "Ours", "channels": list(channels or OWN)}
    return parse_rules({"channel_groups": [document]}).channel_groups[0]


def sources(*rows: tuple[str, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(SOURCE_FIELDS, pl.String), orient="row")


@pytest.mark.parametrize(
    ("source", "channel"),
    [
        (("blog.shop.example", "referral", "(referral)", "Referral"), "Own"),
        (("blog.shop.example", "email", "spring", "Email"), "Own"),  # the first that matches
        (("letter", "email", "Spring-2026", "Email"), "Spring"),
        (("google", "cpc", "spring", "Paid Search"), "Search"),
        (("google", "organic", "(organic)", "Organic Search"), "Search"),
        (("(direct)", "(none)", "(direct)", "Direct"), "Unassigned"),
        (("(not set)", "(not set)", "(not set)", "Unassigned"), "Unassigned"),
        (("(other)", "(other)", "(other)", "(other)"), "(other)"),
        (("(other)", "email", "spring", "Email"), "Spring"),  # a source that is called so
    ],
)
def test_the_first_channel_whose_condition_holds_is_that_of_a_source(
    source: tuple[str, ...], channel: str
) -> None:
    assert channels_of(group(), sources(source, source)).to_list() == [channel, channel]


def test_no_sources_have_no_channels() -> None:
    assert channels_of(group(), sources()).to_list() == []


@given(st.lists(st.sampled_from(CHANNELS), max_size=40))
def test_a_group_that_names_the_default_channels_is_the_default_group(channels: list[str]) -> None:
    same = [{"name": name, "when": {"field": "channel", "is": name}} for name in CHANNELS]
    rows = [("s", "m", "c", name) for name in channels]
    assert channels_of(group(*same), sources(*rows)).to_list() == channels


SESSIONS = [
    {"source": "letter", "medium": "email", "campaign": "spring", "channel": "Email",
     "sessions": 2, "users": {1, 2}},
    {"source": "blog", "medium": "email", "campaign": "Spring", "channel": "Email", "sessions": 1,
     "users": {2}},
    {"source": "google", "medium": "organic", "campaign": "(organic)",
     "channel": "Organic Search", "sessions": 5, "users": {3}},
    {"source": "(direct)", "medium": "(none)", "campaign": "(direct)", "channel": "Direct",
     "sessions": 3, "users": {4}},
]  # fmt: skip
NAMES = names_of(parse_rules({"channel_groups": [{"name": "own", "channels": OWN}]}))


def test_reports_of_sessions_go_by_a_group_with_any_other_name_of_the_source() -> None:
    request = asks("sessionCustomChannelGroup:own sessionMedium", "sessions totalUsers")
    assert values(report_of(SESSIONS, request, names=NAMES)["rows"]) == [
        ("Search", "organic", "5", "1"),
        ("Spring", "email", "3", "2"),
        ("Unassigned", "(none)", "3", "1"),
    ]


def test_a_group_may_be_filtered_by_without_being_shown() -> None:
    request = asks(
        "",
        "sessions",
        dimensionFilter={
            "filter": {
                "fieldName": "sessionCustomChannelGroup:own",
                "inListFilter": {"values": ["Spring", "Search"]},
            }
        },
    )
    assert values(report_of(SESSIONS, request, names=NAMES)["rows"]) == [("8",)]


def test_first_visits_go_by_the_same_group() -> None:
    first = [
        {f"first_{key}" if key in SOURCE_FIELDS else key: value for key, value in row.items()}
        for row in SESSIONS
    ]
    request = asks("firstUserCustomChannelGroup:own", "totalUsers")
    assert values(report_of(first, request, names=NAMES)["rows"]) == [
        ("Spring", "2"), ("Search", "1"), ("Unassigned", "1"),
    ]  # fmt: skip


def test_a_group_of_nobody_is_no_name() -> None:
    with pytest.raises(InvalidRequestError, match="not a valid dimension"):
        report_of(SESSIONS, asks("sessionCustomChannelGroup:own", "sessions"))


def custom_names(names: ReportNames) -> dict[str, str]:
    dimensions = metadata_document(1, names)["dimensions"]
    return {each["apiName"]: each["uiName"] for each in dimensions if "customDefinition" in each}


def test_the_catalogue_of_a_property_names_its_groups() -> None:
    assert custom_names(names_of(parse_rules({}))) == {}
    assert names_of(parse_rules({})) is STANDARD
    titled = [{"name": "own", "title": "Ours", "channels": OWN}, {"name": "b", "channels": OWN}]
    assert custom_names(names_of(parse_rules({"channel_groups": titled}))) == {
        "sessionCustomChannelGroup:own": "Session Ours",
        "firstUserCustomChannelGroup:own": "First user Ours",
        "sessionCustomChannelGroup:b": "Session b",
        "firstUserCustomChannelGroup:b": "First user b",
    }
