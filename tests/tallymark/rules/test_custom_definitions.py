"""Custom definitions put to hits: what is kept of parameters, user properties and items."""

import json
from typing import Any

import polars as pl
import pytest

from tallymark.hit_cells import cells_of
from tallymark.processing import process_requests
from tallymark.properties import DataStream, Property, RulesVersion, properties_frame
from tallymark.rule_documents import parse_rules
from tests.tallymark.recorded import RECEIVED_AT, frame, server, web

BASE = "v=2&cid=1.2&en=page_view&tid=G-1&dl=https%3A%2F%2Fshop.example%2F"
DEFINED = {
    "custom_dimensions": [
        {"parameter": "author", "scope": "event"},
        {"parameter": "plan", "scope": "user"},
        {"parameter": "cut", "scope": "item"},
    ],
    "custom_metrics": [
        {"parameter": "wait", "scope": "event"},
        {"parameter": "weight", "scope": "item"},
    ],
}
NOTHING = [("customEvent:author", "", None), ("customUser:plan", "", None)]


def owner(*versions: tuple[int, dict[str, Any]]) -> pl.DataFrame:
    """A property whose versions of rules take effect at these instants."""
    return properties_frame(
        [
            Property(
                property_id=1,
                name="Shop",
                data_streams=(DataStream(measurement_id="G-1"),),
                versions=tuple(
                    RulesVersion(version=number, effective_at=at, rules=parse_rules(rules))
                    for number, (at, rules) in enumerate(versions, start=1)
                ),
            )
        ]
    )


def said(request: dict[str, Any], *, with_params: bool, **rules: Any) -> list[Any]:
    properties = owner((0, {**DEFINED, **rules}))
    (hit,) = process_requests(
        frame(request), lambda _: properties, with_params=with_params
    ).hits.to_dicts()
    return [tuple(custom.values()) for custom in hit["customs"]]


CASES: dict[str, tuple[str, list[Any]]] = {
    "nothing": ("", NOTHING),
    "a parameter": ("&ep.author=Ann", [("customEvent:author", "Ann", None), NOTHING[1]]),
    "a number is a value too": ("&epn.author=7", [("customEvent:author", "7", None), NOTHING[1]]),
    "a long value": ("&ep.author=" + "x" * 200,
                     [("customEvent:author", "x" * 100, None), NOTHING[1]]),
    "a user property": ("&up.plan=gold", [NOTHING[0], ("customUser:plan", "gold", None)]),
    "one of the other scope": ("&up.author=Ann&ep.plan=gold", NOTHING),
    "a number": ("&epn.wait=1.25", [NOTHING[0], ("customEvent:wait", "", 1_250_000), NOTHING[1]]),
    "a text where a number is meant": ("&ep.wait=long", NOTHING),
    "items": (
        "&pr1=ida~k0cut~v0slim~k1weight~v11.5&pr2=idb~k0cut~v0slim~k1weight~v12"
        "&pr3=idc~k0cut~v0wide&pr4=idd",
        [NOTHING[0], ("customItem:cut", "slim", None), ("customItem:cut", "wide", None),
         ("customItem:weight", "", 1_500_000), ("customItem:weight", "", 2_000_000), NOTHING[1]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("with_params", [False, True], ids=["stream", "replay"])
@pytest.mark.parametrize("case", CASES)
def test_a_hit_is_kept_with_what_was_defined(case: str, with_params: bool) -> None:
    more, expected = CASES[case]
    assert said(web(BASE + more), with_params=with_params) == expected


def test_a_server_says_the_same() -> None:
    document = {
        "client_id": "1.2",
        "user_properties": {"plan": {"value": "gold"}},
        "events": [
            {"name": "sold", "params": {"author": "Ann", "wait": 2, "items": [
                {"item_id": "a", "cut": "slim", "weight": 3}]}},
        ],
    }  # fmt: skip
    request = server(json.dumps(document), query="measurement_id=G-1&api_secret=s")
    assert said(request, with_params=False) == [
        ("customEvent:author", "Ann", None), ("customEvent:wait", "", 2_000_000),
        ("customItem:cut", "slim", None), ("customItem:weight", "", 3_000_000),
        ("customUser:plan", "gold", None),
    ]  # fmt: skip


def test_definitions_hold_from_their_version_on() -> None:
    properties = owner((0, {}), (RECEIVED_AT, DEFINED))
    requests = frame(web(BASE, received_at=RECEIVED_AT - 1), web(BASE, received_at=RECEIVED_AT))
    hits = process_requests(requests, lambda _: properties, with_params=False).hits
    assert hits.get_column("customs").list.len().to_list() == [0, 2]


def test_a_hit_names_each_row_of_its_own_definitions_in_which_it_counts() -> None:
    request = web(BASE + "&ep.author=Ann&epn.wait=2")
    hits = process_requests(frame(request), lambda _: owner((0, DEFINED))).hits
    own = cells_of(hits).filter(pl.col("rollup").str.starts_with("custom"))
    assert [(rollup, *keys) for rollup, keys in own.select("rollup", "keys").iter_rows()] == [
        ("custom", "customEvent:author", "Ann"),
        ("custom", "customUser:plan", ""),
        ("custom_events", "customEvent:author", "Ann", "page_view"),
        ("custom_events", "customUser:plan", "", "page_view"),
        ("custom_amounts", "customEvent:wait", "page_view"),
    ]


def test_the_titles_of_definitions_concern_no_hit() -> None:
    titled = {name: [{**each, "title": "T"} for each in some] for name, some in DEFINED.items()}
    assert parse_rules(titled).hit_rules == parse_rules(DEFINED).hit_rules
