"""Models of keys, people and the audit trail, as they are sent and answered."""

from typing import Annotated, Any

from pydantic import Field

from config_api.access import Scope
from config_api.keys import MAX_OVERLAP_SECONDS
from config_api.models import Answer, Asked, DisplayName, Instant, Page, Parent, RoleName, Sent


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
