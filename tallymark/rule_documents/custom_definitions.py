"""Custom definitions: parameters, user properties and items' parameters that reports can use."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from tallymark.rule_documents.models import ParameterName, RuleModel, Title, refuse

Scope = Literal["event", "user", "item"]
Unit = Literal[
    "standard", "currency", "feet", "miles", "meters", "kilometers", "milliseconds", "seconds",
    "minutes", "hours",
]  # fmt: skip
"""GA's units of measurement."""
MOST_DIMENSIONS: Final[Mapping[Scope, int]] = {"event": 50, "user": 25, "item": 10}
MOST_METRICS: Final[Mapping[Scope, int]] = {"event": 50, "item": 10}
"""By scope, as in GA4 (its item-scoped metrics: of the larger properties)."""
PREFIXES: Final[Mapping[Scope, str]] = {
    "event": "customEvent:", "user": "customUser:", "item": "customItem:",
}  # fmt: skip
"""What stands before the parameter in the names of GA4's Data API."""


class CustomDimension(RuleModel):
    """What events are told apart by: a parameter of theirs, of their user, or of their items.

    Attributes:
        parameter: As sites send it.
        scope: Whose it is.
        title: As people call it; the parameter where nothing is said.
    """

    parameter: ParameterName
    scope: Scope
    title: Title | None = None

    @property
    def api_name(self) -> str:
        """What requests of reports call it."""
        return PREFIXES[self.scope] + self.parameter


class CustomMetric(RuleModel):
    """What is added up: a parameter of events or items that is sent as a number.

    Attributes:
        parameter: As sites send it.
        scope: Whose it is.
        unit: What the number is of.
        title: As people call it; the parameter where nothing is said.
    """

    parameter: ParameterName
    scope: Literal["event", "item"]
    unit: Unit = "standard"
    title: Title | None = None

    @property
    def api_name(self) -> str:
        """What requests of reports call its sum."""
        return PREFIXES[self.scope] + self.parameter


def refuse_too_many(
    name: str, defined: Iterable[CustomDimension | CustomMetric], most: Mapping[Scope, int]
) -> None:
    """Refuse more definitions of a scope than there may be."""
    for scope, count in Counter(each.scope for each in defined).items():
        if count > most[scope]:
            refuse(f"{name}: {most[scope]} of scope {scope} at most, got {count}")
