"""Models of rules and their versions, as they are sent and answered."""

from typing import Any

from pydantic import Field

from config_api.models import Answer, Asked, Comment, Difference, Document, ProblemAnswer, Sent


class RulesSent(Sent):
    """Rules to be, whole."""

    document: Document
    comment: Comment = ""


class RulesTried(Sent):
    """Rules that are looked at alone."""

    document: Document


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

    document: dict[str, Any]


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
