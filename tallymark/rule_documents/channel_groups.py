"""Channel groups: groupings of sources that a property makes for its reports."""

from collections import Counter
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tallymark.rule_documents.conditions import Condition
from tallymark.rule_documents.models import FilterName, RuleModel, Title, refuse

MAX_CHANNEL_GROUPS: Final = 5
"""As of GA4's larger properties; smaller ones have 2."""
MAX_CHANNELS: Final = 50
"""Of a group, as GA4's Admin API takes them."""
SOURCE_FIELDS: Final = ("source", "medium", "campaign", "channel")
"""What is kept of where sessions and visitors came from; ``channel`` is the default one."""


def _is_of_source(condition: Condition) -> Condition:
    others = sorted(condition.fields - set(SOURCE_FIELDS))
    if others:
        refuse(
            f"fields that reports know of a source, {', '.join(SOURCE_FIELDS)} (the default "
            f"channel; groups do not refer to each other), not {', '.join(others)}"
        )
    return condition


ChannelName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
SourceCondition = Annotated[Condition, AfterValidator(_is_of_source)]


class Channel(RuleModel):
    """What sources are called that a condition holds for."""

    name: ChannelName
    when: SourceCondition


class ChannelGroup(RuleModel):
    """Channels of a property's own; the first whose condition holds is that of a source.

    Attributes:
        name: Reports ask for ``sessionCustomChannelGroup:NAME``.
        title: As people call it; the name where nothing is said.
        channels: In the order in which they are tried.
    """

    name: FilterName
    title: Title | None = None
    channels: tuple[Channel, ...] = Field(min_length=1, max_length=MAX_CHANNELS)

    @model_validator(mode="after")
    def _names_each_channel_once(self) -> "ChannelGroup":
        counts = Counter(channel.name for channel in self.channels)
        if repeated := [name for name, count in counts.items() if count > 1]:
            refuse(
                "channels: each of them once (any joins conditions); given more often: "
                f"{', '.join(repeated)}"
            )
        return self
