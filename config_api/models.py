"""Models of what is sent to this service and what it answers; the API's document is made of them.

Times are UTC microseconds. ``name`` is what a resource is called, ``display_name`` is for people.
"""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

MAX_LOOKED_UP: Final = 1_000
MAX_PAGE: Final = 1_000
LATEST: Final = 2**53 - 1

DisplayName = Annotated[str, Field(min_length=1, max_length=100, examples=["My shop"])]
Instant = Annotated[int, Field(ge=0, le=LATEST, description="UTC microseconds")]
Document = Annotated[dict[str, Any], Field(description="A rules document")]
Account = Annotated[str, Field(pattern=r"^accounts/[1-9][0-9]{0,17}$", examples=["accounts/1"])]
Comment = Annotated[str, Field(max_length=1_000)]
RoleName = Annotated[str, Field(pattern="^(owner|editor|analyst|viewer)$")]
Parent = Annotated[
    str,
    Field(
        pattern=r"^(accounts|properties)/[1-9][0-9]{0,17}(/dataStreams/[1-9][0-9]{0,17})?$",
        description="accounts/ID, properties/ID or properties/ID/dataStreams/ID",
    ),
]


class Sent(BaseModel):
    """What comes: of exactly these fields and types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Asked(BaseModel):
    """What a query string says: texts are read as numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Answer(BaseModel):
    """What is answered."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class Nothing(Answer):
    """It is done, there is nothing to say."""


class Page(Asked):
    """Which part of a long list."""

    page_size: int = Field(200, ge=1, le=MAX_PAGE)
    page_token: int = Field(0, ge=0, le=LATEST, description="next_page_token of the answer before")


class ProblemAnswer(Answer):
    """One thing that is wrong: where it stands, what came, what is allowed."""

    where: str
    got: Any
    allowed: str


class Difference(Answer):
    """What differs at a place; null where there is nothing."""

    where: str
    before: Any = Field(None, alias="from")
    after: Any = Field(None, alias="to")


class ErrorBody(Answer):
    """What is wrong: ``version`` and ``changes`` where rules have changed meanwhile."""

    code: int
    status: str
    message: str
    problems: list[ProblemAnswer] = Field(default_factory=list)
    version: int | None = None
    changes: list[Difference] | None = None


class ErrorAnswer(Answer):
    """An answer that is not what was asked for."""

    error: ErrorBody
