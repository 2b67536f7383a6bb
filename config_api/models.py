"""Models of what is sent to this service and what it answers; the API's document is made of them.

Times are UTC microseconds. ``name`` is what a resource is called, ``display_name`` is for people.
"""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from config_api.access import Scope
from config_api.feed import MAX_CHANGES, MAX_WAIT_SECONDS
from config_api.keys import MAX_OVERLAP_SECONDS

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


class AccountSent(Sent):
    """An organisation to be."""

    display_name: DisplayName
    default_rules: Document = Field(default_factory=dict)


class AccountChange(Sent):
    """What changes of an organisation."""

    display_name: DisplayName | None = None
    default_rules: Document | None = None


class AccountAnswer(Answer):
    """An organisation."""

    name: str
    display_name: str
    default_rules: dict[str, Any]
    created_at: int


class AccountsAnswer(Answer):
    """Organisations."""

    accounts: list[AccountAnswer]


class PropertySent(Sent):
    """A property to be; what ``rules`` leaves out, the default rules of its account say."""

    parent: Account
    display_name: DisplayName
    rules: Document = Field(default_factory=dict)


class PropertyChange(Sent):
    """What changes of a property."""

    display_name: DisplayName | None = None


class PropertyAnswer(Answer):
    """A property."""

    name: str
    parent: str
    display_name: str
    created_at: int
    updated_at: int


class PropertiesAnswer(Answer):
    """Properties, by id."""

    properties: list[PropertyAnswer]
    next_page_token: int | None = None


class Enhanced(Sent):
    """What the tracker measures by itself; what is left out stays as it is."""

    page_views: bool | None = None
    scrolls: bool | None = None
    outbound_clicks: bool | None = None
    site_search: bool | None = None
    video_engagement: bool | None = None
    file_downloads: bool | None = None
    form_interactions: bool | None = None


class DataStreamSent(Sent):
    """A data stream to be."""

    display_name: DisplayName
    allowed_hosts: list[str] = Field(default_factory=list, max_length=200)
    enhanced_measurement: Enhanced = Enhanced()


class DataStreamChange(Sent):
    """What changes of a data stream."""

    display_name: DisplayName | None = None
    allowed_hosts: list[str] | None = Field(None, max_length=200)
    enhanced_measurement: Enhanced | None = None


class DataStreamAnswer(Answer):
    """A data stream."""

    name: str
    measurement_id: str
    display_name: str
    allowed_hosts: list[str]
    enhanced_measurement: dict[str, bool]
    created_at: int
    updated_at: int


class DataStreamsAnswer(Answer):
    """The data streams of a property."""

    data_streams: list[DataStreamAnswer]


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


class Difference(Answer):
    """What differs at a place; null where there is nothing."""

    where: str
    before: Any = Field(None, alias="from")
    after: Any = Field(None, alias="to")


class DifferencesAnswer(Answer):
    """What a version says otherwise than another."""

    differences: list[Difference]


class DiffAsked(Asked):
    """Which versions."""

    before: int = Field(alias="from", ge=1, le=2**31 - 1)
    after: int = Field(alias="to", ge=1, le=2**31 - 1)


class ProblemAnswer(Answer):
    """One thing that is wrong: where it stands, what came, what is allowed."""

    where: str
    got: Any
    allowed: str


class ValidationAnswer(Answer):
    """Whether rules could be saved, and all that is wrong with them."""

    is_valid: bool
    problems: list[ProblemAnswer]


class KeySent(Sent):
    """A key to be.

    Attributes:
        parent: What it is for; without any it is one of the whole deployment.
        role: Of a key of nobody's with scope configure.
        user: Whose key it is, ``users/ID``, in place of a role.
    """

    display_name: DisplayName
    scopes: list[Annotated[Scope, Field(strict=False)]] = Field(min_length=1, max_length=len(Scope))
    parent: Parent | None = None
    role: RoleName | None = None
    user: str | None = Field(None, pattern=r"^users/[1-9][0-9]{0,17}$")
    expires_at: Instant | None = None


class RotationSent(Sent):
    """For how long the old key opens beside the new one."""

    overlap_seconds: int = Field(86_400, ge=0, le=MAX_OVERLAP_SECONDS)


class KeyAnswer(Answer):
    """A key without its secret."""

    name: str
    display_name: str
    parent: str | None
    scopes: list[str]
    role: str | None
    user: str | None
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None


class NewKeyAnswer(KeyAnswer):
    """A key with its secret, which is shown this once: null where the request is a repeated one."""

    secret: str | None


class KeysAnswer(Answer):
    """Keys, ended ones among them."""

    keys: list[KeyAnswer]


class KeysAsked(Asked):
    """Of what; without it all that may be seen."""

    parent: Parent | None = None


class UserSent(Sent):
    """A user to be."""

    email: str = Field(min_length=3, max_length=254, examples=["jane@shop.example"])
    display_name: DisplayName


class UserAnswer(Answer):
    """A user."""

    name: str
    email: str
    display_name: str


class UsersAnswer(Answer):
    """Users."""

    users: list[UserAnswer]


class MemberSent(UserSent):
    """A member to be; a user of this address that there is keeps its name."""

    role: RoleName


class RoleSent(Sent):
    """A role to be."""

    role: RoleName


class MembershipAnswer(Answer):
    """Who belongs to an organisation, and as what."""

    name: str
    user: UserAnswer
    role: str


class MembershipsAnswer(Answer):
    """The members of an organisation."""

    memberships: list[MembershipAnswer]


class AuditAsked(Page):
    """Of what; without it all that may be seen."""

    parent: Parent | None = None


class AuditLine(Answer):
    """Who did what, when."""

    id: int
    at: int
    actor: str
    action: str
    resource: str
    details: dict[str, Any]


class AuditAnswer(Answer):
    """Lines of the audit trail, the newest first."""

    lines: list[AuditLine]
    next_page_token: int | None = None


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


class LookupAnswer(Answer):
    """Rows of the document of properties, hashes included, as of a position of the feed."""

    database_id: str
    properties: list[dict[str, Any]]
    position: int
    answered_at: int


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
