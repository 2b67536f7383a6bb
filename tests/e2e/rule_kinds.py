"""Rules of every kind: hits, and what reports show of them without the rules and with them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

Rows = dict[tuple[str, ...], tuple[float, ...]]
"""Values of dimensions to those of metrics."""

BROWSER: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)
SHOP: Final = "https://shop.example.com"


@dataclass(frozen=True)
class Sent:
    """A request in GA4's web format.

    Attributes:
        facts: Its parameters but for version and measurement id.
        headers: Beside the browser's name.
        is_later: Whether it is sent a good hour after the first ones.
    """

    facts: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    is_later: bool = False

    def query(self, measurement_id: str) -> str:
        """It, of a property."""
        return urlencode({"v": "2", "tid": measurement_id, **self.facts})


@dataclass(frozen=True, kw_only=True)
class RuleKind:
    """A rules document with one kind of rule, and a report that shows it.

    Attributes:
        rules: The document.
        sent: The hits.
        dimensions: Of the report.
        metrics: Of the report.
        before: Its rows without the rules; of rules of time a function of when they were received;
            None where the report asks for what the rules define, and is refused.
        after: The same with the rules.
    """

    rules: dict[str, Any]
    sent: tuple[Sent, ...]
    dimensions: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("eventCount",)
    before: Rows | Callable[[datetime], Rows] | None
    after: Rows | Callable[[datetime], Rows]


def hit(
    page: str = "/", *, client: str = "1.1", event: str = "page_view", is_later: bool = False,
    headers: Mapping[str, str] | None = None, **more: str,
) -> Sent:  # fmt: skip
    """An event on a page of the shop, or of another address; ``more`` as parameters, with ``__``
    for ``.``."""
    address = page if "://" in page else SHOP + page
    facts = {"cid": client, "en": event, "dl": address}
    facts |= {name.replace("__", "."): value for name, value in more.items()}
    return Sent(facts, headers or {}, is_later)


def _hour(zone: str) -> Callable[[datetime], Rows]:
    return lambda at: {(at.astimezone(ZoneInfo(zone)).strftime("%Y%m%d%H"),): (1,)}


_SALE: Final = {"event": "purchase", "ep__transaction_id": "T1", "epn__value": "10"}
_BRITISH: Final = {"X-Forwarded-For": "81.2.69.142"}
_NOWHERE: Final = {"name": "nowhere", "when": {"field": "country", "is_set": False}}

RULE_KINDS: Final = {
    "time_zone": RuleKind(
        rules={"time_zone": "Asia/Kathmandu"},
        sent=(hit(),),
        dimensions=("dateHour",),
        before=_hour("UTC"),
        after=_hour("Asia/Kathmandu"),
    ),
    "currency": RuleKind(
        rules={"currency": "EUR"},
        sent=(hit(**_SALE, cu="EUR"),),
        metrics=("eventCount", "purchaseRevenue"),
        before={(): (1, 0)},
        after={(): (1, 10)},
    ),
    "exchange_rates": RuleKind(
        rules={"exchange_rates": [{"currency": "EUR", "since": "2026-01-01", "rate": "1.5"}]},
        sent=(hit(**_SALE, cu="EUR"),),
        metrics=("eventCount", "purchaseRevenue"),
        before={(): (1, 0)},
        after={(): (1, 15)},
    ),
    "session_gap_seconds": RuleKind(
        rules={"session_gap_seconds": 14_400},
        sent=(hit("/"), hit("/late", is_later=True)),
        metrics=("sessions", "eventCount"),
        before={(): (2, 2)},
        after={(): (1, 2)},
    ),
    "engagement_threshold_seconds": RuleKind(
        rules={"engagement_threshold_seconds": 3},
        sent=(hit(_et="5000"),),
        metrics=("sessions", "engagedSessions"),
        before={(): (1, 0)},
        after={(): (1, 1)},
    ),
    "allowed_hosts": RuleKind(
        rules={"allowed_hosts": ["shop.example.com"]},
        sent=(hit(), hit("https://copy.test/", client="2.2")),
        dimensions=("hostName",),
        metrics=("screenPageViews", "totalUsers"),
        before={("shop.example.com",): (1, 1), ("copy.test",): (1, 1)},
        after={("shop.example.com",): (1, 1)},
    ),
    "referral_exclusions": RuleKind(
        rules={"referral_exclusions": ["pay.test"]},
        sent=(
            hit(dr="https://www.pay.test/done"),
            hit(client="2.2", dr="https://blog.test/post"),
        ),
        dimensions=("sessionSource", "sessionMedium"),
        metrics=("sessions",),
        before={("pay.test", "referral"): (1,), ("blog.test", "referral"): (1,)},
        after={("(direct)", "(none)"): (1,), ("blog.test", "referral"): (1,)},
    ),
    "cross_domain_hosts": RuleKind(
        rules={"cross_domain_hosts": ["example.com", "checkout.test"]},
        sent=(
            hit("https://pay.checkout.test/?_tml=1", dr=f"{SHOP}/cart"),
            hit("/thanks", client="2.2", dr="https://checkout.test/"),
        ),
        dimensions=("sessionSource",),
        metrics=("sessions",),
        before={("shop.example.com",): (1,), ("checkout.test",): (1,)},
        after={("(direct)",): (2,)},
    ),
    "consent analytics_denied": RuleKind(
        rules={"consent": {"analytics_denied": "exclude"}},
        sent=(hit("/a", gcs="G111"), hit("/b", gcs="G100")),
        dimensions=("pagePath",),
        before={("/a",): (1,), ("/b",): (1,)},
        after={("/a",): (1,)},
    ),
    "consent do_not_track": RuleKind(
        rules={"consent": {"do_not_track": "anonymise"}},
        sent=(hit(headers={"DNT": "1"}), hit()),
        metrics=("eventCount", "totalUsers"),
        before={(): (2, 1)},
        after={(): (2, 2)},
    ),
    "consent global_privacy_control": RuleKind(
        rules={"consent": {"global_privacy_control": "exclude"}},
        sent=(hit("/a", headers={"Sec-GPC": "1"}), hit("/b")),
        dimensions=("pagePath",),
        before={("/a",): (1,), ("/b",): (1,)},
        after={("/b",): (1,)},
    ),
    "ip_policy network": RuleKind(
        rules={"ip_policy": "network", "filters": [_NOWHERE]},
        sent=(hit(headers=_BRITISH),),
        before={(): (1,)},
        after={(): (1,)},
    ),
    "ip_policy none": RuleKind(
        rules={"ip_policy": "none", "filters": [_NOWHERE]},
        sent=(hit(headers=_BRITISH),),
        before={(): (1,)},
        after={},
    ),
    "custom_dimensions": RuleKind(
        rules={
            "custom_dimensions": [
                {"parameter": "author", "scope": "event"},
                {"parameter": "plan", "scope": "user"},
            ]
        },
        sent=(
            hit(ep__author="Ada", up__plan="gold"),
            hit(client="2.2", ep__author="Ada"),
            hit(client="2.2"),
        ),
        dimensions=("customEvent:author",),
        metrics=("eventCount", "totalUsers"),
        before=None,
        after={("Ada",): (2, 2), ("(not set)",): (1, 1)},
    ),
    "custom_metrics": RuleKind(
        rules={"custom_metrics": [{"parameter": "wait", "scope": "event", "unit": "seconds"}]},
        sent=(hit(epn__wait="1.5"), hit(epn__wait="3"), hit()),
        dimensions=("eventName",),
        metrics=("customEvent:wait", "averageCustomEvent:wait", "countCustomEvent:wait"),
        before=None,
        after={("page_view",): (4.5, 2.25, 2)},
    ),
    "channel_groups": RuleKind(
        rules={
            "channel_groups": [
                {
                    "name": "own",
                    "channels": [
                        {"name": "Letters", "when": {"field": "medium", "is": "email"}},
                        {"name": "Others", "when": {"field": "source", "is_set": True}},
                    ],
                }
            ]
        },
        sent=(
            hit("/?utm_source=may&utm_medium=email"),
            hit(client="2.2", dr="https://blog.test/"),
        ),
        dimensions=("sessionCustomChannelGroup:own",),
        metrics=("sessions",),
        before=None,
        after={("Letters",): (1,), ("Others",): (1,)},
    ),
    "rewrites lower_case": RuleKind(
        rules={"rewrites": [{"kind": "lower_case", "field": "path"}]},
        sent=(hit("/Shoes"), hit("/shoes")),
        dimensions=("pagePath",),
        metrics=("screenPageViews", "sessions"),
        before={("/Shoes",): (1, 1), ("/shoes",): (1, 1)},
        after={("/shoes",): (2, 1)},
    ),
    "rewrites strip_parameters": RuleKind(
        rules={"rewrites": [{"kind": "strip_parameters", "names": ["utm_source", "utm_medium"]}]},
        sent=(hit("/?utm_source=letter&utm_medium=email"),),
        dimensions=("sessionSource", "sessionDefaultChannelGroup"),
        metrics=("sessions",),
        before={("letter", "Email"): (1,)},
        after={("(direct)", "Direct"): (1,)},
    ),
    "rewrites keep_parameters": RuleKind(
        rules={"rewrites": [{"kind": "keep_parameters", "names": ["utm_source"]}]},
        sent=(hit("/?utm_source=letter&utm_medium=email&gclid=x"),),
        dimensions=("sessionSource", "sessionMedium"),
        metrics=("sessions",),
        before={("letter", "email"): (1,)},
        after={("letter", "(not set)"): (1,)},
    ),
    "rewrites map_host": RuleKind(
        rules={
            "rewrites": [{"kind": "map_host", "from": ["m.example.com"], "to": "shop.example.com"}]
        },
        sent=(hit("https://m.example.com/"), hit()),
        dimensions=("hostName",),
        metrics=("screenPageViews",),
        before={("m.example.com",): (1,), ("shop.example.com",): (1,)},
        after={("shop.example.com",): (2,)},
    ),
    "rewrites replace": RuleKind(
        rules={
            "rewrites": [
                {"kind": "replace", "field": "path", "pattern": "^/(de|fr)/(.*)$", "with": "/$2-$1"}
            ]
        },
        sent=(hit("/de/shoes"), hit("/fr/shoes"), hit("/it/shoes")),
        dimensions=("pagePath",),
        metrics=("screenPageViews",),
        before={("/de/shoes",): (1,), ("/fr/shoes",): (1,), ("/it/shoes",): (1,)},
        after={("/shoes-de",): (1,), ("/shoes-fr",): (1,), ("/it/shoes",): (1,)},
    ),
    "rewrites rename_event": RuleKind(
        rules={"rewrites": [{"kind": "rename_event", "from": "buy", "to": "purchase"}]},
        sent=(hit(**_SALE | {"event": "buy"}),),
        dimensions=("eventName",),
        metrics=("eventCount", "keyEvents", "purchaseRevenue"),
        before={("buy",): (1, 0, 0)},
        after={("purchase",): (1, 1, 10)},
    ),
    "rewrites set": RuleKind(
        rules={
            "rewrites": [
                {
                    "kind": "set",
                    "fields": {"event_name": "thanked"},
                    "when": {"field": "path", "is": "/thanks"},
                }
            ]
        },
        sent=(hit("/thanks"), hit("/")),
        dimensions=("eventName",),
        before={("page_view",): (2,)},
        after={("page_view",): (1,), ("thanked",): (1,)},
    ),
    "created_events": RuleKind(
        rules={
            "created_events": [
                {"event": "thanked", "when": {"field": "path", "starts_with": "/thanks"}}
            ],
            "key_events": ["thanked"],
        },
        sent=(hit("/thanks/1"), hit("/")),
        dimensions=("eventName",),
        metrics=("eventCount", "keyEvents"),
        before={("page_view",): (2, 0)},
        after={("page_view",): (2, 0), ("thanked",): (1, 1)},
    ),
    "filters": RuleKind(
        rules={
            "filters": [
                {
                    "name": "internal",
                    "when": {
                        "all": [
                            {"in_network": ["127.0.0.0/8"]},
                            {"field": "param.traffic_type", "is": "internal"},
                        ]
                    },
                }
            ]
        },
        sent=(hit("/a", ep__traffic_type="internal"), hit("/b", client="2.2")),
        dimensions=("pagePath",),
        metrics=("screenPageViews", "totalUsers"),
        before={("/a",): (1, 1), ("/b",): (1, 1)},
        after={("/b",): (1, 1)},
    ),
    "filters off": RuleKind(
        rules={
            "filters": [
                {"name": "all", "when": {"field": "path", "is_set": True}, "state": "off"}
            ]
        },
        sent=(hit(),),
        before={(): (1,)},
        after={(): (1,)},
    ),
    "filters testing": RuleKind(
        rules={
            "filters": [
                {
                    "name": "staff",
                    "when": {"field": "path", "starts_with": "/staff"},
                    "state": "testing",
                }
            ]
        },
        sent=(hit("/staff/a"), hit("/staff/b"), hit("/c", client="2.2")),
        dimensions=("testDataFilterName",),
        metrics=("eventCount", "totalUsers"),
        before={},
        after={("staff",): (2, 1), ("(not set)",): (1, 1)},
    ),
    "key_events default_value": RuleKind(
        rules={"key_events": [{"event": "sign_up", "default_value": "12.50"}]},
        sent=(hit(event="sign_up"), hit(event="sign_up", epn__value="2"), hit(epn__value="1")),
        dimensions=("eventName",),
        metrics=("eventValue",),
        before=None,
        after={("sign_up",): (14.5,), ("page_view",): (1,)},
    ),
    "key_events once_per_session": RuleKind(
        rules={
            "key_events": [
                {"event": "sign_up", "counting_method": "once_per_session"},
                {"event": "tried", "counting_method": "once_per_event"},
            ]
        },
        sent=(
            *(hit(event="sign_up") for _ in range(3)),
            hit(event="sign_up", client="2.2"),
            *(hit(event="tried") for _ in range(2)),
        ),
        dimensions=("eventName",),
        metrics=("eventCount", "keyEvents"),
        before={("sign_up",): (4, 0), ("tried",): (2, 0)},
        after={("sign_up",): (4, 2), ("tried",): (2, 2)},
    ),
    "key_events": RuleKind(
        rules={
            "key_events": [
                "sign_up",
                {"event": "page_view", "when": {"field": "path", "is": "/thanks"}},
            ]
        },
        sent=(hit("/thanks"), hit("/"), hit(event="sign_up"), hit(event="purchase")),
        dimensions=("eventName",),
        metrics=("eventCount", "keyEvents"),
        before={("page_view",): (2, 0), ("sign_up",): (1, 0), ("purchase",): (1, 1)},
        after={("page_view",): (2, 1), ("sign_up",): (1, 1), ("purchase",): (1, 0)},
    ),
}  # fmt: skip
"""By name."""
SHOWN_ELSEWHERE: Final = {"attribution_lookback_days", "retention_days"}
"""Parts that show after days alone, where replays and the sweeping of the archive are tested."""
