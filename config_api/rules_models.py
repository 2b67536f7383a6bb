"""Models of rules and their versions, as they are sent and answered."""

from typing import Any

from pydantic import ConfigDict, Field

from config_api.models import (
    Answer,
    Asked,
    Comment,
    Difference,
    Document,
    Instant,
    ProblemAnswer,
    Sent,
)


class RulesSent(Sent):
    """Rules to be; what they do not say, the default rules of the account say."""

    document: Document
    comment: Comment = ""


class RulesTried(Sent):
    """Rules that are looked at alone."""

    document: Document


class RulesPreviewed(Sent):
    """Rules that are tried on what was received in hours that are past."""

    model_config = ConfigDict(populate_by_name=True)

    document: Document
    start: Instant = Field(alias="from", description="UTC microseconds; the hour it lies in")
    end: Instant = Field(alias="to", description="UTC microseconds; hours that begin before it")


class RulesPreviewAnswer(Answer):
    """What reports would have shown of what was received in some hours."""

    start: str = Field(alias="from")
    end: str = Field(alias="to")
    requests_read: int = Field(description="Of all properties")
    sampled: bool
    share_of_clients: float = Field(description="1 unless there is so much that some were drawn")
    hits: int
    changed_hits: int
    metrics: dict[str, dict[str, int]] = Field(description="Each before, after, and the change")
    rules: list[dict[str, Any]] = Field(
        description="How many hits each rule of the draft applies to"
    )
    examples: list[dict[str, Any]]


class RollbackSent(Sent):
    """Back to what a version said."""

    version: int = Field(ge=1, le=2**31 - 1)
    comment: Comment = ""


class VersionAnswer(Answer):
    """A version of rules; ``effective_at`` of null is since ever."""

    name: str
    version: int
    saved_at: int
    effective_at: int | None
    author: str
    comment: str


class RulesAnswer(VersionAnswer):
    """A version of rules with its document."""

    document: dict[str, Any] = Field(description="Whole: what is said and what is inherited")
    said: dict[str, Any] = Field(
        description="What the property says itself; to be changed and sent"
    )
    inherited: list[str] = Field(description="Parts that are the account's or Tallymark's defaults")


class VersionsAnswer(Answer):
    """Versions, the newest first."""

    versions: list[VersionAnswer]


class DifferencesAnswer(Answer):
    """What a version says otherwise than another."""

    differences: list[Difference]


class DiffAsked(Asked):
    """Which versions."""

    before: int = Field(alias="from", ge=1, le=2**31 - 1)
    after: int = Field(alias="to", ge=1, le=2**31 - 1)


class ValidationAnswer(Answer):
    """Whether rules could be saved, and all that is wrong with them."""

    is_valid: bool
    problems: list[ProblemAnswer]
