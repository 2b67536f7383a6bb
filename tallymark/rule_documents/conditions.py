"""Conditions: what a hit has to be like for a rule to apply to it.

A condition is a test of one field, or ``all``, ``any`` or ``not`` of others::

    {"any": [{"field": "host", "ends_with": ".test"},
             {"all": [{"field": "param.traffic_type", "is": "internal"},
                      {"not": {"field": "country", "in": ["CH", "LI"]}}]}]}
"""

import ipaddress
from decimal import Decimal
from functools import reduce
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tallymark.rule_documents.models import (
    MAX_LIST,
    AnyText,
    Pattern,
    RuleModel,
    Text,
    given,
    refuse,
)

SENT_FIELDS: Final = (
    "event_name", "host", "path", "page_query", "title", "referrer", "client_id", "user_id",
    "currency", "transaction_id", "language", "screen_resolution", "country", "network",
    "user_agent", "consent",
)  # fmt: skip
"""Texts that are known of a hit as soon as it is decoded."""
FOUND_FIELDS: Final = (
    "source", "medium", "campaign", "term", "content", "click_id", "channel", "device_category",
    "browser", "operating_system",
)  # fmt: skip
"""Texts that enrichment finds out: only rules that come after it may ask for them."""
NUMBER_FIELDS: Final = ("value", "engagement_seconds")
PREFIXES: Final = ("param.", "user_property.")
"""Of fields that are a parameter or a user property, by name."""
MAX_TESTS: Final = 100
MAX_DEPTH: Final = 5
_TESTS: Final = (
    "is_", "in_", "starts_with", "ends_with", "contains", "matches", "above", "below", "is_set",
    "in_network",
)  # fmt: skip
_GROUPS: Final = ("all", "any", "not_")


def _field(name: str) -> str:
    is_known = name in (*SENT_FIELDS, *FOUND_FIELDS, *NUMBER_FIELDS)
    if not is_known and not any(
        name.startswith(prefix) and 0 < len(name) - len(prefix) <= 40 for prefix in PREFIXES
    ):
        refuse(
            f"one of {', '.join((*SENT_FIELDS, *FOUND_FIELDS, *NUMBER_FIELDS))}, "
            "param.NAME, user_property.NAME"
        )
    return name


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        refuse("a network in CIDR form whose host bits are 0, such as 192.0.2.0/24")
    most = 24 if network.version == 4 else 48
    if network.prefixlen > most:
        refuse(
            "a network of /24 (IPv4) or /48 (IPv6) or larger: nothing smaller is kept of an address"
        )
    return str(network)


FieldName = Annotated[str, StringConstraints(max_length=60), AfterValidator(_field)]
Network = Annotated[str, AfterValidator(_network)]


class Condition(RuleModel):
    """A test of a field, or a group of conditions.

    Attributes:
        all: Every one of them holds.
        any: At least one of them holds.
        not_: It does not hold.
        field: What is tested: a column of a hit, ``param.NAME`` or ``user_property.NAME``.
        is_: It is this text. What was not sent is "".
        in_: It is one of these.
        starts_with: It begins with this.
        ends_with: It ends with this.
        contains: It holds this.
        matches: This regular expression is found in it (no look-around, no references back).
        above: It is a number larger than this.
        below: It is a number smaller than this.
        is_set: Whether it was sent.
        in_network: The visitor's network lies in one of these; no field is named then.
        ignore_case: Texts are compared in lower case.
    """

    all: tuple["Condition", ...] | None = Field(default=None, min_length=1, max_length=MAX_LIST)
    any: tuple["Condition", ...] | None = Field(default=None, min_length=1, max_length=MAX_LIST)
    not_: "Condition | None" = Field(default=None, alias="not")
    field: FieldName | None = None
    is_: AnyText | None = Field(default=None, alias="is")
    in_: tuple[AnyText, ...] | None = Field(
        default=None, alias="in", min_length=1, max_length=MAX_LIST
    )
    starts_with: Text | None = None
    ends_with: Text | None = None
    contains: Text | None = None
    matches: Pattern | None = None
    above: int | float | None = Field(default=None, ge=-(10**9), le=10**9, allow_inf_nan=False)
    below: int | float | None = Field(default=None, ge=-(10**9), le=10**9, allow_inf_nan=False)
    is_set: bool | None = None
    in_network: tuple[Network, ...] | None = Field(default=None, min_length=1, max_length=MAX_LIST)
    ignore_case: bool | None = None

    @model_validator(mode="after")
    def _has_one_shape(self) -> "Condition":
        groups, tests = given(self, _GROUPS), given(self, _TESTS)
        if groups:
            fits = (
                len(groups) == 1 and not tests and self.field is None and self.ignore_case is None
            )
        elif self.in_network is not None:
            fits = len(tests) == 1 and self.field is None
        else:
            fits = len(tests) == 1 and self.field is not None
        if not fits:
            refuse(
                "one of all, any, not; or in_network; or a field with one of is, in, starts_with, "
                "ends_with, contains, matches, above, below, is_set"
            )
        is_number = self.field in NUMBER_FIELDS
        if is_number and not tests.keys() & {"above", "below", "is_set"}:
            refuse(f"above, below or is_set, since {self.field} is a number")
        if tests.keys() & {"above", "below"} and not is_number and not self.is_named:
            refuse("above and below of value, engagement_seconds, param.NAME or user_property.NAME")
        if self.depth > MAX_DEPTH:
            refuse(f"groups in groups {MAX_DEPTH} deep at most")
        if self.tests > MAX_TESTS:
            refuse(f"{MAX_TESTS} tests at most in one condition, got {self.tests}")
        return self

    @property
    def is_named(self) -> bool:
        """Whether the field is a parameter or a user property."""
        return self.field is not None and self.field.startswith(PREFIXES)

    @property
    def parts(self) -> tuple["Condition", ...]:
        """The conditions in a group; none of a test."""
        one = (self.not_,) if self.not_ is not None else ()
        return (*(self.all or ()), *(self.any or ()), *one)

    @property
    def depth(self) -> int:
        """1 of a test, and one more for each group around it."""
        return 1 + max((part.depth for part in self.parts), default=0)

    @property
    def tests(self) -> int:
        """How many tests it comes to."""
        return reduce(lambda total, part: total + part.tests, self.parts, 0) or 1

    @property
    def fields(self) -> frozenset[str]:
        """All fields that are tested; a network is the field ``network``."""
        own = {self.field} if self.field is not None else set()
        if self.in_network is not None:
            own.add("network")
        return frozenset(own).union(*(part.fields for part in self.parts))


def micros(number: float) -> int:
    """A number of a condition in micros."""
    return int(Decimal(repr(number)).scaleb(6))


def _is_sent(condition: Condition) -> Condition:
    found = sorted(condition.fields.intersection(FOUND_FIELDS))
    if found:
        refuse(
            "fields that a hit is sent with, since this is done before sources, devices and "
            f"channels are known, not {', '.join(found)}"
        )
    return condition


SentCondition = Annotated[Condition, AfterValidator(_is_sent)]
"""A condition of what is known before enrichment."""
