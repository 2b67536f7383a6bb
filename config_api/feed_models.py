"""Models of the feed and of lookups, as they are asked and answered."""

from typing import Annotated, Any

from pydantic import Field

from config_api.feed import MAX_CHANGES, MAX_WAIT_SECONDS
from config_api.models import LATEST, MAX_LOOKED_UP, Answer, Asked, Sent


class ChangesAsked(Asked):
    """From where the feed is followed."""

    after: int = Field(0, ge=0, le=LATEST)
    wait: float = Field(0.0, ge=0.0, le=MAX_WAIT_SECONDS, description="seconds")
    limit: int = Field(MAX_CHANGES, ge=1, le=MAX_CHANGES)


class ChangeAnswer(Answer):
    """A property that is no longer as it was."""

    sequence: int
    property_id: int
    measurement_ids: list[str]


class ChangesAnswer(Answer):
    """Changes in their order; go on from ``position``."""

    database_id: str
    changes: list[ChangeAnswer]
    position: int
    answered_at: int


class LookupSent(Sent):
    """Which properties, by either id."""

    measurement_ids: list[str] = Field(default_factory=list, max_length=MAX_LOOKED_UP)
    property_ids: list[Annotated[int, Field(ge=0, le=LATEST)]] = Field(
        default_factory=list, max_length=MAX_LOOKED_UP
    )


class PageAsked(Asked):
    """Which properties, in the order of their ids."""

    after: int = Field(0, ge=0, le=LATEST, description="the last id of the page before")
    limit: int = Field(MAX_LOOKED_UP, ge=1, le=MAX_LOOKED_UP)


class LookupAnswer(Answer):
    """Rows of the document of properties, hashes included, as of a position of the feed."""

    database_id: str
    properties: list[dict[str, Any]]
    position: int
    answered_at: int
