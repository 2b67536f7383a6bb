"""Rewrites: what is changed of a hit before anything is found out about it, one after the other."""

from typing import Annotated, Final, Literal, get_args

from pydantic import Field, model_validator

from tallymark.rule_documents.conditions import SentCondition
from tallymark.rule_documents.models import (
    MAX_LIST,
    AnyText,
    EventName,
    Host,
    ParameterName,
    Pattern,
    RuleModel,
    refuse,
)

Rewritten = Literal["host", "path", "page_query", "title", "referrer", "event_name", "user_id"]
REWRITTEN: Final[tuple[str, ...]] = get_args(Rewritten)
"""Fields that a rewrite may change."""
MAX_REWRITES: Final = 50
MAX_CREATED: Final = 8
"""Events that one event may create: a hit's number in its request has four digits."""


class LowerCase(RuleModel):
    """A field in lower case: ``{"kind": "lower_case", "field": "path"}``."""

    kind: Literal["lower_case"]
    field: Rewritten
    when: SentCondition | None = None


class StripParameters(RuleModel):
    """The page's query without these parameters, of any case:
    ``{"kind": "strip_parameters", "names": ["sid", "debug"]}``."""

    kind: Literal["strip_parameters"]
    names: tuple[ParameterName, ...] = Field(min_length=1, max_length=MAX_LIST)
    when: SentCondition | None = None


class KeepParameters(RuleModel):
    """The page's query with these parameters alone, of any case, in their order; none for an empty
    query: ``{"kind": "keep_parameters", "names": ["colour"]}``. Campaign parameters and click ids
    are read all the same only if they are kept."""

    kind: Literal["keep_parameters"]
    names: tuple[ParameterName, ...] = Field(max_length=MAX_LIST)
    when: SentCondition | None = None


class MapHost(RuleModel):
    """One host for others: ``{"kind": "map_host", "from": ["m.shop.com"], "to": "shop.com"}``."""

    kind: Literal["map_host"]
    from_: tuple[Host, ...] = Field(alias="from", min_length=1, max_length=MAX_LIST)
    to: Host
    when: SentCondition | None = None


class Replace(RuleModel):
    """All that a regular expression finds in a field, by a text in which ``$1`` or ``${1}`` stands
    for a group: ``{"kind": "replace", "field": "path", "pattern": "^/(de|fr)/", "with": "/"}``."""

    kind: Literal["replace"]
    field: Rewritten
    pattern: Pattern
    with_: AnyText = Field(alias="with")
    when: SentCondition | None = None


class RenameEvent(RuleModel):
    """One event by the name of another:
    ``{"kind": "rename_event", "from": "buy", "to": "purchase"}``."""

    kind: Literal["rename_event"]
    from_: EventName = Field(alias="from")
    to: EventName
    when: SentCondition | None = None


class SetFields(RuleModel):
    """Fields set to texts: a changed event.
    ``{"kind": "set", "when": {"field": "path", "is": "/thanks"}, "fields": {"event_name":
    "purchase"}}``."""

    kind: Literal["set"]
    fields: dict[Rewritten, AnyText] = Field(min_length=1)
    when: SentCondition

    @model_validator(mode="after")
    def _names_no_nameless_event(self) -> "SetFields":
        if self.fields.get("event_name") == "":
            refuse("an event name that is not empty")
        return self


class CreatedEvent(RuleModel):
    """An event beside those that a condition holds for, with all that they say but their
    engagement: ``{"event": "thanked", "when": {"field": "path", "is": "/thanks"}}``.

    Attributes:
        event: Its name.
        when: Of which events, once they are rewritten. What is created creates nothing itself.
        fields: What it says otherwise.
    """

    event: EventName
    when: SentCondition
    fields: dict[Rewritten, AnyText] | None = None

    @model_validator(mode="after")
    def _is_named_once(self) -> "CreatedEvent":
        if self.fields and "event_name" in self.fields:
            refuse("fields other than event_name, which is said as event")
        return self

    @property
    def changes(self) -> SetFields:
        """What it says otherwise than the event that it is created of."""
        fields: dict[Rewritten, str] = {"event_name": self.event, **(self.fields or {})}
        return SetFields(kind="set", fields=fields, when=self.when)


Rewrite = Annotated[
    LowerCase | StripParameters | KeepParameters | MapHost | Replace | RenameEvent | SetFields,
    Field(discriminator="kind"),
]
