"""The rules document: all that a property may decide about its hits, with every check.

Its JSON Schema is ``Rules.model_json_schema()``; ``docs/rules.md`` explains each part
by an example.
"""

import json
import re
import zoneinfo
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from tallymark.exchange_rates import MAX_RATE, RATE_PLACES
from tallymark.problems import Problem
from tallymark.rule_documents.channel_groups import MAX_CHANNEL_GROUPS, ChannelGroup
from tallymark.rule_documents.conditions import Condition
from tallymark.rule_documents.custom_definitions import (
    MOST_DIMENSIONS,
    MOST_METRICS,
    CustomDimension,
    CustomMetric,
    refuse_too_many,
)
from tallymark.rule_documents.models import (
    MAX_LIST,
    Currency,
    EventName,
    FilterName,
    Host,
    RuleModel,
    refuse,
)
from tallymark.rule_documents.privacy import EXCLUDED_BY, Consent, IpPolicy
from tallymark.rule_documents.rewrites import (
    MAX_CREATED,
    MAX_REWRITES,
    CreatedEvent,
    Rewrite,
)

MAX_BYTES: Final = 200_000
"""Of a document."""
MAX_FILTERS: Final = 50
MAX_KEY_EVENTS: Final = 50
_DEFINITIONS: Final = ("custom_dimensions", "custom_metrics")
RESERVED_FILTERS: Final = ("bot", "host", "too_old", *EXCLUDED_BY.values())
"""Names by which ``excluded_by`` tells what needs no rule."""


def _time_zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        refuse("a name of the IANA time zone database, such as Europe/Berlin")
    return name


def _rate(text: str) -> str:
    if not re.fullmatch(rf"[0-9]{{1,10}}(\.[0-9]{{1,{RATE_PLACES}}})?", text) or not (
        0 < Decimal(text) <= MAX_RATE
    ):
        refuse(
            f"the text of a decimal number above 0 and up to {MAX_RATE}, with {RATE_PLACES} "
            'decimal places at most, such as "1.0834"'
        )
    return text


