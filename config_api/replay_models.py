"""Models of wishes for replays, as they are sent and answered."""

from pydantic import ConfigDict, Field

from config_api.models import Answer, Comment, Instant, Sent


class ReplaySent(Sent):
    """Hours of a property that are to be computed again."""

    model_config = ConfigDict(populate_by_name=True)

    start: Instant = Field(alias="from", description="UTC microseconds; the hour it lies in")
    end: Instant = Field(alias="to", description="UTC microseconds; hours that begin before it")
    rules: str = Field(
        "in_force",
        pattern="^(in_force|latest|[1-9][0-9]{0,8})$",
        description="Those in force when hits came, the newest version, or the number of one",
    )
    comment: Comment = ""
    publish: bool = Field(False, description="Serve it without a review, if every check passes")


class ReplayAnswer(Answer):
    """A replay that was asked for, and what has become of it."""

    name: str
    state: str = Field(description="waiting, running, awaiting_review, published or failed")
    reason: str = Field(description="What was wrong, or is to be looked at")
    start: int = Field(alias="from")
    end: int = Field(alias="to")
    rules: str
    comment: str
    publish: bool
    asked_by: str
    asked_at: int
    run: str = Field(description="Of Dagster, once there is one")
    lineage: str = Field(description="In which it was computed, once it was")


class ReplaysAnswer(Answer):
    """Replays of a property that were asked for, the newest first."""

    replays: list[ReplayAnswer]