def _amount(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        refuse(
            "the text of a decimal number from 0 to 999999999, with 6 decimal places at most, such "
            'as "12.50"'
        )
    return text


def _day(text: str) -> str:
    try:
        is_day = date.fromisoformat(text).isoformat() == text
    except ValueError:
        is_day = False
    if not is_day:
        refuse("a day, such as 2026-01-31")
    return text


class Rate(RuleModel):
    """What a unit of another currency is worth in the property's own, from a day (UTC) on."""

    currency: Currency
    since: Annotated[str, AfterValidator(_day)]
    rate: Annotated[str, AfterValidator(_rate)]

    def row(self) -> dict[str, Any]:
        """It as ``tallymark.exchange_rates.RATE``."""
        midnight = datetime.fromisoformat(self.since).replace(tzinfo=UTC)
        return {
            "currency": self.currency,
            "since": int(midnight.timestamp()) * 1_000_000,
            "rate_nanos": int(Decimal(self.rate).scaleb(RATE_PLACES)),
        }


class Filter(RuleModel):
    """Hits that are kept and do not count.

    Attributes:
        name: What ``excluded_by`` says of a hit that it applies to.
        when: Which hits.
        state: Those that one in ``testing`` applies to count, and reports can tell them apart;
            ``off`` filters nothing.
    """

    name: FilterName
    when: Condition
    state: Literal["active", "testing", "off"] = "active"

    @model_validator(mode="after")
    def _has_a_name_of_its_own(self) -> "Filter":
        if self.name in RESERVED_FILTERS:
            refuse(f"a name other than {', '.join(RESERVED_FILTERS)}, which are taken")
        return self


class KeyEvent(RuleModel):
    """An event that a property is after.

    Attributes:
        event: Its name.
        when: Which of them; all where nothing is said.
        default_value: What those are worth that were sent without a value: the text of a decimal
            number, in the property's currency. It is no revenue.
        counting_method: Whether each of them is a key event, as where nothing is said, or the first
            of a session alone. Google Analytics' words.
    """

    event: EventName
    when: Condition | None = None
    counting_method: Literal["once_per_event", "once_per_session"] | None = None
    default_value: Annotated[str, AfterValidator(_amount)] | None = None

    @property
    def default_micros(self) -> int:
        """The default value, 0 where there is none."""
        return int(Decimal(self.default_value or 0).scaleb(6))

    @property
    def is_once_per_session(self) -> bool:
        """Whether of one name the first of a session alone counts."""
        return self.counting_method == "once_per_session"

    @property
    def is_by_name(self) -> bool:
        """Whether its name is all that there is to know of a hit."""
        return self.when is None and not self.is_once_per_session


def _named(event: object) -> object:
    return {"event": event} if isinstance(event, str) else event


class Rules(RuleModel):
    """What a property decides about its hits.

    Attributes:
        time_zone: IANA name; days start by it.
        currency: What amounts are reported in.
        session_gap_seconds: A pause so long begins a new session.
        engagement_threshold_seconds: A session in focus for so long is engaged.
        attribution_lookback_days: How far back a session without a source of its own looks.
        allowed_hosts: Hosts that hits come from, with their subdomains; none means any.
        referral_exclusions: Hosts, with their subdomains, that visitors come back from and that
            are no source.
        cross_domain_hosts: Hosts, with their subdomains, that are one site: visitors go from one
            to the other with the client that they are, and none of them is a source.
        exchange_rates: Of currencies that sales are sent in, other than ``currency``.
        consent: What is done with hits whose visitors refuse or object.
        ip_policy: What of a visitor's address is used: its ``network``, the ``country_hint`` of a
            proxy alone, or ``none`` of it.
        retention_days: For how long hits are kept; ``None``: as long as the deployment keeps them.
        rewrites: What is changed of hits, one after the other, before anything is found out.
        created_events: Events that are counted beside others.
        filters: Hits that do not count; the first that applies is told.
        key_events: Names of events, or events with more to say.
        custom_dimensions: What reports can tell events by that their parameters say.
        custom_metrics: What reports can add up of it.
        channel_groups: What reports call sources, in groupings of the property's own.
    """

    time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    currency: Currency = "USD"
    session_gap_seconds: int = Field(default=1800, ge=300, le=14_400)
    engagement_threshold_seconds: int = Field(default=10, ge=1, le=60)
    attribution_lookback_days: int = Field(default=90, ge=1, le=90)
    allowed_hosts: tuple[Host, ...] = Field(default=(), max_length=MAX_LIST)
    referral_exclusions: tuple[Host, ...] = Field(default=(), max_length=MAX_LIST)
    cross_domain_hosts: tuple[Host, ...] = Field(default=(), max_length=MAX_LIST)
    exchange_rates: tuple[Rate, ...] = Field(default=(), max_length=5_000)
    consent: Consent = Consent()
    ip_policy: IpPolicy = "network"
    retention_days: int | None = Field(default=None, ge=7, le=3_660)
    rewrites: tuple[Rewrite, ...] = Field(default=(), max_length=MAX_REWRITES)
    created_events: tuple[CreatedEvent, ...] = Field(default=(), max_length=MAX_CREATED)
    filters: tuple[Filter, ...] = Field(default=(), max_length=MAX_FILTERS)
    key_events: tuple[Annotated[KeyEvent, BeforeValidator(_named)], ...] = Field(
        default=(KeyEvent(event="purchase"),), max_length=MAX_KEY_EVENTS
    )
    custom_dimensions: tuple[CustomDimension, ...] = ()
    custom_metrics: tuple[CustomMetric, ...] = ()
    channel_groups: tuple[ChannelGroup, ...] = Field(default=(), max_length=MAX_CHANNEL_GROUPS)

    @model_validator(mode="after")
    def _repeats_nothing(self) -> "Rules":
        _unique("filters", self.filters, lambda each: each.name)
        _unique("key_events", self.key_events, lambda each: each.event)
        _unique("exchange_rates", self.exchange_rates, lambda each: (each.currency, each.since))
        _unique("channel_groups", self.channel_groups, lambda each: each.name)
        _unique("custom_dimensions", self.custom_dimensions, lambda each: each.api_name)
        _unique("custom_metrics", self.custom_metrics, lambda each: each.api_name)
        refuse_too_many("custom_dimensions", self.custom_dimensions, MOST_DIMENSIONS)
        refuse_too_many("custom_metrics", self.custom_metrics, MOST_METRICS)
        return self

    @model_validator(mode="after")
    def _asks_of_no_hidden_network(self) -> "Rules":
        asking = [
            f"{name}[{place}]"
            for name, parts in self._conditioned.items()
            for place, part in enumerate(parts)
            if part.when is not None and "network" in part.when.fields
        ]
        if asking and self.ip_policy != "network":
            refuse(
                f"ip_policy network where a condition asks for networks ({', '.join(asking)}): "
                f"under {self.ip_policy} it would hold for none"
            )
        return self

    @property
    def _conditioned(self) -> dict[str, Sequence[Any]]:
        """Its parts that may have a condition."""
        names = ("rewrites", "created_events", "filters", "key_events")
        return {name: getattr(self, name) for name in names}

    @property
    def has_event_values(self) -> bool:
        """Whether values of events are wanted: where a key event has a default value."""
        return any(event.default_value is not None for event in self.key_events)

    @cached_property
    def hit_rules(self) -> str:
        """What of it has to be asked of each hit, as a document; "" where that is nothing.

        Properties that say the same have the same text, and are processed together.
        """
        asked = {
            "rewrites", "created_events", "filters", "referral_exclusions", "cross_domain_hosts",
        }  # fmt: skip
        if self.has_event_values or not all(event.is_by_name for event in self.key_events):
            asked.add("key_events")
        if self.consent.answers:
            asked.add("consent")
        if self.ip_policy != "network":
            asked.add("ip_policy")
        untitled = {"__all__": {"parameter", "scope"}}
        include = dict.fromkeys(asked, True) | dict.fromkeys(_DEFINITIONS, untitled)
        found = self.model_dump(mode="json", include=include, exclude_none=True)
        said = {name: value for name, value in found.items() if value}
        return orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode() if said else ""

    def document(self) -> dict[str, Any]:
        """It as JSON: ``parse_rules`` gives it back. What is not said is left out."""
        return self.model_dump(mode="json", exclude_none=True)


def _unique(name: str, parts: Iterable[Any], key: Callable[[Any], Hashable]) -> None:
    counts = Counter(map(key, parts))
    repeated = [str(each) for each, count in counts.items() if count > 1]
    if repeated:
        refuse(f"{name}: each of them once; given more often: {', '.join(repeated)}")


class InvalidRulesError(ValueError):
    """All problems of a rules document, together."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def parse_rules(document: object) -> Rules:
    """The rules that a document (what JSON or YAML was read into) holds.

    Raises:
        InvalidRulesError: with every problem, where it stands, what came and what is allowed.
    """
    try:
        content = json.dumps(document)
    except (TypeError, ValueError, RecursionError) as error:
        problem = Problem(where="document", got=str(error), allowed="what JSON can hold")
        raise InvalidRulesError([problem]) from error
    if len(content) > MAX_BYTES:
        problem = Problem(
            where="document", got=f"{len(content)} bytes", allowed=f"up to {MAX_BYTES} bytes"
        )
        raise InvalidRulesError([problem])
    try:
        return Rules.model_validate_json(content)
    except ValidationError as error:
        raise InvalidRulesError([_problem(each) for each in error.errors()]) from error


def _problem(error: ErrorDetails) -> Problem:
    allowed = str(error.get("ctx", {}).get("allowed") or error["msg"])
    got = error["input"]
    if error["type"] == "extra_forbidden":
        allowed = "nothing of this name"
    elif error["type"] == "missing":
        got, allowed = "nothing", "something: it has to be said"
    elif error["type"] == "union_tag_invalid":
        got, allowed = error["ctx"]["tag"], f"one of {error['ctx']['expected_tags']}"
    return Problem(
        where=_where(error["loc"]),
        got=got,
        allowed=allowed.removeprefix("Input should be ").removeprefix("String should "),
    )


def _where(places: tuple[int | str, ...]) -> str:
    """``filters[2].when.any[0].is``; the kind of a rewrite is no place in it."""
    if places[:1] == ("rewrites",):
        places = (*places[:2], *places[3:])
    where = ""
    for place in places:
        where += f"[{place}]" if isinstance(place, int) else f".{place}"
    return where.removeprefix(".") or "document"
